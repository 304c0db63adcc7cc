"""ANODE's solvers and gradient against closed forms and autograd, and against what odebench asks of every plugin."""

from __future__ import annotations

import pytest
import torch
from adapter_tests import *  # noqa: F403  the tests
from adapter_tests import Adapter
from research_tests import skip_without_source

import odebench
import odebench_anode
from odebench_anode.code import ANODE
from odebench_anode.gradients import Adjoint
from odebench_anode.solver import SOLVERS

skip_without_source(ANODE)
ADAPTER = Adapter(package=odebench_anode, library="anode", code=ANODE)


@pytest.mark.parametrize("made", SOLVERS, ids=lambda made: made.name)
def test_the_gradient_is_that_of_autograd_through_the_same_steps(made):
    """Also where steps differ; the backward evaluates as often as the forward."""
    weight = torch.tensor([[0.4, -1.0], [0.9, 0.1]], dtype=torch.float64, requires_grad=True)
    y0 = torch.tensor([[1.0, 2.0], [0.5, -1.0]], dtype=torch.float64, requires_grad=True)
    t = torch.tensor([0.0, 0.25, 0.5, 0.6, 1.0], dtype=torch.float64)
    grid = odebench.Grid(t=t[:-1], dt=t.diff(), end=1.0)

    def field(t, y):
        return torch.tanh(y @ weight) * torch.cos(t)

    ts = [0.0, 0.5, 1.0]
    mine = Adjoint().solve(made(), field, y0, ts, grid, (weight,))
    recorded = made().solve(field, y0, ts, grid)
    got, expected = (torch.autograd.grad((one.ys[1:] ** 3).sum(), (y0, weight)) for one in (mine, recorded))
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-13, atol=1e-13)
    assert mine.stats.evaluations_backward == mine.stats.evaluations_forward == 4 * made.stages
