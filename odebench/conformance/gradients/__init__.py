"""The checks of a gradient method.

It is tried on small smooth fields, in float64, with solvers that only the checks have, and held against autograd through the same
steps as a plain loop. Where it supports none of these solvers, those are taken that its own plugin registers.
"""

from __future__ import annotations

from collections.abc import Callable

from odebench.conformance.gradients import (
    autocast,
    claims,
    companions,
    exactness,
    memory,
    outputs,
    parameters,
    recomputation,
    repetition,
)
from odebench.contract import GradientMethod

Check = Callable[[GradientMethod], str | None]

_EXACT: tuple[Check, ...] = (exactness.check_exact_for_the_discretisation,)
_EXACT_ADAPTIVE: tuple[Check, ...] = (
    exactness.check_exact_on_chosen_steps,
    recomputation.check_masks_of_rejected_steps_are_passed_over,
)
_INEXACT: tuple[Check, ...] = (exactness.check_gap_falls_at_the_solvers_order,)
_INEXACT_ADAPTIVE: tuple[Check, ...] = (exactness.check_gap_follows_the_tolerance,)
_ALL: tuple[Check, ...] = (
    exactness.check_tuple_states,
    outputs.check_solution_is_the_solvers,
    outputs.check_linear_in_the_incoming_gradient,
    outputs.check_every_output_time_counts,
    outputs.check_dtype_of_gradients,
    outputs.check_shapes_of_batches,
    parameters.check_unused_frozen_and_shared_parameters,
    parameters.check_frozen_field,
    parameters.check_inputs_that_are_declared,
    parameters.check_tensors_that_are_not_declared,
    repetition.check_used_twice,
    memory.check_without_a_graph,
    memory.check_nothing_is_left_alive,
    repetition.check_evaluations_are_counted,
    repetition.check_errors_of_the_field_are_passed_on,
    repetition.check_arguments_are_not_changed,
    repetition.check_global_state_is_left_alone,
    memory.check_memory_grows_as_claimed,
    recomputation.check_random_masks_are_repeated,
    recomputation.check_generator_is_left_where_the_forward_pass_left_it,
    recomputation.check_batch_statistics_are_updated_once,
    autocast.check_autocast_is_repeated,
    claims.check_gradients_of_gradients,
    claims.check_gradients_of_times,
)
_ALL_ADAPTIVE: tuple[Check, ...] = (exactness.check_steps_for_each_row,)


def gradient_checks(gradient: GradientMethod) -> list[Check]:
    """The checks that apply to a gradient method, by what it declares and by the solvers that it supports."""
    first: list[Check] = [exactness.check_a_solver_is_supported]
    if not companions.fixed(gradient):
        return first
    exact = gradient.exact_for_discretisation
    chosen = list(_EXACT if exact else _INEXACT)
    if companions.adaptive(gradient):
        chosen += [*(_EXACT_ADAPTIVE if exact else _INEXACT_ADAPTIVE), *_ALL_ADAPTIVE]
    return [*first, *chosen, *_ALL]
