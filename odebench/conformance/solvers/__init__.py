"""The checks of a solver."""

from __future__ import annotations

from collections.abc import Callable

from odebench.conformance.solvers.convergence import (
    check_interpolant_order,
    check_observed_order,
    check_tolerance_proportionality,
)
from odebench.conformance.solvers.evaluations import check_declared_stages, check_evaluations_are_counted
from odebench.conformance.solvers.tableaux import (
    check_dense_order_conditions,
    check_embedded_order_conditions,
    check_order_conditions,
)
from odebench.contract import Solver
from odebench.numerics import ButcherTableau

SolverCheck = Callable[[Solver], str | None]


def solver_checks(solver: Solver) -> list[SolverCheck]:
    """The checks that apply to a solver, by what it declares."""
    return [
        *_of_tableau(solver),
        *_of_convergence(solver),
        check_evaluations_are_counted,
        *([check_declared_stages] if solver.stages is not None and solver.takes_grids else []),
    ]


def _of_tableau(solver: Solver) -> list[SolverCheck]:
    tableau = getattr(solver, "tableau", None)
    if not isinstance(tableau, ButcherTableau):
        return []
    chosen: list[SolverCheck] = [check_order_conditions]
    chosen += [check_embedded_order_conditions] if tableau.b_error is not None else []
    chosen += [check_dense_order_conditions] if tableau.dense is not None else []
    return chosen


def _of_convergence(solver: Solver) -> list[SolverCheck]:
    chosen: list[SolverCheck] = [check_observed_order] if solver.takes_grids else []
    chosen += [check_tolerance_proportionality] if solver.adaptive else []
    chosen += [check_interpolant_order] if solver.takes_grids and getattr(solver, "interpolates", False) else []
    return chosen
