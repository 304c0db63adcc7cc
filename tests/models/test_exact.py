"""Closed forms satisfy their equation."""

from __future__ import annotations

import pytest
import torch
from scipy.integrate import solve_ivp

from odebench.models.piecewise_linear import _first_sign_change, piecewise_linear_flow
from tests.models.every import BY_NAME

SMOOTH = [
    ("linear", {"matrix": "spiral"}),
    ("linear", {"matrix": "jordan"}),
    ("linear", {"matrix": "random", "rate": -1.0}),
    ("harmonic-oscillator", {"omega": 3.0}),
    ("logistic", {"rate": 0.7, "capacity": 2.0}),
    ("relu-decay", {}),
]
PIECEWISE = [
    ("gaussian-relu", {"dim": 10}),
    ("gaussian-relu", {"dim": 10, "normalised": True}),
    ("conv-field", {"activation": "relu", "size": 4, "channels": 2}),
    ("conv-field", {"activation": "leaky-relu", "size": 4, "channels": 2}),
    ("conv-field", {"activation": "none", "size": 4, "channels": 2}),
]


@pytest.mark.parametrize(("name", "parameters"), SMOOTH)
def test_the_derivative_of_the_closed_form_is_the_field(name, parameters):
    problem = BY_NAME[name](batch=5, **parameters).problem(0)
    step = 1e-4 * problem.ts[-1]
    for t in (0.3 * problem.ts[-1], 0.8 * problem.ts[-1]):
        around = [problem.exact(problem, t + k * step) for k in (-2, -1, 1, 2)]
        slope = (around[0] - 8 * around[1] + 8 * around[2] - around[3]) / (12 * step)
        expected = problem.field(torch.tensor(t, dtype=torch.float64), problem.exact(problem, t))
        torch.testing.assert_close(slope, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(("name", "parameters"), [*SMOOTH, *PIECEWISE])
def test_the_closed_form_starts_at_the_initial_state(name, parameters):
    problem = BY_NAME[name](batch=3, **parameters).problem(0)
    torch.testing.assert_close(problem.exact(problem, problem.ts[0]), problem.y0, rtol=1e-15, atol=0)


@pytest.mark.parametrize(("name", "parameters"), PIECEWISE)
def test_closed_forms_in_pieces_agree_with_scipy(name, parameters):
    problem = BY_NAME[name](batch=2, **parameters).problem(1)

    def slope(t, y):
        with torch.no_grad():
            return problem.field(torch.tensor(t), torch.from_numpy(y).view_as(problem.y0)).reshape(-1).numpy()

    end = problem.ts[-1]
    expected = solve_ivp(slope, (0.0, end), problem.y0.reshape(-1).numpy(), method="DOP853", rtol=1e-12, atol=1e-14)
    got = problem.exact(problem, end).detach().reshape(-1)
    torch.testing.assert_close(got, torch.from_numpy(expected.y[:, -1]), rtol=1e-9, atol=1e-9)


def test_a_negative_start_stays_where_it_is():
    problem = BY_NAME["relu-decay"](batch=2).problem(0)
    problem.y0[1] = -0.5
    assert problem.exact(problem, 1.0)[1].item() == -0.5


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_component_that_crosses_and_returns_between_two_samples_is_seen(sign):
    """Samples lie 1/16 apart; the parabola is beyond 0 only within 0.004 of 17/32, which is half way between two."""
    middle, depth = 17 / 32, 1e-5
    paths = sign * torch.tensor([middle**2 - depth, -2 * middle, 1.0], dtype=torch.float64).reshape(3, 1, 1)
    share, signs = _first_sign_change(paths, torch.full((1, 1), sign, dtype=torch.float64))
    assert share.item() == pytest.approx(middle - depth**0.5, abs=1e-12)
    assert signs.item() == -sign


def test_a_component_that_only_comes_near_does_not_count():
    paths = torch.tensor([(17 / 32) ** 2 + 1e-5, -17 / 16, 1.0], dtype=torch.float64).reshape(3, 1, 1)
    share, signs = _first_sign_change(paths, torch.ones(1, 1, dtype=torch.float64))
    assert (share.item(), signs.item()) == (1.0, 1.0)


def test_the_first_of_two_crossings_counts_and_each_row_has_its_own():
    paths = torch.zeros(2, 2, 2, dtype=torch.float64)
    paths[0], paths[1] = torch.tensor([[0.7, 0.3], [0.4, -0.2]]), torch.tensor([[-1.0, -1.0], [-1.0, 0.1]])
    share, signs = _first_sign_change(paths, torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=torch.float64))
    torch.testing.assert_close(share, torch.tensor([0.3, 0.4], dtype=torch.float64), rtol=1e-6, atol=0)
    assert signs.tolist() == [[1.0, -1.0], [-1.0, -1.0]]


def test_the_gradient_of_a_flow_in_pieces_is_that_of_finite_differences():
    problem = BY_NAME["gaussian-relu"](dim=6, batch=2).problem(2)
    weight = problem.field.weight

    def value(at):
        return piecewise_linear_flow(lambda z: torch.nn.functional.linear(z, at), 0.0, problem.y0, 1.0).square().sum()

    (gradient,) = torch.autograd.grad(value(weight), weight)
    direction = torch.randn(6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    step = 1e-5
    with torch.no_grad():
        ahead, behind = value(weight + step * direction), value(weight - step * direction)
    expected = (ahead - behind) / (2 * step)
    torch.testing.assert_close((gradient * direction).sum(), expected, rtol=1e-7, atol=0)
