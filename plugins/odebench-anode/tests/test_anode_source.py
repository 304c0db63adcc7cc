"""What is told where ANODE is not there, or something else is; and how it is called, seen by something that looks like it."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from research_tests import *  # noqa: F403  the tests

import odebench
import odebench_anode
from odebench_anode.code import ANODE
from odebench_anode.gradients import Adjoint
from odebench_anode.solver import Euler, equal_steps

CODE, PACKAGE = ANODE, odebench_anode

# As ANODE's functions are called, with Euler's method in their place.
CALLED = """
calls = []

def odesolver(func, z0, options=None):
    calls.append((options["method"], options["Nt"]))
    for n in range(options["Nt"]):
        z0 = z0 + func(n / options["Nt"], z0) / options["Nt"]
    return z0

odesolver_adjoint = odesolver
"""


@pytest.fixture
def solver(lookalike) -> Euler:
    (lookalike / "anode" / "__init__.py").write_text(CALLED)
    return Euler(source=str(lookalike))


def by_hand(y, points):
    """Euler's steps for dy/dt = -y cos t."""
    for start, end in itertools.pairwise(points):
        y = y - (end - start) * y * math.cos(start)
    return y


@pytest.mark.parametrize("ts", [[1.0, 1.5, 3.0], [3.0, 2.5, 1.0]], ids=["rising", "falling"])
def test_each_span_between_output_times_is_one_call_over_its_own_unit_of_time(solver, ts):
    y0 = torch.tensor([[1.0, 2.0]], dtype=torch.float64)
    got = solver.solve(lambda t, y: -y * torch.cos(t), y0, ts, odebench.StepSize(steps=8))
    h = (ts[-1] - ts[0]) / 8
    expected = by_hand(y0, [ts[0] + n * h for n in range(9)])
    assert solver.library.calls[-2:] == [("Euler", 2), ("Euler", 6)]
    torch.testing.assert_close(got.ys[-1], expected, rtol=1e-14, atol=0.0)
    assert (got.stats.evaluations_forward, got.stats.accepted) == (8, 8)


def test_steps_of_other_lengths_are_calls_of_their_own(solver):
    points = [0.0, 0.25, 0.5, 0.6, 1.0]
    t = torch.tensor(points, dtype=torch.float64)
    y0 = torch.tensor([[1.0, 2.0]], dtype=torch.float64)
    grid = odebench.Grid(t=t[:-1], dt=t.diff(), end=1.0)
    got = solver.solve(lambda t, y: -y * torch.cos(t), y0, [0.0, 1.0], grid)
    assert [steps for _, steps in solver.library.calls[-3:]] == [2, 1, 1]
    torch.testing.assert_close(got.ys[-1], by_hand(y0, points), rtol=1e-14, atol=0.0)
    assert [n for _, _, n in equal_steps([0.0, 1.0])] == [1]


def test_output_times_between_steps_are_refused_with_a_count_that_fits(solver):
    with pytest.raises(odebench.OdebenchError, match="nearest number of uniform steps that does is 8"):
        solver.solve(lambda t, y: -y, torch.ones(1, 1), [0.0, 0.25, 1.0], odebench.StepSize(steps=7))


def test_a_field_without_parameters_is_given_one_that_it_does_not_use(solver):
    """ANODE would ask autograd for the gradients of no tensors, which is an error."""
    seen = []

    class Field(torch.nn.Module):
        def forward(self, t, y):
            return -y

    real = solver.library.odesolver_adjoint
    solver.library.odesolver_adjoint = lambda func, z0, options: (
        seen.append(list(func.parameters())) or real(func, z0, options)
    )
    y0 = torch.ones(1, 1, dtype=torch.float64, requires_grad=True)
    Adjoint().solve(solver, Field(), y0, [0.0, 1.0], odebench.StepSize(steps=2))
    assert [len(parameters) for parameters in seen] == [1]
