"""The checks of a model: of the problem that it builds with its own parameters and seeds 0, 1 and 2."""

from __future__ import annotations

from collections.abc import Callable

from odebench.conformance.models import fields, references, seeds, solutions, training
from odebench.contract import Model

Check = Callable[[Model], str | None]

_ALL: tuple[Check, ...] = (
    seeds.check_seed_gives_the_same_problem,
    seeds.check_other_seeds_give_other_problems,
    seeds.check_building_leaves_global_state_alone,
    fields.check_gradients_are_finite,
)
_ONE_FIELD: tuple[Check, ...] = (
    fields.check_field_keeps_shape_and_dtype,
    fields.check_field_is_a_function,
    fields.check_rows_are_apart,
    fields.check_gradients_agree_with_differences,
    solutions.check_span_and_scale_are_sane,
    references.check_reference_has_the_digits_it_claims,
)
_CLOSED_FORM: tuple[Check, ...] = (
    solutions.check_closed_form_starts_at_the_initial_state,
    solutions.check_closed_form_satisfies_the_equation,
    solutions.check_closed_form_agrees_with_another_solver,
)
_NO_CLOSED_FORM: tuple[Check, ...] = (solutions.check_a_solution_can_be_known,)
_TRAINABLE: tuple[Check, ...] = (
    training.check_learning_fits_together,
    training.check_chance,
    training.check_learning_seeds,
)


def model_checks(model: Model) -> list[Check]:
    """The checks that apply to a model, by what it declares: a closed form, something to learn, one field or several."""
    chosen = list(_ALL)
    if not model.has_blocks:
        closed = model.problem(0).exact is not None
        chosen += [*_ONE_FIELD, *(_CLOSED_FORM if closed else _NO_CLOSED_FORM)]
    return chosen + (list(_TRAINABLE) if model.can_learn else [])
