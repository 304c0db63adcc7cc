"""The task that asks whether a linear layer could tell the classes apart."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from odebench.contract import Known, Setting, StepSize, Unknown
from odebench.plugins import build_registry


@pytest.fixture(scope="module")
def registry():
    return build_registry(prefixes=[], strict=True)


class KnowsTheProblem(Known):
    """Has no references: the task must not ask for one."""

    def __init__(self, problem):
        self.problem = problem

    def solution(self, ts):
        raise AssertionError("the task asked for a solution")

    gradient = discrete_gradient = solution


def judged(registry, problem, step_size, solver="euler"):
    task = registry.get("task", "separability").build()
    setting = Setting(
        problem=problem,
        solver=registry.get("solver", solver).build(),
        gradient=None,
        grid=StepSize(step_size=step_size),
    )
    answer = task.forward(setting, problem.y0)
    return task.judge(answer.states, KnowsTheProblem(problem)), answer


FANS = [{"alpha": 0.0, "beta": 1.0}, {"alpha": 0.5, "beta": 0.0}]


@pytest.mark.parametrize("constants", FANS, ids=str)
@pytest.mark.parametrize(("exponent", "separable"), [(-2.5, True), (-3.5, False)])
def test_eulers_error_separates_the_fan_at_the_papers_step(registry, constants, exponent, separable):
    problem = registry.get("model", "xor-fan").build(**constants, gamma=50.0, delta=1.0).problem(0)
    columns, answer = judged(registry, problem, 10.0**exponent)
    assert columns["separable"] is separable
    assert (columns["separability_margin"] > 1e-3) == separable
    # Four points of the plane, of which the first is the origin: classes 0, 1, 1, 0. By hand, and by another solver of the
    # equation: a line separates {0, d} from {a, b} unless their segments meet.
    end = answer.states["ys"][-1].numpy()
    np.testing.assert_allclose(end, by_hand(10.0**exponent, **constants), rtol=1e-9, atol=1e-12)
    assert segments_meet(end[0], end[3], end[1], end[2]) == (not separable)


def by_hand(step, alpha, beta, gamma=50.0):
    """Euler's method, the last step cut at 1."""
    z = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    t = 0.0
    while t < 1.0 - 1e-12:
        h = min(step, 1.0 - t)
        x, v = z.T
        z = z + h * np.stack((alpha * x + v, -gamma * np.hypot(x, v) * x + beta * v), 1)
        t += h
    return z


def segments_meet(a, b, c, d) -> bool:
    """Whether the segments ab and cd have a point in common, by their lines' parameters there."""
    s, t = np.linalg.solve(np.stack((b - a, c - d), 1), c - a)
    return 0 <= s <= 1 and 0 <= t <= 1


@pytest.mark.parametrize("step", [10.0**-2.5, 10.0**-3.5])
def test_a_better_solver_at_the_same_step_does_not_separate_the_fan(registry, step):
    for constants in FANS:
        problem = registry.get("model", "xor-fan").build(**constants).problem(0)
        assert judged(registry, problem, step, "rk4")[0]["separable"] is False


def test_rows_of_no_class_are_unknown(registry):
    problem = registry.get("model", "lotka-volterra").build(batch=3).problem(0)
    columns, _ = judged(registry, problem, 0.1)
    assert set(columns) == {"separable", "separability_margin"}
    assert all(isinstance(value, Unknown) and "belong to no classes" in value.reason for value in columns.values())


def test_states_of_any_shape_are_taken_as_they_are(registry):
    """Images of ten classes, fewer than their pixels."""
    problem = registry.get("model", "conv2d-net").build(batch=20).problem(0)
    columns, _ = judged(registry, problem, 0.25)
    assert columns["separable"] is True


def test_tuple_states_are_joined(registry):
    task = registry.get("task", "separability").build()
    problem = registry.get("model", "xor-fan").build().problem(0)
    corners = torch.stack((problem.y0, problem.y0)).double()
    product = corners[..., :1] * corners[..., 1:]  # of both coordinates: with it, a plane separates the corners
    plain = task.judge({"ys": corners}, KnowsTheProblem(problem))
    joined = task.judge({"ys.0": corners, "ys.1": product}, KnowsTheProblem(problem))
    assert (plain["separable"], joined["separable"]) == (False, True)


def test_a_state_that_is_not_finite_is_unknown(registry):
    problem = registry.get("model", "xor-fan").build().problem(0)
    task = registry.get("task", "separability").build()
    ys = torch.full((2, 4, 2), torch.inf, dtype=torch.float64)
    columns = task.judge({"ys": ys}, KnowsTheProblem(problem))
    assert "not finite" in columns["separable"].reason
