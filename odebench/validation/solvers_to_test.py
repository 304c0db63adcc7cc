"""Which solvers a model is tried with: chosen among the registered ones by what they declare, none by its name."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from odebench.api import Named, build
from odebench.contract import Grid, Solver
from odebench.errors import IncompatibleError
from odebench.plugins import build_registry
from odebench.validation.calls import Call, Scheme

# Beside the next higher order one is tried of at least this: far ahead of a low one, and cheap.
_FAR = 4


def schemes_for(calls: Sequence[Call], against: Sequence[Named | Solver] | None, finer: Sequence[int]) -> list[Scheme]:
    """What to try instead of the model's own solver: its own with finer steps, and others at the same and at finer steps.

    Without `against` the others are, of the built-in explicit ones, the cheapest of the next higher order and the cheapest of the
    next order beyond that one which is at least four. They take the model's steps where it has steps, and its tolerance where it
    has one.

    Args:
        calls: of one forward.
        against: solvers to use instead.
        finer: into how many a step is divided; 1 is always tried.

    Raises:
        IncompatibleError: some calls have steps and others a tolerance; or a solver cannot follow a tolerance.
    """
    kinds = {isinstance(call.request, Grid) for call in calls}
    if len(kinds) > 1:
        raise IncompatibleError(
            "Some solves of the model take fixed steps, others follow a tolerance. Give one kind to all of them, and validate "
            "again."
        )
    (fixed,) = kinds
    for times in finer:
        if not isinstance(times, int) or times < 2:
            raise IncompatibleError(f"finer holds {times!r}; steps are divided into whole numbers, 2 or more.")
    finer = sorted(set(finer))
    others = (
        _higher_orders(max(call.solver.order for call in calls), fixed) if against is None else _built(against, fixed)
    )
    own = [Scheme(finer=times) for times in finer]
    schemes = own + [Scheme(solver=solver, finer=times) for solver in others for times in (1, *finer)]
    return [scheme for scheme in schemes if all(scheme.refines(call) for call in calls)]


def reference_solvers() -> tuple[Solver, Solver]:
    """The built-in explicit solvers with error control of the highest and of the next order."""
    by_order = _cheapest(_explicit(fixed=False))
    highest, second = sorted(by_order, reverse=True)[:2]
    return by_order[highest], by_order[second]


def _higher_orders(order: int, fixed: bool) -> list[Solver]:
    by_order = _cheapest(solver for solver in _explicit(fixed) if solver.order > order)
    orders = sorted(by_order)
    chosen = orders[:1] + [far for far in orders[1:] if far >= _FAR][:1]
    return [by_order[one] for one in chosen]


def _explicit(fixed: bool) -> list[Solver]:
    """All built-in explicit solvers: with fixed steps all of them, else those with error control."""
    found = []
    for entry in build_registry(prefixes=()).entries("solver"):
        can_be_told = "adaptive" in entry.parameters()
        solver = entry.build(adaptive=False) if fixed and can_be_told else entry.build()
        if not solver.implicit and solver.adaptive != fixed:
            found.append(solver)
    return found


def _cheapest(solvers: Iterable[Solver]) -> dict[int, Solver]:
    """Of each order the one of fewest evaluations, and of those the one of fewest terms."""
    found: dict[int, Solver] = {}
    for solver in sorted(solvers, key=_cost):
        found.setdefault(solver.order, solver)
    return found


def _cost(solver: Solver) -> tuple[float, int, str]:
    tableau = getattr(solver, "tableau", None)
    terms = 0 if tableau is None else sum(x != 0 for row in (*tableau.a, tableau.b) for x in row)
    return solver.stages or math.inf, terms, solver.name


def _built(against: Sequence[Named | Solver], fixed: bool) -> list[Solver]:
    solvers = [one if isinstance(one, Solver) else build("solver", one) for one in against]
    for solver in solvers:
        if not fixed and not solver.adaptive:
            raise IncompatibleError(
                f"Solver {solver.name!r} takes fixed steps, but the model follows a tolerance, which is what would be passed on. "
                "Choose one with error control (`odebench list solvers`)."
            )
    return solvers
