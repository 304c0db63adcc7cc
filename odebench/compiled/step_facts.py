"""What all steps of a program have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from odebench.compiled.emission import Emission
from odebench.compiled.traced_field import TracedField
from odebench.contract import Step


class StepFacts(NamedTuple):
    """Found by a step whose result nobody uses; in a graph it costs nothing.

    Attributes:
        takes_over: whether a step gives the derivative at its end, which the next one takes over.
        stored: how many tensors are stored of a step with output times.
        evaluations: of the field, in a step.
    """

    takes_over: bool
    stored: int
    evaluations: int


def facts_of(step: Callable[[TracedField], Step], field: TracedField, emission: Emission) -> StepFacts:
    """Take a step with this field, and look at it."""
    taken = step(field)
    return StepFacts(
        takes_over=taken.carry is not None, stored=len(emission.tensors(taken)), evaluations=field.evaluations
    )
