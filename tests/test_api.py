"""`odebench.solve`: what it takes, what it returns, and how it refuses."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.integrate
import torch

import odebench
from odebench.api import build
from odebench.errors import GridError, IncompatibleError, OdebenchError, UnknownNameError

Y0 = torch.tensor([[2.0, 1.0], [1.0, 0.5]], dtype=torch.float64)
TS = (0.0, 0.7, 1.5, 4.0)


def predators(t, y):
    prey, hunters = y.unbind(-1)
    return torch.stack((1.5 * prey - prey * hunters, -3.0 * hunters + prey * hunters), dim=-1)


def reference():
    """The same by SciPy, row by row."""
    field = lambda t, y: predators(t, torch.from_numpy(y)).numpy()  # noqa: E731
    rows = [
        scipy.integrate.solve_ivp(field, (TS[0], TS[-1]), y0.numpy(), "DOP853", t_eval=TS, rtol=1e-12, atol=1e-13).y.T
        for y0 in Y0
    ]
    return torch.from_numpy(np.stack(rows, axis=1))


def test_what_is_said_nothing_about_has_a_default():
    solution = odebench.solve(predators, Y0, TS)
    assert solution.ys.shape == (4, 2, 2) and torch.equal(solution.y1, solution.ys[-1])
    assert torch.equal(solution.ys, odebench.solve(predators, Y0, TS, solver="dopri5", rtol=1e-6, atol=1e-6).ys)
    torch.testing.assert_close(solution.ys, reference(), rtol=1e-4, atol=1e-5)
    stats = solution.stats
    assert solution.grid.steps == stats.accepted > 0 and stats.evaluations_backward == 0


@pytest.mark.parametrize(
    "arguments", [{"rtol": 1e-9}, {"atol": 1e-9}, {"rtol": 1e-9, "atol": 1e-10, "batch": "per-sample"}]
)
def test_one_tolerance_stands_for_both(arguments):
    ys = odebench.solve(predators, Y0, TS, **arguments).ys
    torch.testing.assert_close(ys, reference(), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("ts", [list(TS), torch.tensor(TS), torch.tensor(TS, dtype=torch.float64), np.array(TS)])
def test_times_of_any_kind(ts):
    expected = odebench.solve(predators, Y0, TS, steps=64).ys
    torch.testing.assert_close(odebench.solve(predators, Y0, ts, steps=64).ys, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "grid",
    [odebench.StepSize(steps=64), odebench.StepSize(step_size=4.0 / 64), odebench.Tolerance(rtol=1e-8, atol=1e-8)],
)
def test_a_grid_says_how_time_is_divided(grid):
    solution = odebench.solve(predators, Y0, (0.0, 4.0), grid=grid)
    if isinstance(grid, odebench.StepSize):
        assert solution.grid.steps == 64
    assert torch.equal(solution.ys, odebench.solve(predators, Y0, (0.0, 4.0), grid=solution.grid).ys)


def test_solvers_and_methods_by_name_by_table_and_by_instance():
    by_name = odebench.solve(predators, Y0, TS, solver="rk4", steps=40, gradient="anode").ys
    by_table = odebench.solve(predators, Y0, TS, solver={"name": "rk4"}, steps=40, gradient={"name": "anode"}).ys
    by_instance = odebench.solve(
        predators, Y0, TS, solver=build("solver", "rk4"), steps=40, gradient=build("gradient", "anode")
    ).ys
    assert torch.equal(by_name, by_table) and torch.equal(by_name, by_instance)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"solver": "dopri"}, UnknownNameError, "did you mean 'dopri8'"),
        ({"gradient": "anod"}, UnknownNameError, "did you mean 'anode'"),
        ({"solver": {"name": "dopri5", "adaptiv": False}}, OdebenchError, "adaptive"),
        ({"solver": {"adaptive": False}}, OdebenchError, "has no name"),
        ({"solver": {"name": 5}}, OdebenchError, "has no name"),
        ({"solver": odebench.OneStepSolver}, OdebenchError, "OneStepSolver is a class. Give an instance"),
        ({"gradient": None}, OdebenchError, "gradient: None is no name"),
        ({"solver": "nobody/rk4"}, OdebenchError, "nobody/rk4"),
        ({"solver": "rk4"}, GridError, "'rk4' takes fixed steps: give steps or step_size"),
        ({"steps": 4, "rtol": 1e-3}, GridError, "Give one of"),
        ({"step_size": 0.1, "grid": odebench.StepSize(steps=1)}, GridError, "Give one of"),
        ({"rtol": 1e-3, "grid": odebench.StepSize(steps=1)}, GridError, "Give one of"),
        ({"grid": 64}, GridError, "grid is a int"),
        ({"steps": 4, "batch": "per-sample"}, GridError, "goes with rtol and atol"),
        ({"rtol": 1e-3, "batch": "rows"}, GridError, "must be 'joint' or 'per-sample'"),
        ({"rtol": -1.0}, GridError, "rtol is -1.0"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments, error, text):
    with pytest.raises(error) as caught:
        odebench.solve(predators, Y0, TS, **arguments)
    assert text in str(caught.value)


class Opaque(odebench.OpaqueSolver):
    """A library that tells nothing: here the closed form of y' = -y."""

    name = "test/opaque"
    order = 9
    adaptive = True
    differentiable = False

    def solve(self, field, y0, ts, grid, inputs=()):
        return odebench.Solution(ys=torch.stack([y0.detach() * math.exp(ts[0] - t) for t in ts]), grid=None)


def test_a_library_that_does_not_tell_its_steps():
    decay = torch.nn.Linear(2, 2, bias=False, dtype=torch.float64)
    with torch.no_grad():
        decay.weight.copy_(-torch.eye(2))
    field = type("Decay", (torch.nn.Module,), {"forward": lambda self, t, y: decay(y)})()
    field.decay = decay
    for method in ("direct", "anode", "step-checkpoint"):
        with pytest.raises(IncompatibleError, match=f"{method}.*cannot work with.*test/opaque"):
            odebench.solve(field, Y0, (0.0, 1.0), solver=Opaque(), gradient=method)
    y0 = Y0.clone().requires_grad_()
    solution = odebench.solve(field, y0, (0.0, 0.5, 1.0), solver=Opaque(), steps=4, gradient="continuous-adjoint")
    assert solution.grid is None
    torch.testing.assert_close(solution.y1.detach(), Y0 * math.exp(-1.0))
    with torch.no_grad():
        assert torch.equal(odebench.solve(field, y0, (0.0, 1.0), solver=Opaque(), steps=4).ys[0], Y0)


def test_training_with_every_gradient_method_finds_the_rate():
    """End to end: a rate is fitted to observations at irregular times, and is the one that made them."""
    ts = (0.0, 0.13, 0.5, 0.81, 1.7)
    y0 = torch.ones(1, 1, dtype=torch.float64)
    observed = torch.stack([y0 * math.exp(-1.3 * t) for t in ts])

    class Decay(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.rate = torch.nn.Parameter(torch.tensor(0.2, dtype=torch.float64))

        def forward(self, t, y):
            return -self.rate * y

    for method in ("direct", "anode", "step-checkpoint", "continuous-adjoint"):
        field = Decay()
        optimizer = torch.optim.LBFGS(field.parameters(), max_iter=30, line_search_fn="strong_wolfe")

        def loss(field=field, optimizer=optimizer, method=method):
            optimizer.zero_grad()
            value = (odebench.solve(field, y0, ts, rtol=1e-8, gradient=method).ys - observed).square().sum()
            value.backward()
            return value

        optimizer.step(loss)
        assert field.rate.item() == pytest.approx(1.3, rel=1e-5), method


def test_the_public_names_are_there():
    for name in odebench.__all__:
        assert getattr(odebench, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'solv'"):
        odebench.solv  # noqa: B018
