"""How long steps are: the first one, and those after accepted and rejected ones."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from odebench.api import solve
from odebench.contract import Tolerance
from odebench.errors import GridError
from odebench.numerics.step_control import ErrorNorm, StepControl, first_step
from odebench.numerics.timed_field import TimedField
from tests.oracles.smooth_problems import PROBLEMS

TOLERANCE = Tolerance(rtol=1e-3, atol=1e-5)


def norm_of(error, y0, y1, rtol, atol):
    """Equation II.4.11 of Hairer, Nørsett, Wanner, in numpy."""
    scale = atol + rtol * np.maximum(np.abs(y0), np.abs(y1))
    return float(np.sqrt(np.mean(np.abs(error / scale) ** 2)))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.complex128])
def test_the_error_norm(dtype):
    generator = torch.Generator().manual_seed(0)
    y0, y1, y2, error = (torch.randn(3, 4, generator=generator, dtype=torch.float64).to(dtype) for _ in range(4))
    if dtype.is_complex:
        y1, error = y1 * 1j + y0, error * (1 + 2j)
    norm = ErrorNorm(TOLERANCE, y0)
    assert norm(error, y1) == pytest.approx(norm_of(error.numpy(), y0.numpy(), y1.numpy(), 1e-3, 1e-5), rel=1e-5)
    # The scale's y0 is the last *accepted* state.
    assert norm(error, y2) == pytest.approx(norm_of(error.numpy(), y0.numpy(), y2.numpy(), 1e-3, 1e-5), rel=1e-5)
    norm.accept()
    assert norm(error, y1) == pytest.approx(norm_of(error.numpy(), y2.numpy(), y1.numpy(), 1e-3, 1e-5), rel=1e-5)


def test_the_error_norm_of_elements():
    y0 = torch.ones(6, dtype=torch.float64)
    error = torch.tensor([1e-3, 1e-3, 1.0, 1.0, math.nan, math.inf], dtype=torch.float64)
    some = ErrorNorm(Tolerance(rtol=1e-3, atol=0.0, norm_elements=2), y0)
    assert some(error, y0) == pytest.approx(1.0)
    assert math.isnan(ErrorNorm(TOLERANCE, y0)(error, y0))
    assert ErrorNorm(TOLERANCE, y0[:0])(error[:0], y0[:0]) == 0.0


def test_all_tensors_of_a_tuple_count_as_one():
    """The root mean square runs over all elements of all tensors, not over the tensors' norms."""
    small, large = torch.zeros(1, dtype=torch.float64), torch.zeros(99, dtype=torch.float64)
    field = lambda t, s: (torch.cos(20 * t) * torch.ones_like(s[0]), torch.zeros_like(s[1]))  # noqa: E731
    packed = lambda t, y: torch.cat(field(t, (y[:1], y[1:])))  # noqa: E731
    one = solve(field, (small, large), (0.0, 1.0), rtol=1e-6)
    other = solve(packed, torch.cat((small, large)), (0.0, 1.0), rtol=1e-6)
    assert torch.equal(one.grid.t, other.grid.t)
    alone = solve(lambda t, y: torch.cos(20 * t) * torch.ones_like(y), small, (0.0, 1.0), rtol=1e-6)
    assert one.grid.steps < alone.grid.steps


@pytest.mark.parametrize("k", [2, 5, 8])
def test_the_controller_by_its_formula(k):
    """Factors typed again from Gustafsson's controller with Hairer and Wanner's constants."""
    control, previous = StepControl(TOLERANCE, k), 1e-4
    for error in (0.5, 0.01, 0.9, 1e-6, 0.3):
        expected = 0.9 * error ** (-0.85 / k) * previous ** (0.2 / k)
        assert control.accepted(error) == pytest.approx(min(10.0, max(0.2, expected)))
        previous = max(error, 1e-4)
    assert control.accepted(0.0) == 10.0


def test_a_rejected_step_shrinks_and_its_successor_does_not_grow():
    control = StepControl(TOLERANCE, 5)
    assert control.rejected(3.0) == pytest.approx(0.9 * 3.0 ** (-1 / 5))
    assert control.rejected(1e30) == 0.2
    assert control.rejected(math.inf) == control.rejected(math.nan) == 0.2
    assert control.rejected(1.0 + 1e-12) < 0.91
    assert control.accepted(1e-9) == 1.0, "after a rejection"
    assert control.accepted(1e-9) > 1.0, "and then again"


def hairers_first_step(field, t, y, span, rtol, atol, order):
    """Algorithm II.4.14 of Hairer, Nørsett, Wanner, with their 1/(p + 1) for a local error of order p + 1; numpy."""
    slope, scale = field(t, y), atol + rtol * np.abs(y)
    size = lambda v: float(np.sqrt(np.mean((v / scale) ** 2)))  # noqa: E731
    d0, d1 = size(y), size(slope)
    h0 = 1e-6 if d0 < 1e-5 or d1 < 1e-5 else 0.01 * d0 / d1
    h0, sign = min(h0, abs(span)), math.copysign(1.0, span)
    d2 = size(field(t + sign * h0, y + sign * h0 * slope) - slope) / h0
    h1 = max(1e-6, h0 * 1e-3) if max(d1, d2) <= 1e-15 else (0.01 / max(d1, d2)) ** (1 / order)
    return sign * min(100 * h0, h1, abs(span))


@pytest.mark.parametrize("span", [2.0, -2.0, 1e-4])
@pytest.mark.parametrize("order", [2, 5, 8])
@pytest.mark.parametrize("problem", PROBLEMS)
def test_the_first_step_by_its_algorithm(problem, order, span):
    problem = PROBLEMS[problem]
    field = TimedField(problem.field, problem.y0)
    slope = field(0.3, problem.y0)
    got = first_step(field, 0.3, problem.y0, slope, span, ErrorNorm(TOLERANCE, problem.y0), order)
    in_numpy = lambda t, y: problem.field(torch.tensor(t, dtype=torch.float64), torch.from_numpy(y)).numpy()  # noqa: E731
    expected = hairers_first_step(in_numpy, 0.3, problem.y0.numpy(), span, 1e-3, 1e-5, order)
    assert got == pytest.approx(expected, rel=1e-10)
    assert field.evaluations == 2


@pytest.mark.parametrize("value", [0.0, 1e-300, 1e300, math.inf, math.nan])
@pytest.mark.parametrize("state", [0.0, 1.0])
def test_the_first_step_is_finite_whatever_the_field(value, state):
    y = torch.full((2,), state, dtype=torch.float64)
    field = TimedField(lambda t, y: torch.full_like(y, value), y)
    for tolerance in (TOLERANCE, Tolerance(rtol=1e-3, atol=0.0)):
        got = first_step(field, 0.0, y, field(0.0, y), -3.0, ErrorNorm(tolerance, y), 5)
        assert math.isfinite(got) and -3.0 <= got < 0.0


def test_steps_grow_and_shrink_with_the_solution():
    """A calm, a fast and a calm part: the steps follow, within the controller's bounds."""
    field = lambda t, y: 50 * torch.exp(-200 * (t - 1) ** 2) * torch.cos(40 * t) * torch.ones_like(y)  # noqa: E731
    solution = solve(field, torch.zeros(1, 1, dtype=torch.float64), (0.0, 3.0), rtol=1e-6, atol=1e-8)
    dt, t = solution.grid.dt, solution.grid.t
    assert dt[(t > 0.95) & (t < 1.05)].max() < 0.1 * dt.max()
    ratio = dt[1:] / dt[:-1]
    assert ratio[:-1].max() <= 10.0 + 1e-9
    times = np.linspace(0.0, 3.0, 200_001)
    integral = np.trapezoid(50 * np.exp(-200 * (times - 1) ** 2) * np.cos(40 * times), times)
    assert solution.y1.item() == pytest.approx(integral, abs=1e-5)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"rtol": -1e-3}, "rtol is -0.001; it must be finite and at least 0"),
        ({"atol": math.nan}, "atol is nan"),
        ({"rtol": math.inf}, "rtol is inf"),
        ({"rtol": 0.0, "atol": 0.0}, "both 0, which no step can meet"),
        ({"batch": "all"}, "must be 'joint' or 'per-sample'"),
        ({"max_steps": 0}, "max_steps is 0"),
        ({"first_step": 0.0}, "first_step is 0.0"),
        ({"min_step": -1.0}, "min_step is -1.0"),
        ({"min_factor": 1.5}, "on both sides of 1"),
        ({"max_factor": 0.9}, "on both sides of 1"),
    ],
)
def test_tolerances_that_mean_nothing_are_refused(changes, text):
    with pytest.raises(GridError, match=text):
        Tolerance(**{"rtol": 1e-3, "atol": 1e-3, **changes})
