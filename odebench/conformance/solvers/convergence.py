"""Errors that shrink as declared."""

from __future__ import annotations

import torch

from odebench.conformance.failure import Failure
from odebench.conformance.orders import fitted_slope, in_words, observed_order, slopes_of, window
from odebench.conformance.problems import SmoothProblem, growth, smooth_problems, turning
from odebench.conformance.solvers.requests import solved
from odebench.contract import Solver, StepSize, Tolerance
from odebench.errors import DivergedError
from odebench.numerics import OneStepSolver
from odebench.numerics.timed_field import TimedField

# The refinement ends with so many steps once an order is seen, and the tightening of tolerances with so many evaluations:
# beyond that the check is slow, and the slope known. Implicit methods take many evaluations a step.
_ENOUGH_STEPS = {False: 256, True: 64}
_ENOUGH_EVALUATIONS = {False: 1200, True: 1800}
# A method whose errors come down late has so many halvings for it, unless its errors do not fall at all.
_MOST_HALVINGS = 17
_CLEARLY_MANY = 1024
_TOLERANCES = [10.0**-k for k in range(2, 12)]


def check_observed_order(solver: Solver) -> str:
    """Halving the step divides the error by 2 to the power of the order, wherever the error is clear of rounding."""
    found = {problem.name: _observed(solver, problem) for problem in smooth_problems()}
    return ", ".join(f"order {order:.2f} on {name}" for name, order in found.items())


@torch.no_grad()
def _observed(solver: Solver, problem: SmoothProblem) -> float:
    long = solver.order > 4
    end, steps = (problem.long_span, problem.long_steps) if long else (problem.span, 1)
    exact = problem.exact(end)
    size = exact.norm().item()
    errors: list[float] = []
    order = None
    for _ in range(_MOST_HALVINGS):
        try:
            y1 = solver.solve(problem.field, problem.y0, (0.0, end), StepSize(steps=steps)).y1
            errors.append((y1 - exact).norm().item())
        except DivergedError:  # the equations of steps that are too long need not have a solution
            errors.clear()
        order = observed_order(errors, size)
        if errors and errors[-1] < window(size)[0]:
            break
        if order is not None and (
            steps >= _ENOUGH_STEPS[solver.implicit] or window(size)[0] * 1e3 > errors[-1] > errors[-2] / 2
        ):
            break
        if steps >= _CLEARLY_MANY and len(errors) > 3 and not errors[-1] < 0.7 * errors[-4]:
            break  # it falls no more
        steps *= 2
    if order is None:
        late = slopes_of(errors[-3:])
        if late and min(late) > solver.order - 0.3:
            cause, look = (
                "on this problem its errors are large, and come down late",
                "whether the defaults of its parameters suit a smooth problem with rates between 0.1 and 1",
            )
        else:
            cause, look = (
                "the method does not converge to the solution",
                "the weights and the nodes of a step, and at which time the field is called",
            )
        raise Failure(
            expected=f"an error that falls with the power {solver.order} of the step, on {problem.name}",
            measured=f"no three halvings of the step in the asymptotic window: errors {in_words(errors)}",
            cause=cause,
            look=look,
        )
    if abs(order - solver.order) > 0.2:
        lower = (
            "a coefficient is wrong, or a stage is taken at a wrong time"
            if order < solver.order
            else "`order` is too low"
        )
        raise Failure(
            expected=f"order {solver.order}, as declared, on {problem.name}",
            measured=f"{order:.2f}: errors {in_words(errors)} where each has twice the steps of the one before",
            cause=lower,
            look="the tableau, against its source, and at `order`",
        )
    return order


@torch.no_grad()
def check_tolerance_proportionality(solver: Solver) -> str:
    """The error is proportional to the tolerance: the slope of one against the other, in logarithms, is near 1."""
    problem = turning()
    # Few long steps say little: the error then depends on where they happen to end.
    end = 3.0 if solver.order <= 5 else 10.0
    exact = problem.exact(end)
    low, high = window(exact.norm().item())
    tolerances: list[float] = []
    errors: list[float] = []
    for tolerance in _TOLERANCES:
        try:
            solution = solver.solve(problem.field, problem.y0, (0.0, end), Tolerance(rtol=tolerance, atol=tolerance))
        except DivergedError:  # a step can be accepted from which no way leads on, where the tolerance is loose
            tolerances.clear()
            errors.clear()
            continue
        error = (solution.y1 - exact).norm().item()
        if low <= error <= high:
            tolerances.append(tolerance)
            errors.append(error)
        if error < low or solution.stats.evaluations_forward > _ENOUGH_EVALUATIONS[solver.implicit]:
            break
    decades = len(tolerances) - 1
    slope = fitted_slope(tolerances, errors) if decades >= 2 else 0.0
    if not 0.85 <= slope <= 1.15:
        raise Failure(
            expected="an error that is proportional to the tolerance: slope 1 in logarithms, 0.85 to 1.15 allowed",
            measured=f"slope {slope:.2f} over {decades} decades: errors {in_words(errors)} at tolerances {in_words(tolerances)}",
            cause="the error estimate is not of the declared order, or the exponents of the step control do not fit it",
            look="`error_order`, `b_error` and the step control",
        )
    return f"slope {slope:.2f} over {decades} decades"


@torch.no_grad()
def check_interpolant_order(solver: Solver) -> str:
    """Within a single step the error of the interpolant falls with the power of the step that its order says."""
    problem = turning()
    promised = min(solver.interpolant_order, solver.order) + 1
    shares = (0.21, 0.37, 0.5, 0.83)
    errors = []
    for k in range(0, 9):
        dt = 2.0**-k
        times = [share * dt for share in shares]
        ys = solved(solver, problem.field, problem.y0, (0.0, *times, dt), StepSize(steps=1), problem.name).ys
        errors.append(max((y - problem.exact(t)).norm().item() for y, t in zip(ys[1:-1], times, strict=True)))
        if errors[-1] < window(1.0)[0]:
            break
    slopes = slopes_of([error for error in errors if error >= window(1.0)[0]])
    best = max(slopes[-3:], default=0.0)
    if best < promised - 0.25:
        raise Failure(
            expected=f"errors within one step that fall with the power {promised} of its length (order {promised - 1})",
            measured=f"powers {in_words(slopes)}: errors {in_words(errors)} where each step is half the one before",
            cause="a coefficient of the interpolant is wrong, or `interpolant_order` is too high",
            look="`interpolate`, the rows of `dense`, and `interpolant_order`",
        )
    return f"power {best:.2f} of the step, {promised} promised"


@torch.no_grad()
def check_error_estimate_order(solver: OneStepSolver) -> str:
    """The error estimate of a single step falls with the power of its length that the step control rests on."""
    problem = growth()
    sizes: list[float] = []
    for k in range(-2, 7):
        field = TimedField(problem.field, problem.y0)
        sizes.append(solver.step(field, 0.5, 2.0**-k, problem.exact(0.5), None, error=True).error.norm().item())
        if sizes[-1] < window(1.0)[0] * 10:
            break
    slopes = slopes_of(sizes)
    found = slopes[-2] if len(slopes) > 1 and sizes[-1] < window(1.0)[0] else (slopes or [0.0])[-1]
    if abs(found - solver.error_order) > 0.3:
        raise Failure(
            expected=f"an estimate that falls with the power {solver.error_order} of the step, as `error_order` says",
            measured=f"{found:.2f}: estimates {in_words(sizes)} where each step is half the one before",
            cause="the difference of the two methods is not what it should be, or `error_order` is not its order plus 1",
            look="`b_error`, which is b - b_hat, and `embedded_order`",
        )
    return f"power {found:.2f}"
