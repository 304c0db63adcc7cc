"""The solution that is declared: it satisfies the equation, and others find it too."""

from __future__ import annotations

import itertools
import math

import numpy as np

from odebench.conformance.failure import Failure
from odebench.conformance.models.flat import (
    MOST_EVALUATIONS,
    TooMany,
    distance,
    packed,
    slope_at,
    solved,
    some_rows,
)
from odebench.contract import Model, Problem
from odebench.errors import NotKnownError

_SHARES = (0.05, 0.11, 0.23, 0.37, 0.41)
"""Where differences are taken: what comes later is compared with another solver at the end."""
_CLOSED = 1e-6


def check_closed_form_starts_at_the_initial_state(model: Model) -> str:
    """At the first time the closed form is y0."""
    problem = some_rows(model.problem(0))
    error = distance(packed(problem.exact(problem, problem.ts[0])), packed(problem.y0))
    if error > 1e-13:
        raise Failure(
            expected="y0 from the closed form at the first time",
            measured=f"a relative difference of {error:.1e}",
            cause="time is not counted from `ts[0]`, or the closed form has its own initial state",
            look="`exact`: it takes the problem's y0",
        )
    return f"{error:.1e}"


def check_closed_form_satisfies_the_equation(model: Model) -> str:
    """Its derivative, by differences of order 4, is the field."""
    problem = some_rows(model.problem(0))
    errors = []
    for share in _SHARES:
        t = problem.ts[0] + share * (problem.ts[-1] - problem.ts[0])
        h = 1e-4 * abs(problem.ts[-1] - problem.ts[0])
        try:
            before, behind, ahead, after = (packed(problem.exact(problem, t + k * h)) for k in (-2, -1, 1, 2))
            here = problem.exact(problem, t)
        except NotKnownError:
            continue
        slope, expected = (before - 8 * behind + 8 * ahead - after) / (12 * h), packed(slope_at(problem, t, here))
        size = max(np.linalg.norm(expected), 1e-3 * np.linalg.norm(packed(here)) / abs(problem.ts[-1] - problem.ts[0]))
        errors.append(float(np.linalg.norm(slope - expected) / max(size, 1e-300)))
    # The median: differences across a kink of the field are only of order 1.
    error = float(np.median(errors)) if errors else math.inf
    if not error < _CLOSED:
        raise Failure(
            expected=f"that the derivative of the closed form is the field, to {_CLOSED:.0e}",
            measured=f"a relative difference of {error:.1e}, the median over {len(errors)} times",
            cause="another sign, parameter or time in the closed form than in the field",
            look="`exact` beside the field's `forward`, term by term",
        )
    return f"{error:.1e}"


def check_closed_form_agrees_with_another_solver(model: Model) -> str:
    """At the end of the span SciPy arrives where the closed form says, as near as it can know."""
    problem = some_rows(model.problem(0))
    method = "Radau" if problem.stiff else "DOP853"
    loose, tight = (solved(problem, method, tolerance, 20 * MOST_EVALUATIONS) for tolerance in (1e-6, 1e-8))
    bound = max(3e-7, distance(loose, tight))
    error = distance(packed(problem.exact(problem, problem.ts[-1])), tight)
    if not error <= bound:
        raise Failure(
            expected=f"the solution that SciPy's {method} finds at t = {problem.ts[-1]:g}, to {bound:.1e}",
            measured=f"a relative difference of {error:.1e}",
            cause="the closed form is that of another branch, or of another time",
            look="`exact` at the last of `ts`",
        )
    return f"{error:.1e}"


def check_a_solution_can_be_known(model: Model) -> str:
    """Two methods that share nothing arrive at the same state at the end of the span, within a bearable number of evaluations."""
    problem = some_rows(model.problem(0))
    one, other = ("Radau", "LSODA") if problem.stiff else ("DOP853", "LSODA")
    try:
        first, second = solved(problem, one, 1e-7), solved(problem, other, 1e-7)
    except TooMany:
        if problem.stiff or _is_easy(problem):
            cause = "a span of very many periods, or a field that is not smooth"
        else:
            cause = "the problem is stiff, and does not say so: `stiff=True` lets the host compute its references with implicit methods"
        raise Failure(
            expected=f"a solution within {MOST_EVALUATIONS} evaluations at a tolerance of 1e-7",
            measured="that they were not enough",
            cause=cause,
            look="the declared span and `stiff` of the `Problem`",
        ) from None
    error = distance(first, second)
    if not error < 1e-2:
        raise Failure(
            expected=f"that SciPy's {one} and {other} find the same state at t = {problem.ts[-1]:g} at a tolerance of 1e-7, to 1e-2",
            measured=f"a relative difference of {error:.1e}",
            cause="the field jumps, draws random numbers, or is so sensitive over this span that no reference can be trusted",
            look="the field, and the declared span: errors grow with it",
        )
    return f"{one} and {other} differ by {error:.1e}"


def check_span_and_scale_are_sane(model: Model) -> str:
    """Times are finite and in order, the loss looks at times of the span, and the state moves and stays of a sane size."""
    problem = some_rows(model.problem(0))
    times, asked = problem.ts, problem.gradient_ts
    steps = [after - before for before, after in itertools.pairwise(times)]
    if len(times) < 2 or not all(map(math.isfinite, times)) or not (min(steps) > 0 or max(steps) < 0):
        raise Failure(
            expected="at least two output times that rise, or fall, strictly",
            measured=f"{times}",
            cause="the span or the number of outputs is 0",
            look="`ts` of the `Problem`",
        )
    low, high = min(times), max(times)
    slack = 1e-9 * (high - low)
    if asked[0] != times[0] or not all(low - slack <= t <= high + slack for t in asked):
        raise Failure(
            expected=f"that the loss looks at times from {times[0]:g} to {times[-1]:g}, the initial one first",
            measured=f"loss_ts = {asked}",
            cause="`loss_ts` is not scaled with the span",
            look="`loss_ts` of the `Problem`",
        )
    try:
        end = solved(problem, "Radau" if problem.stiff else "DOP853", 1e-5)
    except TooMany:
        return "too many evaluations, which another check tells"
    start = packed(problem.y0)
    size, moved = float(np.abs(end).max()), distance(end, start)
    if not (1e-8 < max(size, float(np.abs(start).max())) < 1e8) or moved < 1e-6:
        raise Failure(
            expected="a state between 1e-8 and 1e8 that moves by more than a millionth of itself",
            measured=f"a largest element of {size:.1e} at the end, and a relative change of {moved:.1e}",
            cause="the declared span does not fit the field's own time, or its units",
            look="the last of `ts` and the scale of y0",
        )
    return f"from {times[0]:g} to {times[-1]:g}; the state changes by {moved:.2g} of itself"


def _is_easy(problem: Problem) -> bool:
    """Whether an implicit method needs few evaluations where an explicit one needed too many."""
    try:
        solved(problem, "Radau", 1e-5, MOST_EVALUATIONS // 4)
    except (TooMany, Failure):
        return True
    return False
