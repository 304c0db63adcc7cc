"""The authors' solvers and gradients against closed forms and autograd, and against what odebench asks of every plugin."""

from __future__ import annotations

import math

import pytest
import torch
from adapter_tests import *  # noqa: F403  the tests
from adapter_tests import Adapter
from research_tests import skip_without_source

import odebench
import odebench_symplectic_adjoint
from odebench.errors import IncompatibleError
from odebench_symplectic_adjoint.code import SYMPLECTIC_ADJOINT
from odebench_symplectic_adjoint.gradients import METHODS, Adjoint, Checkpoint, OneCheckpoint, Symplectic
from odebench_symplectic_adjoint.methods import SOLVERS, Bosh3, Dopri5, Dopri8, Euler, Rk4

skip_without_source(SYMPLECTIC_ADJOINT)
ADAPTER = Adapter(package=odebench_symplectic_adjoint, library="symplectic-adjoint", code=SYMPLECTIC_ADJOINT)
WEIGHT = torch.tensor([[0.4, -1.0], [0.9, 0.1]], dtype=torch.float64, requires_grad=True)
Y0 = torch.tensor([[1.0, 2.0], [0.5, -1.0]], dtype=torch.float64, requires_grad=True)
STEPS = {
    "euler": 1,
    "midpoint": 2,
    "rk4": 4,
    "rk38": 4,
    "fehlberg2": 3,
    "adaptive_heun": 2,
    "bosh3": 3,
    "dopri5": 6,
    "dopri8": 13,
}


def field(t, y):
    return torch.tanh(y @ WEIGHT) * torch.cos(t)


def gradients(solution):
    return torch.autograd.grad((solution.ys[1:] ** 3).sum(), (Y0, WEIGHT))


@pytest.mark.parametrize("way", [Checkpoint, Symplectic, OneCheckpoint], ids=lambda way: way.name)
@pytest.mark.parametrize("made", SOLVERS, ids=lambda made: made.name)
def test_the_discrete_gradient_is_that_of_autograd_through_the_same_steps(made, way):
    """Of the paper's claim: exact for each tableau, the symplectic partner of which is in the code or computed by it."""
    if way().supports(made()) is not None:
        pytest.skip(way().supports(made()))
    for ts in ([0.0, 0.5, 1.0], [1.0, 0.5, 0.0]):
        request = odebench.StepSize(steps=8)
        mine = way().solve(made(), field, Y0, ts, request, (WEIGHT,))
        for got, expected in zip(gradients(mine), gradients(made().solve(field, Y0, ts, request)), strict=True):
            torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("made", SOLVERS, ids=lambda made: made.name)
def test_given_steps_evaluate_what_the_tableau_asks_for_and_once_more_at_the_end(made):
    with torch.no_grad():
        solution = made().solve(field, Y0, [0.0, 1.0], odebench.StepSize(steps=8))
    assert solution.stats.evaluations_forward == 8 * STEPS[made.method] + 1


@pytest.mark.parametrize("made", [Bosh3, Dopri5, Dopri8], ids=lambda made: made.name)
def test_the_told_steps_are_those_that_were_taken(made):
    """Solved on them, the states are the same to rounding; two evaluations begin, and each attempt takes the same number."""
    with torch.no_grad():
        for ts in ([0.0, 0.3, 4.0], [4.0, 3.3, 0.0]):
            found = made().solve(field, Y0, ts, odebench.Tolerance(rtol=1e-7, atol=1e-7, first_step=0.5))
            again = made().solve(field, Y0, ts, found.grid)
            torch.testing.assert_close(again.ys, found.ys, rtol=1e-13, atol=1e-13)
            attempts = found.stats.accepted + found.stats.rejected
            assert found.stats.evaluations_forward == 1 + attempts * STEPS[made.method]
            assert found.stats.rejected > 0
            assert set(ts) <= {*found.grid.t.tolist(), found.grid.end}


def test_too_many_steps_of_the_way_back_are_divergence():
    solution = Adjoint(rtol=1e-12, atol=1e-12).solve(
        Dopri5(), field, Y0, [0.0, 4.0], odebench.Tolerance(rtol=1e-3, atol=1e-3, max_steps=12), (WEIGHT,)
    )
    with pytest.raises(odebench.OdebenchError, match="12 steps were not enough"):
        gradients(solution)


def test_an_initial_state_computed_from_a_parameter_is_refused_where_it_would_count_twice():
    """y' = w y from 1 + w: d/dw of (1 + w) exp(w) at w = 1/2 is 5/2 exp(1/2); one-checkpoint finds 7/2 exp(1/2)."""
    w = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    one = torch.ones(1, 1, dtype=torch.float64)
    for method in METHODS:
        if method is OneCheckpoint:
            with pytest.raises(IncompatibleError, match="count its gradient twice"):
                method().solve(Rk4(), lambda t, y: w * y, one + w, [0.0, 1.0], odebench.StepSize(steps=40), (w,))
            continue
        solution = method().solve(Rk4(), lambda t, y: w * y, one + w, [0.0, 1.0], odebench.StepSize(steps=40), (w,))
        assert torch.autograd.grad(solution.ys[-1].sum(), w)[0].item() == pytest.approx(2.5 * math.exp(0.5), rel=1e-8)


def test_the_symplectic_partner_of_euler_is_refused_since_the_code_fails_there():
    class Decay(torch.nn.Module):
        def forward(self, t, y):
            return -y

    times = torch.tensor([0.0, 1.0], dtype=torch.float64)
    y0 = torch.ones(1, 1, dtype=torch.float64, requires_grad=True)
    ys = Rk4().library.odeint_symplectic_adjoint(Decay(), y0, times, method="euler")
    with pytest.raises(UnboundLocalError):
        ys.sum().backward()
    assert "UnboundLocalError" in Symplectic().supports(Euler())


def test_the_initial_state_is_not_made_to_require_a_gradient():
    y0 = Y0.detach().clone()
    solution = OneCheckpoint().solve(Rk4(), field, y0, [0.0, 1.0], odebench.StepSize(steps=4), (WEIGHT,))
    torch.autograd.grad(solution.ys.sum(), WEIGHT)
    assert not y0.requires_grad


def test_the_error_estimate_of_fehlberg2_is_the_step_itself():
    """Why it is offered with given steps only: 1394 evaluations of y' = -y to 1e-3, where Heun's pair takes 36."""
    library = Rk4().library
    counts = {}
    for method in ("fehlberg2", "adaptive_heun"):
        calls = []
        library.odeint(
            lambda t, y, calls=calls: calls.append(t) or -y,
            torch.ones(1),
            torch.tensor([0.0, 1.0]),
            rtol=1e-3,
            atol=1e-3,
            method=method,
        )
        counts[method] = len(calls)
    assert counts["fehlberg2"] > 20 * counts["adaptive_heun"]
