"""The continuous adjoint: its distance from the discrete gradient falls at the solver's order."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

import odebench
from odebench.api import build
from odebench.errors import GridError, IncompatibleError
from tests.gradients.fields import Network, loss_of, off, start

ORDERS = {"euler": 1, "midpoint": 2, "heun3": 3, "rk4": 4, "dopri5": 5}


def gradient(method, ts=(0.0, 1.0), solver="rk4", **arguments):
    field, y0 = Network(), start()
    if solver == "dopri5" and "steps" in arguments:
        solver = build("solver", {"name": "dopri5", "adaptive": False})
    solution = odebench.solve(field, y0, ts, solver=solver, gradient=method, **arguments)
    got = torch.autograd.grad(loss_of(solution.ys), (y0, *field.parameters()))
    return got[:1], [torch.cat([g.flatten() for g in got[1:]])], solution


@pytest.mark.parametrize("ts", [(0.0, 1.0), (1.0, 0.5, 0.0)])
@pytest.mark.parametrize("name", ORDERS)
def test_the_gap_to_the_discrete_gradient_falls_at_the_solvers_order(name, ts):
    gaps = {"y0": [], "parameters": []}
    for k in range(3, 7) if ORDERS[name] > 3 else range(4, 8):
        adjoint, discrete = (gradient(m, ts, name, steps=2**k) for m in ("continuous-adjoint", "direct"))
        gaps["y0"].append(off(adjoint[0], discrete[0]))
        gaps["parameters"].append(off(adjoint[1], discrete[1]))
    for what, values in gaps.items():
        slopes = [math.log2(a / b) for a, b in itertools.pairwise(values) if b > 1e-12]
        assert slopes[-1] == pytest.approx(ORDERS[name], abs=0.3), (what, values)


@pytest.mark.parametrize("norm", ["seminorm", "all"])
def test_tolerances_bound_the_gap(norm):
    exact = gradient("direct", (0.0, 0.3, 1.0), solver="dopri8", rtol=1e-11, atol=1e-12)
    gaps, evaluations = [], []
    for tolerance in (1e-4, 1e-6, 1e-8):
        method = {"name": "continuous-adjoint", "norm": norm}
        got = gradient(method, (0.0, 0.3, 1.0), solver="dopri5", rtol=tolerance, atol=tolerance)
        gaps.append(max(off(got[0], exact[0]), off(got[1], exact[1])))
        evaluations.append(got[2].stats.evaluations_backward)
        assert gaps[-1] < 100 * tolerance
    assert gaps[0] > gaps[1] > gaps[2]
    assert evaluations[0] < evaluations[2]


def test_the_seminorm_takes_fewer_steps():
    """Parameters' gradients do not feed back, and need not be resolved."""

    def evaluations(norm):
        method = {"name": "continuous-adjoint", "norm": norm, "rtol": 1e-8, "atol": 1e-8}
        return gradient(method, solver="dopri5", rtol=1e-6)[2].stats.evaluations_backward

    assert evaluations("seminorm") <= evaluations("all")


def test_tolerances_of_its_own_on_the_way_back():
    loose = gradient("continuous-adjoint", solver="dopri5", rtol=1e-3)
    tight = gradient({"name": "continuous-adjoint", "rtol": 1e-9, "atol": 1e-9}, solver="dopri5", rtol=1e-3)
    assert torch.equal(loose[2].ys, tight[2].ys)
    assert tight[2].stats.evaluations_backward > 2 * loose[2].stats.evaluations_backward
    with pytest.raises(IncompatibleError, match="'seminorm' or 'all'"):
        build("gradient", {"name": "continuous-adjoint", "norm": "some"})


def test_it_walks_the_forward_grid():
    """Through the same points as the forward solve, whatever solver and however many output times."""
    tolerance = odebench.Tolerance(rtol=1e-3, atol=1e-5)
    field = Network()
    grid = odebench.solve(field, start().detach(), (0.0, 1.0), grid=tolerance).grid
    times = []

    def watched(t, y):
        times.append(float(t))
        return field(t, y)

    y0 = start()
    ys = odebench.solve(
        watched,
        y0,
        (0.0, 0.35, 1.0),
        solver="euler",
        grid=grid,
        gradient="continuous-adjoint",
        inputs=tuple(field.parameters()),
    ).ys
    del times[:]
    ys.sum().backward()
    expected = sorted({*grid.t.tolist()[1:], 0.35, 1.0}, reverse=True)
    assert times == pytest.approx(expected, rel=1e-12)


def test_steps_for_each_row_are_refused():
    with pytest.raises(IncompatibleError, match="has no rows"):
        gradient("continuous-adjoint", solver="dopri5", rtol=1e-3, batch="per-sample")
    with pytest.raises(GridError, match="goes with rtol and atol"):
        gradient("continuous-adjoint", steps=3, batch="per-sample")


def test_a_linear_problem_in_closed_form():
    """y' = A y with loss cᵀ y(T): dL/dy0 = exp(Aᵀ T) c, dL/dA = ∫ exp(Aᵀ (T - s)) c y(s)ᵀ ds."""
    matrix = torch.tensor([[-0.3, 1.2], [-0.9, 0.1]], dtype=torch.float64, requires_grad=True)
    y0 = torch.tensor([[0.7, -0.4]], dtype=torch.float64, requires_grad=True)
    c = torch.tensor([1.0, 2.0], dtype=torch.float64)
    ys = odebench.solve(
        lambda t, y: y @ matrix.t(), y0, (0.0, 2.0), rtol=1e-11, gradient="continuous-adjoint", inputs=(matrix,)
    ).ys
    got = torch.autograd.grad((ys[-1] @ c).sum(), (y0, matrix))
    adjoint = lambda s: torch.linalg.matrix_exp(matrix.detach().t() * (2.0 - s)) @ c  # noqa: E731
    state = lambda s: torch.linalg.matrix_exp(matrix.detach() * s) @ y0.detach()[0]  # noqa: E731
    torch.testing.assert_close(got[0][0], adjoint(0.0), rtol=1e-9, atol=1e-10)
    nodes = torch.linspace(0.0, 2.0, 201, dtype=torch.float64)  # Simpson's rule
    weights = torch.ones(201, dtype=torch.float64)
    weights[1:-1:2], weights[2:-1:2] = 4.0, 2.0
    integral = sum(w * torch.outer(adjoint(s), state(s)) for w, s in zip(weights, nodes, strict=True)) * (0.01 / 3)
    torch.testing.assert_close(got[1], integral, rtol=1e-8, atol=1e-9)
