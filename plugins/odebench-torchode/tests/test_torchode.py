"""torchode's solvers and gradients against closed forms and autograd, and against what odebench asks of every plugin."""

from __future__ import annotations

import pytest

pytest.importorskip("torchode", reason="torchode is not installed: pip install ./plugins/odebench-torchode")

from adapter_tests import *  # noqa: F403  the tests
from adapter_tests import Adapter

import odebench_torchode

ADAPTER = Adapter(package=odebench_torchode, library="torchode")
