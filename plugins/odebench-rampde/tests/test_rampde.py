"""rampde's solvers and gradient against closed forms and autograd, and against what odebench asks of every plugin."""

from __future__ import annotations

import pytest
import torch
from adapter_tests import *  # noqa: F403  the tests
from adapter_tests import Adapter
from research_tests import skip_without_source

import odebench
import odebench_rampde
from odebench_rampde.code import RAMPDE
from odebench_rampde.gradients import Adjoint
from odebench_rampde.solver import SOLVERS, Rk4

skip_without_source(RAMPDE)
ADAPTER = Adapter(package=odebench_rampde, library="rampde", code=RAMPDE)
TS = [0.0, 0.5, 1.0]
WEIGHT = torch.tensor([[0.4, -1.0], [0.9, 0.1]], dtype=torch.float64, requires_grad=True)
Y0 = torch.tensor([[1.0, 2.0], [0.5, -1.0]], dtype=torch.float64, requires_grad=True)


def field(t, y):
    return torch.tanh(y @ WEIGHT) * torch.cos(t)


def gradients(ys):
    return torch.autograd.grad((ys[1:] ** 3).sum(), (Y0, WEIGHT))


@pytest.mark.parametrize("scaler", ["auto", "off", "dynamic"])
@pytest.mark.parametrize("made", SOLVERS, ids=lambda made: made.name)
def test_the_gradient_is_that_of_autograd_through_the_same_steps(made, scaler):
    """A scale is a power of two, so that it changes nothing but what over- or underflows."""
    t = torch.tensor([0.0, 0.25, 0.5, 0.6, 1.0], dtype=torch.float64)
    grid = odebench.Grid(t=t[:-1], dt=t.diff(), end=1.0)
    mine = Adjoint(scaler=scaler).solve(made(), field, Y0, TS, grid, (WEIGHT,))
    for got, expected in zip(gradients(mine.ys), gradients(made().solve(field, Y0, TS, grid).ys), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-13, atol=1e-13)
    assert mine.stats.evaluations_backward == mine.stats.evaluations_forward == 4 * made.stages


def test_the_gradient_that_it_is_given_is_left_as_it_was():
    """rampde's own backward adds to the last of them in place. The output times are all points of the grid."""
    solution = Adjoint().solve(Rk4(), field, Y0, TS, odebench.StepSize(steps=2), (WEIGHT,))
    given = torch.ones_like(solution.ys)
    torch.autograd.grad(solution.ys, (Y0, WEIGHT), given)
    assert bool((given == 1.0).all())
