"""The implicit solver: stiff problems, its stage equations, and gradients by the implicit function theorem."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.integrate
import scipy.optimize
import torch
from torch import nn

from odebench.api import build, solve
from odebench.contract import Tolerance
from odebench.errors import DivergedError, IncompatibleError

F64 = torch.float64


def robertson(t, y):
    a, b, c = y.unbind(-1)
    slow, fast = 0.04 * a - 1e4 * b * c, 3e7 * b * b
    return torch.stack((-slow, slow - fast, fast), dim=-1)


def test_robertson_against_radau():
    ts = (0.0, 0.4, 4.0, 40.0, 400.0, 4000.0)
    y0 = torch.tensor([[1.0, 0.0, 0.0]], dtype=F64)
    solution = solve(robertson, y0, ts, solver="kvaerno3", rtol=1e-6, atol=1e-10)
    field = lambda t, y: robertson(t, torch.from_numpy(y)).numpy()  # noqa: E731
    theirs = scipy.integrate.solve_ivp(
        field, (0.0, ts[-1]), y0[0].numpy(), "Radau", t_eval=ts, rtol=1e-11, atol=1e-15
    ).y.T
    np.testing.assert_allclose(solution.ys[:, 0].numpy(), theirs, rtol=2e-4, atol=1e-9)
    assert solution.stats.accepted < 500
    with pytest.raises(DivergedError):
        solve(robertson, y0, ts, solver="dopri5", grid=Tolerance(rtol=1e-6, atol=1e-10, max_steps=1000))


def one_step(field, y0, dt):
    """A step of the method by SciPy's solver of equations; the coefficients typed again, from γ alone."""
    g = 0.43586652150845899942
    a31, a32 = (-4 * g**2 + 6 * g - 1) / (4 * g), (1 - 2 * g) / (4 * g)
    b = ((6 * g - 1) / (12 * g), -1 / ((24 * g - 12) * g), (-6 * g**2 + 6 * g - 1) / (6 * g - 3))
    rows, nodes = ((g,), (a31, a32), b), (2 * g, 1.0, 1.0)
    slopes, stage = [field(0.0, y0)], y0
    for row, node in zip(rows, nodes, strict=True):
        base = y0 + dt * sum(x * k for x, k in zip(row, slopes, strict=False))
        equation = lambda s, base=base, node=node: s - base - dt * g * field(node * dt, s)  # noqa: E731
        stage = scipy.optimize.root(equation, y0, tol=1e-14).x  # it ends at rounding, and calls that a failure
        slopes.append((stage - base) / (dt * g))
    return stage


@pytest.mark.parametrize("dt", [0.3, -0.1])
def test_a_step_by_another_solver_of_equations(dt):
    field = lambda t, y: np.array([y[1] * math.cos(t), -3 * np.sin(y[0]) - y[1] ** 3])  # noqa: E731
    y0 = np.array([0.4, 1.1])
    in_torch = lambda t, y: torch.stack((y[:, 1] * torch.cos(t), -3 * y[:, 0].sin() - y[:, 1] ** 3), 1)  # noqa: E731
    got = solve(in_torch, torch.from_numpy(y0)[None], (0.0, dt), solver="kvaerno3", steps=1).y1[0]
    np.testing.assert_allclose(got.numpy(), one_step(field, y0, dt), rtol=1e-12)


@pytest.mark.parametrize("dt", [0.1, 10.0, 1e8])
def test_the_method_is_stable_at_infinity(dt):
    """R(∞) = 0: what is infinitely stiff is gone after a step."""
    y0 = torch.tensor([[1.0, 1.0]], dtype=F64)
    rates = torch.tensor([1e6, 1.0], dtype=F64)
    y1 = solve(lambda t, y: -rates * y, y0, (0.0, dt), solver="kvaerno3", steps=1).y1
    assert abs(y1[0, 0]) < 10.0 / (dt * 1e6)
    assert abs(y1[0, 1]) < 1.0


@pytest.mark.parametrize("start", [0.9202941894531249, 0.9203136975777939])
def test_a_stage_may_be_zero(start):
    """Rounding in a stage equation is relative to its terms, not to their sum: these stages are 1e-5 and 1e-16."""
    field = lambda t, y: -1 - 0.3 * torch.sin(3 * y)  # noqa: E731
    got = solve(field, torch.tensor([[start]], dtype=F64), (0.0, 1.0), solver="kvaerno3", steps=1).y1.item()
    expected = one_step(lambda t, y: -1 - 0.3 * np.sin(3 * y), np.array([start]), 1.0)
    assert got == pytest.approx(expected.item(), rel=1e-11)


class Reaction(nn.Module):
    """A stiff field whose rows may depend on the row before."""

    def __init__(self, coupling=0.0, rate=40.0):
        super().__init__()
        self.rate = nn.Parameter(torch.tensor(rate, dtype=F64))
        self.weight = nn.Parameter(torch.tensor([[0.2, -0.9], [1.1, 0.4]], dtype=F64))
        self.coupling = coupling

    def forward(self, t, y):
        before = torch.cat((torch.zeros_like(y[:1]), y[:-1]))  # no row comes before the first
        return -self.rate * (y - torch.cos(t)) + torch.tanh(y @ self.weight) + self.coupling * before.sin()


@pytest.mark.parametrize("grid", [{"steps": 6}, {"rtol": 1e-5}])
@pytest.mark.parametrize("coupling", [0.0, 30.0])
@pytest.mark.parametrize("method", ["direct", "anode", "step-checkpoint"])
def test_gradients_against_finite_differences(method, coupling, grid):
    y0 = torch.tensor([[1.0, 0.3], [-0.5, 0.8], [0.1, -0.2]], dtype=F64)
    ts, weight = (0.0, 0.37, 1.0), torch.linspace(1, 2, 18, dtype=F64).reshape(3, 3, 2)
    field, leaf = Reaction(coupling), y0.clone().requires_grad_()
    solution = solve(field, leaf, ts, solver="kvaerno3", gradient=method, **grid)
    got = torch.autograd.grad((weight * solution.ys).sum(), (leaf, field.rate, field.weight))

    def loss(h, which):
        shifted, state = Reaction(coupling), y0.clone()
        with torch.no_grad():
            (state, shifted.rate, shifted.weight)[which].add_(h)
            ys = solve(shifted, state, ts, solver="kvaerno3", grid=solution.grid).ys
            return (weight * ys).sum().item()

    for which, scale in enumerate((1e-5, 1e-3, 1e-5)):
        expected = (loss(scale, which) - loss(-scale, which)) / (2 * scale)
        assert got[which].sum().item() == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_rows_that_interact_anywhere_are_solved_together():
    """Row 0 depends on no other, which is all that a look at row 0 would tell."""
    y0 = torch.tensor([[1.0, 0.3], [-0.5, 0.8], [0.1, -0.2]], dtype=F64)
    coupled = solve(Reaction(30.0), y0, (0.0, 0.5), solver="kvaerno3", steps=4).y1
    whole = lambda t, y: Reaction(30.0)(t, y.reshape(3, 2)).reshape(6)  # noqa: E731
    flat = solve(whole, y0.reshape(6), (0.0, 0.5), solver="kvaerno3", steps=4).y1.reshape(3, 2)
    torch.testing.assert_close(coupled, flat, rtol=1e-11, atol=1e-12)


def test_rows_that_do_not_interact_do_not_change_each_other():
    y0 = torch.tensor([[1.0, 0.3], [-0.5, 0.8], [0.1, -0.2]], dtype=F64)
    other = y0.clone()
    other[1:] *= 0.9
    one, two = (solve(Reaction(), y, (0.0, 0.5), solver="kvaerno3", steps=4).y1 for y in (y0, other))
    torch.testing.assert_close(one[0], two[0], rtol=1e-13, atol=0)


def test_a_field_without_a_batching_rule():
    class Cube(torch.autograd.Function):
        generate_vmap_rule = False

        @staticmethod
        def forward(ctx, y):
            ctx.save_for_backward(y)
            return y**3

        @staticmethod
        def backward(ctx, gradient):
            (y,) = ctx.saved_tensors
            return torch.from_numpy((gradient * 3 * y**2).numpy().copy())

    y0 = torch.tensor([[1.0], [-0.5]], dtype=F64)
    got = solve(lambda t, y: -10 * Cube.apply(y), y0, (0.0, 1.0), solver="kvaerno3", rtol=1e-8).y1
    torch.testing.assert_close(got, y0 / torch.sqrt(1 + 20 * y0**2), rtol=1e-6, atol=0)


def test_a_jacobian_that_is_too_large_is_refused():
    with pytest.raises(IncompatibleError, match="dense Jacobian of a state with 12000 elements.*explicit solver"):
        solve(lambda t, y: -y, torch.ones(12000, dtype=F64), (0.0, 1.0), solver="kvaerno3", steps=1)


def test_where_newtons_method_fails_a_shorter_step_is_tried():
    # y' = -100 √y: the stages of a long step have no real solution.
    field = lambda t, y: -100 * torch.sqrt(y)  # noqa: E731
    y0 = torch.ones(1, 1, dtype=F64)
    with pytest.raises(DivergedError, match="not solved by Newton's method"):
        solve(field, y0, (0.0, 0.019), solver="kvaerno3", steps=1)
    tolerance = Tolerance(rtol=1e-7, atol=1e-9, first_step=0.019)
    solution = solve(field, y0, (0.0, 0.019), solver="kvaerno3", grid=tolerance)
    assert solution.stats.rejected > 0
    assert solution.y1.item() == pytest.approx((1 - 50 * 0.019) ** 2, rel=1e-4)


@pytest.mark.parametrize("field", [lambda t, y: torch.zeros_like(y), lambda t, y: torch.cos(t) * torch.ones_like(y)])
def test_a_field_that_does_not_depend_on_the_state(field):
    y0 = torch.tensor([[0.0], [1.0]], dtype=F64, requires_grad=True)
    ys = solve(field, y0, (0.0, 1.0), solver="kvaerno3", rtol=1e-8).ys
    expected = y0.detach() + (math.sin(1.0) if field(torch.zeros(()), y0).any() else 0.0)
    torch.testing.assert_close(ys[-1].detach(), expected, rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(torch.autograd.grad(ys[-1].sum(), y0)[0], torch.ones_like(expected))


def test_tuple_and_empty_states():
    pair = lambda t, s: (-50 * s[0] + s[1], -s[1])  # noqa: E731
    y0 = (torch.ones(2, dtype=F64), torch.ones(2, dtype=F64))
    first, second = solve(pair, y0, (0.0, 1.0), solver="kvaerno3", rtol=1e-8).ys
    matrix = torch.tensor([[-50.0, 1.0], [0.0, -1.0]], dtype=F64)
    expected = torch.linalg.matrix_exp(matrix) @ torch.ones(2, dtype=F64)
    torch.testing.assert_close(torch.stack((first[-1, 0], second[-1, 0])), expected, rtol=1e-5, atol=1e-8)
    for shape in ((0, 2), (2, 0)):
        assert solve(lambda t, y: -y, torch.ones(shape), (0.0, 1.0), solver="kvaerno3", rtol=1e-3).ys.shape == (
            2,
            *shape,
        )


def test_it_has_an_interpolant_of_its_order():
    assert build("solver", "kvaerno3").interpolates
    y0 = torch.ones(1, 1, dtype=F64)
    ts = tuple(float(t) for t in torch.linspace(0, 2, 9))
    ys = solve(lambda t, y: -torch.sin(t) - 50 * (y - torch.cos(t)), y0, ts, solver="kvaerno3", rtol=1e-6).ys
    torch.testing.assert_close(ys[:, 0, 0], torch.tensor(ts, dtype=F64).cos(), rtol=1e-4, atol=1e-5)
