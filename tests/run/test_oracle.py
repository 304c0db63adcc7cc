"""The oracle of the exact discrete gradient, held against finite differences, theory and the solvers."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from odebench import solvers
from odebench.contract import Grid, OpaqueSolver, Problem, Step, StepSize, Tolerance, parameters_of, relative_l2
from odebench.errors import NotKnownError
from odebench.numerics import OneStepSolver
from odebench.run.oracle import exact_discrete_gradient
from odebench.run.oracle_tableau import Coefficients, take_step
from odebench.run.replay import Chain, Output, differentiate_chain
from tests.models.every import BY_NAME, MODELS, leaves_of
from tests.oracles.differences import directional_derivative, random_directions

SOLVERS = {}
solvers.odebench_register_solvers(lambda solver: SOLVERS.setdefault(solver.name, solver))
EPS = torch.finfo(torch.float64).eps


def solved(problem: Problem, solver, request):
    """The solver's own discrete solution at the loss's times, with its gradients by plain autograd, flat."""
    leaves = tuple(leaf.detach().clone().requires_grad_() for leaf in leaves_of(problem.y0))
    start = leaves if isinstance(problem.y0, tuple) else leaves[0]
    solution = solver.solve(problem.field, start, problem.gradient_ts, request)
    parameters = parameters_of(problem.field)
    found = torch.autograd.grad(problem.loss(solution.ys), (*leaves, *parameters), materialize_grads=True)
    return solution.grid, torch.cat([gradient.reshape(-1) for gradient in found])


def flat(gradients: dict[str, Tensor]) -> Tensor:
    return torch.cat([gradients["grad_y0"], gradients.get("grad_params", torch.zeros(0, dtype=torch.float64))])


def rounding(solver, grid: Grid) -> float:
    """The project's measure: 100 eps √evaluations."""
    return 100 * EPS * math.sqrt(grid.steps * (solver.stages or 20))


def check_by_differences(problem: Problem, solver, grid: Grid, relative: float) -> None:
    """The oracle's gradient against differences of the loss of the solver's own solution on the same grid."""
    gradients = exact_discrete_gradient(problem, solver, grid).value
    parameters = list(parameters_of(problem.field))
    start = [*leaves_of(problem.y0), *(p.detach().clone() for p in parameters)]
    along = random_directions(start)

    def loss(*values: Tensor) -> Tensor:
        count = len(leaves_of(problem.y0))
        for parameter, value in zip(parameters, values[count:], strict=True):
            parameter.copy_(value)
        y0 = tuple(values[:count]) if isinstance(problem.y0, tuple) else values[0]
        return problem.loss(solver.solve(problem.field, y0, problem.gradient_ts, grid).ys)

    expected = directional_derivative(loss, start, along, step=1e-3)
    got = flat(gradients) @ torch.cat([d.reshape(-1) for d in along])
    assert got.item() == pytest.approx(expected, rel=relative)


@pytest.mark.parametrize(
    ("name", "parameters", "solver", "request_"),
    [
        ("lotka-volterra", {"span": 2.0}, "euler", StepSize(steps=20)),
        ("lotka-volterra", {"span": 2.0}, "dopri8", StepSize(step_size=0.3)),
        ("mlp-field", {"width": 5, "time": True}, "rk4", StepSize(steps=4)),
        ("cnf", {"width": 5}, "bosh3", Tolerance(rtol=1e-2, atol=1e-3)),
        ("latent-irregular", {"width": 5, "outputs": 5}, "tsit5", Tolerance(rtol=1e-2, atol=1e-3)),
        ("latent-irregular", {"width": 5, "outputs": 5}, "bosh3", Tolerance(rtol=1e-2, atol=1e-3, batch="per-sample")),
        ("van-der-pol", {"span": 2.0, "mu": 20.0}, "kvaerno3", Tolerance(rtol=1e-2, atol=1e-3)),
    ],
)
def test_the_oracle_agrees_with_finite_differences_of_the_solver(name, parameters, solver, request_):
    problem = BY_NAME[name](batch=3, **parameters).problem(0)
    method = SOLVERS[solver]()
    grid, _ = solved(problem, method, request_)
    assert grid.steps > 1
    check_by_differences(problem, method, grid, 1e-7)


@pytest.mark.parametrize("solver", SOLVERS)
def test_autograd_through_every_solver_is_at_rounding_of_the_oracle(solver):
    problem = BY_NAME["lotka-volterra"](batch=3, span=2.0).problem(0)
    method = SOLVERS[solver]()
    requests = [StepSize(steps=12)]
    if method.adaptive:
        requests = [Tolerance(rtol=1e-3, atol=1e-4)]
        if getattr(method, "accepts_rows", False):
            requests.append(Tolerance(rtol=1e-3, atol=1e-4, batch="per-sample"))
    for request in requests:
        grid, got = solved(problem, method, request)
        found = exact_discrete_gradient(problem, method, grid)
        assert "tableau" in found.method
        assert relative_l2(got, flat(found.value)) < rounding(method, grid)


@pytest.mark.parametrize(
    ("solver", "batch"),
    [(name, "joint") for name, solver in SOLVERS.items() if solver().adaptive]
    + [(name, "per-sample") for name, solver in SOLVERS.items() if solver().adaptive and solver.accepts_rows],
)
def test_output_times_inside_steps_are_at_rounding_too(solver, batch):
    problem = BY_NAME["latent-irregular"](batch=3, width=6, outputs=9).problem(0)
    method = SOLVERS[solver]()
    grid, got = solved(problem, method, Tolerance(rtol=1e-2, atol=1e-3, batch=batch))
    assert grid.per_sample == (batch == "per-sample")
    assert relative_l2(got, flat(exact_discrete_gradient(problem, method, grid).value)) < rounding(method, grid)


@pytest.mark.parametrize(
    ("name", "solver"),
    [
        (name, solver)
        for name in sorted({model.name for model in MODELS} - {"robertson", "arenstorf", "pleiades"})
        for solver in ("dopri5", "heun3")
        # Irregular output times do not lie on a uniform grid.
        if (name, solver) != ("latent-irregular", "heun3")
    ],
)
def test_autograd_is_at_rounding_of_the_oracle_on_every_model(name, solver):
    small = {
        "conv-field": {"size": 4},
        "gaussian-relu": {"dim": 8},
        "spiral": {"span": 2.0},
        "brusselator": {"span": 4.0},
        "van-der-pol": {"span": 2.0},
    }
    problem = BY_NAME[name](batch=2, **small.get(name, {})).problem(0)
    method = SOLVERS[solver]()
    request = Tolerance(rtol=1e-4, atol=1e-5) if method.adaptive else StepSize(steps=100)
    grid, got = solved(problem, method, request)
    assert relative_l2(got, flat(exact_discrete_gradient(problem, method, grid).value)) < rounding(method, grid)


def test_a_stiff_reaction_is_at_rounding_of_the_oracle():
    problem = BY_NAME["robertson"](batch=2, span=0.5).problem(0)
    method = SOLVERS["kvaerno3"]()
    grid, got = solved(problem, method, Tolerance(rtol=1e-3, atol=1e-7))
    assert relative_l2(got, flat(exact_discrete_gradient(problem, method, grid).value)) < rounding(method, grid)


def test_steps_backwards_in_time_are_replayed():
    problem = BY_NAME["lotka-volterra"](batch=2, span=1.0).problem(0)
    problem = replace(problem, ts=(1.0, 0.0))
    method = SOLVERS["dopri5"]()
    grid, got = solved(problem, method, Tolerance(rtol=1e-4, atol=1e-5))
    assert (grid.dt < 0).all()
    assert relative_l2(got, flat(exact_discrete_gradient(problem, method, grid).value)) < rounding(method, grid)


def test_a_grid_that_passes_the_end_is_interpolated_there():
    problem = BY_NAME["lotka-volterra"](batch=2, span=1.0).problem(0)
    method = SOLVERS["dopri5"]()
    starts = torch.arange(4, dtype=torch.float64) * 0.3
    grid, got = solved(problem, method, Grid(t=starts, dt=torch.full_like(starts, 0.3), end=1.2))
    assert grid.end == 1.2
    assert relative_l2(got, flat(exact_discrete_gradient(problem, method, grid).value)) < rounding(method, grid)


def test_the_oracle_is_of_the_grid_and_not_of_the_continuous_problem():
    problem = BY_NAME["logistic"](batch=2, span=2.0).problem(0)
    method = SOLVERS["euler"]()
    gradients = []
    for steps in (4, 8):
        grid, _ = solved(problem, method, StepSize(steps=steps))
        gradients.append(flat(exact_discrete_gradient(problem, method, grid).value))
    assert relative_l2(*gradients) > 1e-2


def test_a_coefficient_that_is_wrong_shows():
    problem = BY_NAME["logistic"](batch=2, span=2.0).problem(0)
    right = SOLVERS["rk4"]()
    grid, got = solved(problem, right, StepSize(steps=8))
    b = list(right.tableau.b_floats)
    b[0], b[1] = b[0] + 1e-9, b[1] - 1e-9
    tableau = SimpleNamespace(
        c_floats=right.tableau.c_floats, a_floats=right.tableau.a_floats, b_floats=b, dense_floats=None
    )
    wrong = exact_discrete_gradient(problem, SimpleNamespace(name="wrong", tableau=tableau), grid)
    assert relative_l2(got, flat(wrong.value)) > 100 * rounding(right, grid)


def test_the_cell_of_a_lower_precision_is_judged_in_float64():
    model = BY_NAME["logistic"](batch=2, rate=0.1)
    grid, got = solved(model.problem(0), SOLVERS["rk4"](), StepSize(steps=8))
    found = exact_discrete_gradient(model.problem(0).to(torch.float32, "cpu"), SOLVERS["rk4"](), grid)
    assert all(value.dtype == torch.float64 for value in found.value.values())
    assert 1e-10 < relative_l2(flat(found.value), got) < 1e-6


class _Leapfrog(OneStepSolver):
    """Two-step midpoint with the state before as its carry: no tableau, only `step`."""

    name = "leapfrog"
    order = 2
    carry_is = "state"

    def first_carry(self, field, t, y):
        return field(t, y)

    def step(self, field, t, dt, y, carry=None, *, error=False, dense=False):
        half = y + 0.5 * dt * carry
        slope = field(t + 0.5 * dt, half)
        return Step(y + dt * slope, None, 2.0 * slope - carry)


def test_a_solver_that_only_has_a_step_is_replayed_through_it_carry_and_all():
    problem = BY_NAME["lotka-volterra"](batch=2, span=1.0).problem(0)
    grid, got = solved(problem, _Leapfrog(), StepSize(steps=50))
    found = exact_discrete_gradient(problem, _Leapfrog(), grid)
    assert "own step" in found.method
    assert relative_l2(got, flat(found.value)) < 1e-13
    check_by_differences(problem, _Leapfrog(), grid, 1e-8)


class _Opaque(OpaqueSolver):
    name = "opaque"
    order = 1

    def solve(self, field, y0, ts, grid, inputs=()):
        raise NotImplementedError


def test_what_cannot_be_replayed_has_a_reason():
    problem = BY_NAME["logistic"](batch=2).problem(0)
    grid, _ = solved(problem, SOLVERS["rk4"](), StepSize(steps=8))
    with pytest.raises(NotKnownError, match="does not tell its steps"):
        exact_discrete_gradient(problem, _Opaque(), None)
    with pytest.raises(NotKnownError, match="neither a tableau nor a step"):
        exact_discrete_gradient(problem, _Opaque(), grid)
    with pytest.raises(NotKnownError, match="does not lie on the grid"):
        exact_discrete_gradient(replace(problem, ts=(0.0, 7.0)), SOLVERS["rk4"](), grid)


def test_a_replay_that_is_not_finite_or_costs_too_much_is_not_known(monkeypatch):
    problem = BY_NAME["spiral"](batch=2).problem(0)
    grid = Grid(
        t=torch.zeros(40, dtype=torch.float64) + torch.arange(40) * 25 / 40, dt=torch.full((40,), 25 / 40), end=25.0
    )
    with pytest.raises(NotKnownError, match="not finite"):
        exact_discrete_gradient(problem, SOLVERS["euler"](), grid)
    monkeypatch.setattr("odebench.run.reference_cost.BUDGET_S", 1e-6)
    with pytest.raises(NotKnownError, match="evaluations"):
        exact_discrete_gradient(problem, SOLVERS["euler"](), grid)


class _Mixing(nn.Module):
    """Rows that see each other's mean, as with BatchNorm."""

    def __init__(self) -> None:
        super().__init__()
        self.rate = nn.Parameter(torch.tensor(-1.0, dtype=torch.float64))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return self.rate * (y - y.mean(dim=0)).tanh()


def test_rows_that_interact_are_replayed_explicitly_and_refused_implicitly():
    y0 = torch.randn(4, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    problem = Problem(field=_Mixing(), y0=y0, ts=(0.0, 1.0))
    grid, got = solved(problem, SOLVERS["rk4"](), StepSize(steps=6))
    assert relative_l2(got, flat(exact_discrete_gradient(problem, SOLVERS["rk4"](), grid).value)) < 1e-14
    with pytest.raises(NotKnownError, match="interact"):
        exact_discrete_gradient(problem, SOLVERS["kvaerno3"](), grid)


def test_an_implicit_stage_solves_its_equation_and_has_its_derivative():
    """The implicit midpoint rule on y' = λ y: y1 = y (1 + λ dt/2)/(1 - λ dt/2), and so is its derivative."""
    rate = torch.tensor(-3.0, dtype=torch.float64, requires_grad=True)
    y = torch.tensor([[2.0]], dtype=torch.float64, requires_grad=True)
    midpoint = Coefficients(c=(0.5,), a=((0.5,),), b=(1.0,), dense=None)
    taken = take_step(midpoint, lambda t, state: rate * state, 0.0, 0.4, y)
    by_rate, by_y = torch.autograd.grad(taken.y1.sum(), (rate, y))
    x = -3.0 * 0.4
    growth = (1 + x / 2) / (1 - x / 2)
    assert taken.y1.item() == pytest.approx(2.0 * growth, rel=1e-15)
    assert by_y.item() == pytest.approx(growth, rel=1e-15)
    assert by_rate.item() == pytest.approx(2.0 * 0.4 / (1 - x / 2) ** 2, rel=1e-14)


@pytest.mark.parametrize("segment", [1, 3, 7, 100])
def test_cutting_a_chain_does_not_change_its_gradient(segment):
    weight = torch.tensor(0.9, dtype=torch.float64, requires_grad=True)
    y0 = torch.tensor([[1.0, -2.0]], dtype=torch.float64)

    def advance(n, y):
        y = torch.sin(weight * y) + 0.1 * n
        return y, [Output(1 + n // 4, y)] if n in (3, 7) else []

    def loss(outputs):
        return (outputs[0] * outputs[1] * outputs[2]).sum()

    leaf, states = y0.clone().requires_grad_(), []
    y = leaf
    for n in range(8):
        y, _ = advance(n, y)
        states.append(y)
    expected = torch.autograd.grad(loss(torch.stack((leaf, states[3], states[7]))), (leaf, weight))
    found = differentiate_chain(Chain(8, advance, 3), y0, (weight,), loss, segment)
    torch.testing.assert_close(found.grad_y0, expected[0], rtol=1e-14, atol=0)
    torch.testing.assert_close(found.grad_parameters[0], expected[1], rtol=1e-14, atol=0)
