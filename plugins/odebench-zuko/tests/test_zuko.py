"""zuko's solvers and gradients against closed forms and autograd, and against what odebench asks of every plugin."""

from __future__ import annotations

import pytest

pytest.importorskip("zuko", reason="zuko is not installed: pip install ./plugins/odebench-zuko")

from adapter_tests import *  # noqa: F403  the tests
from adapter_tests import Adapter

import odebench_zuko

ADAPTER = Adapter(package=odebench_zuko, library="zuko")
