"""Solving so that each step can be computed again by itself, even where the field draws random numbers."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field as attribute
from typing import Any, NamedTuple, TypeVar

from torch import Tensor

from odebench.contract import Step, modules_of
from odebench.gradients.recorded_call import Call
from odebench.numerics import OneStepSolver
from odebench.numerics.recomputation import Mark, Recomputation
from odebench.numerics.timed_field import TimedField

Result = TypeVar("Result")

# Fields that were seen to draw random numbers or to change their buffers: their steps are marked from the start.
_restless: weakref.WeakSet[Any] = weakref.WeakSet()


class Place(NamedTuple):
    """The start of a step, and all that is needed to take it.

    Attributes:
        step: its number.
        y: packed state.
        carry: what the solver hands from step to step, where it belongs to the state.
        mark: circumstances, where the field draws random numbers or changes its buffers.
    """

    step: int
    y: Tensor
    carry: Tensor | None
    mark: Mark | None


class Marked:
    """A solver each of whose steps begins with a mark and uses nothing from the step before, so that it can be repeated.

    Attributes:
        mark: circumstances at the start of the latest attempt at a step.
        end: circumstances at its end.
        asked: what was asked of it besides the state, which may take evaluations.
    """

    def __init__(self, solver: OneStepSolver, recomputation: Recomputation) -> None:
        self._solver = solver
        self._recomputation = recomputation
        self.mark: Mark | None = None
        self.end: Mark | None = None
        self.asked: dict[str, bool] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._solver, name)

    def step(self, field: TimedField, t: Any, dt: Any, y: Tensor, carry: Any = None, **asked: bool) -> Step:
        """As `OneStepSolver.step` says."""
        self.mark = self._recomputation.mark()
        kept = carry if self._solver.carry_is == "state" else None
        step = self._solver.step(field, t, dt, y, kept, **asked)
        self.end, self.asked = self._recomputation.mark(), asked
        return step


@dataclass(kw_only=True)
class History:
    """How a forward pass whose field draws random numbers, or changes its buffers, went from step to step.

    Attributes:
        jumps: circumstances at the start of steps, where they are not those at the end of the step before: after attempts that
            were rejected.
        asked: what was asked of each step besides the state.
    """

    jumps: dict[int, Mark] = attribute(default_factory=dict)
    asked: list[dict[str, bool]] = attribute(default_factory=list)
    _end: Mark | None = None

    def add(self, solver: Marked) -> None:
        """The step that `solver` took last was accepted."""
        if self._end is not None and not solver.mark.same_as(self._end):
            self.jumps[len(self.asked)] = solver.mark
        self._end = solver.end
        self.asked.append(solver.asked)


def repeatably(call: Call, solve: Callable[[OneStepSolver | Marked], Result]) -> tuple[Result, Mark | None]:
    """What `solve` gives with the call's solver; where the field turns out to need it, once more with a `Marked` one.

    Returns:
        The result, and the circumstances at its start; None where nothing was drawn and no buffer changed.
    """
    before = call.recomputation.mark()
    key = modules_of(call.field)[:1]
    if not (key and key[0] in _restless):
        result = solve(call.solver)
        if before.same_as(call.recomputation.mark()):
            return result, None
        del result  # its checkpoints go before others are made
        call.recomputation.restore(before)
        _restless.update(key)
    return solve(Marked(call.solver, call.recomputation)), before
