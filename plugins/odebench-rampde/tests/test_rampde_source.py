"""What is told where rampde is not there, or something else is; and how it is called, seen by something that looks like it."""

from __future__ import annotations

import pytest
import torch
from research_tests import *  # noqa: F403  the tests

import odebench
import odebench_rampde
from odebench.errors import IncompatibleError
from odebench_rampde.code import RAMPDE
from odebench_rampde.gradients import Adjoint
from odebench_rampde.solver import Euler

CODE, PACKAGE = RAMPDE, odebench_rampde

# As rampde's `odeint` is called, with steps that autograd records.
CALLED = """
import torch

calls = []

class DynamicScaler:
    def __init__(self, dtype_low):
        self.dtype_low = dtype_low

def odeint(func, y0, t, *, method="rk4", loss_scaler=None):
    calls.append((method, t.tolist(), loss_scaler))
    ys = [y0]
    for start, end in zip(t[:-1], t[1:]):
        ys.append(ys[-1] + (end - start) * func(start, ys[-1]))
    return torch.stack(ys)

def Euler(): return lambda func, y, t, dt: func(t, y)
def RK4(): return None
"""


@pytest.fixture
def solver(lookalike) -> Euler:
    (lookalike / "rampde" / "__init__.py").write_text(CALLED)
    return Euler(source=str(lookalike))


@torch.no_grad()
def test_it_is_given_all_points_of_the_grid_and_asked_for_some(solver):
    y0 = torch.tensor([[1.0, 2.0]], dtype=torch.float64)
    got = solver.solve(lambda t, y: -y, y0, [2.0, 1.5, 0.0], odebench.StepSize(steps=4))
    assert solver.library.calls[-1] == ("euler", [2.0, 1.5, 1.0, 0.5, 0.0], None)
    # 1 + h with h = 1/2, since time falls.
    torch.testing.assert_close(got.ys, torch.stack([y0, 1.5 * y0, 1.5**4 * y0]), rtol=1e-15, atol=0.0)
    assert (got.stats.evaluations_forward, got.stats.accepted) == (4, 4)


@pytest.mark.parametrize(("scaler", "given"), [("auto", None), ("off", False), ("dynamic", torch.float32)])
def test_the_scaler_is_handed_on(solver, scaler, given):
    y0 = torch.ones(1, 1, requires_grad=True)
    Adjoint(scaler=scaler).solve(solver, lambda t, y: -y, y0, [0.0, 1.0], odebench.StepSize(steps=4))
    handed = solver.library.calls[-1][2]
    assert getattr(handed, "dtype_low", handed) is given


def test_what_rampde_does_not_know_is_refused(solver, lookalike):
    with pytest.raises(IncompatibleError, match="must be one of auto, dynamic, off"):
        Adjoint(scaler="static")
    with pytest.raises(IncompatibleError, match="must be one of float16, bfloat16"):
        Euler(autocast="float32")
    low = Euler(autocast="bfloat16", source=str(lookalike))
    with pytest.raises(IncompatibleError, match=r"lowers float32 on CUDA, and the state is torch\.float32 on cpu"):
        low.solve(lambda t, y: -y, torch.ones(1, 1), [0.0, 1.0], odebench.StepSize(steps=4))


def test_a_graph_wanted_from_the_solver_itself_is_of_the_same_steps(solver):
    y0 = torch.ones(1, 1, dtype=torch.float64, requires_grad=True)
    got = solver.solve(lambda t, y: -t * y, y0, [0.0, 1.0], odebench.StepSize(steps=4))
    (grad,) = torch.autograd.grad(got.ys[-1].sum(), y0)
    # (1 - h t) at t = 0, 1/4, 1/2, 3/4 with h = 1/4.
    assert grad.item() == pytest.approx((1 - 1 / 16) * (1 - 1 / 8) * (1 - 3 / 16), rel=1e-15)
