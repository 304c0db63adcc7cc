"""TorchDiffEqPack's solvers and gradients against closed forms and autograd, and against what odebench asks of every plugin."""

from __future__ import annotations

import pytest

pytest.importorskip(
    "TorchDiffEqPack", reason="TorchDiffEqPack is not installed: pip install ./plugins/odebench-torchdiffeqpack"
)

from adapter_tests import *  # noqa: F403  the tests
from adapter_tests import Adapter

import odebench_torchdiffeqpack


def _is_plain(solver):
    """Whether it is `odesolve`, which interpolates past the end; the others are `odesolve_endtime`."""
    return solver.name.endswith("plain")


ADAPTER = Adapter(
    package=odebench_torchdiffeqpack,
    library="TorchDiffEqPack",
    largest_error=lambda solver: 5e-2 if _is_plain(solver) else {1: 0.5, 2: 2e-2}.get(solver.order, 1e-4),
    # `odesolve_endtime` has a first step that is not a number then, and takes the span as one step.
    stops_at_nan=_is_plain,
)
