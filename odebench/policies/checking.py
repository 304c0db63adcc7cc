"""With what a solver is checked: a more accurate one, on steps that make it so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from odebench.contract import Solver
from odebench.errors import IncompatibleError

BuildSolver = Callable[[str | dict[str, Any]], Solver]


def checking_solver(solver: Solver, wanted: str | dict[str, Any] | None, build_solver: BuildSolver) -> Solver:
    """What checks `solver`: the one that is wanted; else midpoint for order 1, rk4 for orders 2 and 3, itself from order 4 on.

    An implicit one is checked by itself: what solves a stiff problem explicitly needs far more steps than accuracy asks for.

    Raises:
        IncompatibleError: the wanted one is of lower order.
    """
    if wanted is None:
        if solver.order >= 4 or solver.implicit:
            return solver
        wanted = "midpoint" if solver.order == 1 else "rk4"
    return _of_no_lower_order(solver, build_solver(wanted))


def checking_step(step: float, order: int, checking_order: int, accuracy_factor: float) -> float:
    """The step with which a method of order q checks one of order p, both in units of the span.

    The largest one with step_q^q <= step^p / accuracy_factor, and no longer than `step`: the same where q > p and step^(q - p)
    is no more than 1 / accuracy_factor.
    """
    return min(step, (step**order / accuracy_factor) ** (1.0 / checking_order))


def adaptive_checking_solver(solver: Solver, wanted: str | dict[str, Any] | None, build_solver: BuildSolver) -> Solver:
    """What checks an adaptive `solver`: the one that is wanted; else dopri5, or itself where it is of order 5 or implicit.

    Raises:
        IncompatibleError: the wanted one is of lower order, or takes no tolerance.
    """
    if wanted is None:
        if solver.order >= 5 or solver.implicit:
            return solver
        wanted = "dopri5"
    found = _of_no_lower_order(solver, build_solver(wanted))
    if not found.adaptive:
        raise IncompatibleError(f"The test solver {found.name!r} takes no tolerance. Name an adaptive one.")
    return found


def _of_no_lower_order(solver: Solver, found: Solver) -> Solver:
    if found.order < solver.order:
        raise IncompatibleError(
            f"The test solver {found.name!r} is of order {found.order}, below order {solver.order} of {solver.name!r}, which it "
            "should check. Name one of at least that order."
        )
    return found
