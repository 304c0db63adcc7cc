"""Running commands in this process, and small plugin files to run them on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from odebench.cli import main

GOOD = '''
"""A plugin as somebody else would write it."""

import odebench


class Halver(odebench.OneStepSolver):
    """Goes half the way that Euler would.

    Source: nobody would publish this.
    """

    name = "halver"
    order = 1
    stages = 1
    interpolant_order = 0

    def __init__(self, *, share: float = 0.5) -> None:
        self.share = share

    def step(self, field, t, dt, y, carry=None, *, error=False, dense=False):
        return odebench.Step(y + self.share * dt * field(t, y))


@odebench.hookimpl
def odebench_register_solvers(register):
    register(Halver)
'''
TINY = """schema = 1

[suite]
name = "tiny"
title = "A tiny suite"

[budget]
processes = 1
repeats = 2
timeout = "30s"

[budget.double]
processes = 2

[[experiment]]
name = "two step sizes"
task = "integrate"
model = { name = "logistic", batch = 2 }
solver = "rk4"
steps = [8, 16]

[[experiment]]
name = "elsewhere"
task = "integrate"
model = { name = "logistic", batch = 2 }
solver = "dopri5"
tolerance = 1e-3
device = "mars"
"""
BROKEN = 'raise RuntimeError("this plugin has a hole")\n'


@pytest.fixture
def call() -> Callable[..., Result]:
    """Runs a command and gives its exit code and output; an exception that is no exit is raised, as a bug should be."""

    def call(*arguments: object) -> Result:
        result = CliRunner().invoke(main, [str(argument) for argument in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return call


@pytest.fixture
def good_plugin(tmp_path: Path) -> Path:
    """A file with a solver named `halver`."""
    path = tmp_path / "halver.py"
    path.write_text(GOOD)
    return path


@pytest.fixture
def broken_plugin(tmp_path: Path) -> Path:
    """A file that cannot be imported."""
    path = tmp_path / "broken.py"
    path.write_text(BROKEN)
    return path


@pytest.fixture
def tiny_suite(tmp_path: Path) -> Path:
    """A suite of two cells that take a moment, and one for a device that no machine has."""
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return path
