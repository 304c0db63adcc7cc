"""torchsde's solvers and gradients against closed forms and autograd, and against what odebench asks of every plugin."""

from __future__ import annotations

import pytest

pytest.importorskip("torchsde", reason="torchsde is not installed: pip install ./plugins/odebench-torchsde")

from adapter_tests import *  # noqa: F403  the tests
from adapter_tests import Adapter

import odebench_torchsde

ADAPTER = Adapter(package=odebench_torchsde, library="torchsde", steps=80)
