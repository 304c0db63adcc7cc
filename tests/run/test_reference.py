"""References are right, and know how right they are."""

from __future__ import annotations

from dataclasses import replace

import mpmath
import pytest
import torch
from torch import Tensor, nn

from odebench.contract import Problem, relative_l2
from odebench.errors import NotKnownError
from odebench.run import reference as module
from odebench.run import reference_cost
from odebench.run.flat_problem import FlatProblem
from odebench.run.reference import reference_gradient, reference_solution
from odebench.run.reference_collocation import radau_coefficients, radau_step
from odebench.run.reference_extrapolation import extrapolated_step
from tests.models.every import BY_NAME, leaves_of
from tests.oracles.differences import directional_derivative, random_directions

CLOSED = [
    ("linear", {"matrix": "spiral"}),
    ("linear", {"matrix": "jordan", "rate": 3.0}),
    ("harmonic-oscillator", {}),
    ("logistic", {}),
    ("relu-decay", {}),
    ("gaussian-relu", {"dim": 6}),
]


def worst(left, right) -> float:
    """The largest relative error over the output times after the first, or over the gradients' names."""
    if isinstance(left, dict):
        assert left.keys() == right.keys()
        return max(relative_l2(left[name], right[name]) for name in left)
    return max(relative_l2(a, b) for a, b in zip(left[1:], right[1:], strict=True))


@pytest.mark.parametrize(("name", "parameters"), CLOSED)
def test_two_ways_find_the_closed_form_within_their_uncertainty(name, parameters):
    problem = BY_NAME[name](batch=2, outputs=3, **parameters).problem(0)
    closed = reference_solution(problem, problem.ts)
    found = reference_solution(replace(problem, exact=None), problem.ts)
    assert closed.method == "closed form"
    assert closed.uncertainty < 1e-13
    assert "DOP853" in found.method
    assert found.uncertainty < 1e-10
    assert worst(found.value, closed.value) <= 2 * (found.uncertainty + closed.uncertainty)


@pytest.mark.parametrize(("name", "parameters"), CLOSED[:-1])
def test_two_ways_find_the_gradient_of_the_closed_form_within_their_uncertainty(name, parameters):
    problem = BY_NAME[name](batch=2, outputs=3, **parameters).problem(0)
    closed = reference_gradient(problem)
    found = reference_gradient(replace(problem, exact=None))
    assert closed.method.startswith("closed form")
    assert set(closed.value) == {"grad_y0", "grad_params"}
    assert found.uncertainty < 1e-9
    assert worst(found.value, closed.value) <= 2 * (found.uncertainty + closed.uncertainty)


def test_a_reference_agrees_with_a_taylor_series_in_30_digits():
    problem = BY_NAME["lotka-volterra"](batch=1, span=3.0, outputs=1).problem(0)
    found = reference_solution(problem, problem.ts)
    with mpmath.workdps(30):
        solve = mpmath.odefun(lambda t, y: [1.5 * y[0] - y[0] * y[1], y[0] * y[1] - 3 * y[1]], 0, [1, 1])
        expected = torch.tensor([float(v) for v in solve(3)], dtype=torch.float64)
    assert relative_l2(found.value[-1, 0], expected) <= 2 * found.uncertainty
    assert found.digits > 12


@pytest.mark.parametrize("name", ["cnf", "latent-irregular", "conv-field", "mlp-field"])
def test_neural_fields_have_references_of_thirteen_digits(name):
    problem = BY_NAME[name](batch=4).problem(0)
    solution, gradient = reference_solution(problem, problem.ts), reference_gradient(problem)
    assert solution.digits > 13
    assert gradient.digits > 13
    for value, leaf in zip(leaves_of(solution.value), leaves_of(problem.y0), strict=True):
        assert value.shape == (len(problem.ts), *leaf.shape)
        assert torch.equal(value[0], leaf)
    assert gradient.value["grad_params"].numel() == sum(p.numel() for p in problem.field.parameters())


def test_the_gradient_is_that_of_finite_differences_of_the_solution():
    problem = BY_NAME["latent-irregular"](batch=2, outputs=4, width=4).problem(0)
    gradient = reference_gradient(problem).value
    parameters = list(problem.field.parameters())
    start = [problem.y0.clone(), *(p.detach().clone() for p in parameters)]
    along = random_directions(start)

    def loss(y0: Tensor, *values: Tensor) -> Tensor:
        for parameter, value in zip(parameters, values, strict=True):
            parameter.copy_(value)
        return problem.loss(reference_solution(replace(problem, y0=y0), problem.loss_ts).value)

    expected = directional_derivative(loss, start, along, step=2e-3)
    flat = torch.cat([d.reshape(-1) for d in along])
    got = torch.cat([gradient["grad_y0"], gradient["grad_params"]]) @ flat
    assert got.item() == pytest.approx(expected, rel=1e-7)


def test_a_stiff_problem_is_solved_by_implicit_ways():
    problem = BY_NAME["van-der-pol"](mu=60.0, span=2.0, outputs=2, batch=2).problem(0)
    assert problem.stiff
    solution, gradient = reference_solution(problem, problem.ts), reference_gradient(problem)
    assert "Radau IIA" in solution.method
    assert solution.digits > 10
    assert gradient.digits > 8
    explicit = reference_solution(replace(problem, stiff=False), problem.ts)
    assert "DOP853" in explicit.method
    assert worst(solution.value, explicit.value) <= 2 * (solution.uncertainty + explicit.uncertainty)
    other = reference_gradient(replace(problem, stiff=False))
    assert worst(gradient.value, other.value) <= 2 * (gradient.uncertainty + other.uncertainty)


def test_the_reference_is_that_of_the_rounded_problem():
    model = BY_NAME["logistic"](rate=0.1, batch=2)
    whole, rounded = model.problem(0), model.problem(0).to(torch.float32, "cpu")
    ts = whole.ts
    exact, approximate = reference_solution(whole, ts).value, reference_solution(rounded, ts).value
    assert approximate.dtype == torch.float64
    assert 1e-10 < relative_l2(approximate[-1], exact[-1]) < 1e-6


def test_time_may_run_backwards():
    problem = BY_NAME["lotka-volterra"](batch=2, span=1.0, outputs=2).problem(0)
    there = reference_solution(problem, problem.ts)
    back = replace(problem, y0=there.value[-1], ts=tuple(reversed(problem.ts)))
    again = reference_solution(back, back.ts)
    assert relative_l2(again.value[-1], problem.y0) < 1e-12


def test_no_rows_have_no_solution_and_a_gradient_of_zero():
    problem = BY_NAME["cnf"](batch=0).problem(0)
    solution = reference_solution(problem, problem.ts)
    assert [leaf.shape for leaf in solution.value] == [(9, 0, 2), (9, 0, 1)]
    gradient = reference_gradient(problem).value
    assert gradient["grad_y0"].shape == (0,)
    assert not gradient["grad_params"].any()


class _Explosion(nn.Module):
    """y' = y², which ends at t = 1/y0."""

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return y * y


def test_a_solution_that_does_not_exist_is_not_known():
    problem = Problem(field=_Explosion(), y0=torch.ones(1, 1, dtype=torch.float64), ts=(0.0, 2.0))
    with pytest.raises(NotKnownError, match="No reference was found"):
        reference_solution(problem, problem.ts)


def test_a_field_without_parameters_has_no_gradient_of_parameters():
    problem = Problem(field=_Explosion(), y0=torch.full((1, 1), 0.5, dtype=torch.float64), ts=(0.0, 1.0))
    found = reference_gradient(problem)
    # y(1) = y0/(1 - y0) and the loss is y(1)²/2, so its derivative is y(1)/(1 - y0)².
    assert list(found.value) == ["grad_y0"]
    assert found.value["grad_y0"].item() == pytest.approx(4.0, rel=1e-12)


def test_what_costs_too_much_is_not_known(monkeypatch):
    monkeypatch.setattr(reference_cost, "BUDGET_S", 1e-3)
    problem = BY_NAME["lotka-volterra"](batch=2).problem(0)
    with pytest.raises(NotKnownError, match="evaluations"):
        reference_solution(problem, problem.ts)


def test_disagreement_becomes_uncertainty(monkeypatch):
    """A first way that is wrong in the seventh digit leaves six."""
    problem = BY_NAME["lotka-volterra"](batch=2, span=1.0).problem(0)
    right = module.solve_trajectory

    def wrong(*arguments):
        found = right(*arguments)
        return found._replace(outputs=found.outputs * (1.0 + 1e-7))

    monkeypatch.setattr(module, "solve_trajectory", wrong)
    assert reference_solution(problem, problem.ts).uncertainty == pytest.approx(1e-7, rel=0.01)


def test_a_closed_form_that_ignores_a_parameter_is_not_differentiated():
    problem = BY_NAME["logistic"](batch=2, span=1.0).problem(0)
    other = BY_NAME["logistic"](batch=2, span=1.0).problem(0)
    blind = replace(problem, exact=lambda p, t: problem.exact(replace(other, y0=p.y0), t))
    assert "DOP853" in reference_gradient(blind).method


def test_the_radau_coefficients_integrate_polynomials_exactly():
    c, a = radau_coefficients(5)
    assert c[-1] == 1.0
    for power in range(5):
        torch.testing.assert_close(a @ c**power, c ** (power + 1) / (power + 1), rtol=1e-14, atol=1e-15)
    # The last row are the weights; they integrate up to degree 2 s - 2.
    for power in range(9):
        assert (a[-1] @ c**power).item() == pytest.approx(1 / (power + 1), rel=1e-13)
    assert abs((a[-1] @ c**9).item() - 1 / 10) > 1e-7


@pytest.mark.parametrize(("step", "order", "steps"), [(extrapolated_step, 14, (1, 2)), (radau_step, 9, (2, 4))])
def test_the_second_way_has_its_order(step, order, steps):
    flat = FlatProblem(BY_NAME["logistic"](batch=2, span=8.0).problem(0))
    errors = []
    for count in steps:
        y, dt = flat.y0, 8.0 / count
        for n in range(count):
            y = step(flat.field, n * dt, dt, y).detach()
        errors.append(relative_l2(y, flat.problem.exact(flat.problem, 8.0)))
    observed = torch.tensor(errors[0] / errors[1]).log2().item()
    assert errors[1] > 1e-13
    assert observed > order - 2.5
