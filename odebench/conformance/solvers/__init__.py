"""The checks of a solver."""

from __future__ import annotations

from collections.abc import Callable

from odebench.conformance.solvers.chosen import (
    check_few_attempts_are_rejected,
    check_rejected_attempts_leave_no_trace,
)
from odebench.conformance.solvers.convergence import (
    check_error_estimate_order,
    check_interpolant_order,
    check_observed_order,
    check_tolerance_proportionality,
)
from odebench.conformance.solvers.evaluations import check_declared_stages, check_evaluations_are_counted
from odebench.conformance.solvers.manners import (
    check_exceptions_are_passed_on,
    check_global_state,
    check_inputs_are_not_changed,
    check_max_steps,
    check_nan_is_passed_on,
)
from odebench.conformance.solvers.repetition import (
    check_determinism,
    check_gradient_mode_changes_nothing,
    check_grid_is_repeated,
    check_steps_are_recomputed,
)
from odebench.conformance.solvers.rows import (
    check_rows_do_not_interact,
    check_rows_with_steps_of_their_own_do_not_interact,
)
from odebench.conformance.solvers.states import (
    check_devices,
    check_dtypes,
    check_empty_states,
    check_noncontiguous_states,
    check_shapes,
    check_tuple_states,
)
from odebench.conformance.solvers.tableaux import (
    check_dense_order_conditions,
    check_embedded_order_conditions,
    check_order_conditions,
)
from odebench.conformance.solvers.times import (
    check_output_times,
    check_reversed_time,
    check_shifted_time,
    check_uneven_last_step,
)
from odebench.contract import Solver
from odebench.numerics import ButcherTableau, OneStepSolver

SolverCheck = Callable[[Solver], str | None]


def solver_checks(solver: Solver) -> list[SolverCheck]:
    """The checks that apply to a solver, by what it declares.

    A tableau brings the order conditions; `adaptive` what concerns tolerances; `takes_grids` what needs steps that are given;
    a step of one's own (`odebench.OneStepSolver`) what concerns single steps, and rows with steps of their own.
    """
    tableau = getattr(solver, "tableau", None)
    has_tableau = isinstance(tableau, ButcherTableau)
    steps = isinstance(solver, OneStepSolver)
    given, adaptive = solver.takes_grids, solver.adaptive
    chosen: dict[SolverCheck, bool] = {
        check_order_conditions: has_tableau,
        check_embedded_order_conditions: has_tableau and tableau.b_error is not None,
        check_dense_order_conditions: has_tableau and tableau.dense is not None,
        check_observed_order: given,
        check_tolerance_proportionality: adaptive,
        check_error_estimate_order: steps and adaptive,
        check_rejected_attempts_leave_no_trace: steps and adaptive,
        check_few_attempts_are_rejected: steps and adaptive,
        check_interpolant_order: given and getattr(solver, "interpolates", False),
        check_evaluations_are_counted: True,
        check_declared_stages: given and solver.stages is not None,
        check_rows_do_not_interact: given,
        check_rows_with_steps_of_their_own_do_not_interact: steps and adaptive and solver.accepts_rows,
        check_gradient_mode_changes_nothing: True,
        check_steps_are_recomputed: steps,
        check_grid_is_repeated: given,
        check_determinism: True,
        check_dtypes: True,
        check_devices: True,
        check_shapes: True,
        check_noncontiguous_states: True,
        check_empty_states: True,
        check_tuple_states: True,
        check_reversed_time: True,
        check_shifted_time: True,
        check_output_times: True,
        check_uneven_last_step: given,
        check_inputs_are_not_changed: True,
        check_global_state: True,
        check_exceptions_are_passed_on: True,
        check_nan_is_passed_on: True,
        check_max_steps: adaptive,
    }
    return [check for check, applies in chosen.items() if applies]
