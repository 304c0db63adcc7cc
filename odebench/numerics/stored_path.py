"""A solution at any time, from the states at the points of its grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from odebench.contract import Grid
from odebench.numerics.interpolation import Hermite
from odebench.numerics.outputs import CLOSE
from odebench.numerics.timed_field import TimedField


class StoredPath:
    """States inside the step that was entered last: stored ones at its ends, the solver's interpolant between them.

    The interpolant is made when a state inside is asked for, by taking the step again. Where the solver has none, it is the
    cubic Hermite polynomial.

    Args:
        solver: whose steps they are.
        field: of packed states.
        grid: of the solve.
        states: at the start of each step.
        carries: likewise, where they belong to the state; otherwise empty.

    Attributes:
        start, end: of the step that was entered last.
        field: counts the evaluations.
    """

    def __init__(
        self, solver: Any, field: TimedField, grid: Grid, states: Sequence[Tensor], carries: Sequence[Tensor] = ()
    ) -> None:
        self.field = field
        self._solver, self._states, self._carries = solver, states, carries
        self._times = [*grid.t.tolist(), grid.end]
        self._lengths = grid.dt.tolist()
        self.start = self.end = 0.0

    def enter(self, step: int) -> None:
        """Ask for states inside this step from now on."""
        self._step = step
        self.start, self.end = self._times[step], self._times[step + 1]
        self._y1: Tensor | None = self._states[step + 1] if step + 1 < len(self._states) else None
        self._dense: Any = None

    def at(self, t: float) -> Tensor:
        """The state at this time."""
        share = (t - self.start) / self._lengths[self._step]
        if abs(share) <= CLOSE:
            return self._states[self._step]
        if abs(share - 1.0) <= CLOSE and self._y1 is not None:
            return self._y1
        with torch.no_grad():
            if self._dense is None:
                self._take()
            if abs(share - 1.0) <= CLOSE:
                return self._y1
            return (
                self._dense.at(share)
                if isinstance(self._dense, Hermite)
                else self._solver.interpolate(self._dense, share)
            )

    def _take(self) -> None:
        n, dt = self._step, self._lengths[self._step]
        carry = self._carries[n] if self._carries else None
        dense = self._solver.interpolant_order > 0
        step = self._solver.step(self.field, self.start, dt, self._states[n], carry, dense=dense)
        self._y1 = step.y1
        self._dense = step.dense
        if not dense:
            ends = [self.field(t, y) for t, y in ((self.start, self._states[n]), (self.end, step.y1))]
            self._dense = Hermite(self._states[n], step.y1, *ends, dt)
