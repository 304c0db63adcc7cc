"""A solver that is a step: the loops, the packing of states and the counting are provided."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from odebench.contract import Field, GridRequest, Solution, Solver, State, Stats, Step, prepared_for_solve
from odebench.errors import IncompatibleError
from odebench.numerics.march import March, march, wants_rows
from odebench.numerics.march_rows import refuse_rows
from odebench.numerics.outputs import checked_times
from odebench.numerics.packing import Packing
from odebench.numerics.timed_field import TimedField


class OneStepSolver(Solver):
    """Write `step`, and `solve` follows: fixed and adaptive steps, several output times, tuple states, counts.

    Attributes:
        nodes: the shares of a step at which the field is evaluated, where they are always the same: announced to the
            field, they cost less. Never needed for correctness.
        error_order: order of the local error that `Step.error` estimates; it sets the exponent of the step control.
        interpolant_order: order of what `interpolate` gives; 0 where there is none.
        accepts_rows: whether `step` also takes tensors `(batch, 1, …, 1)` for t, dt and theta, one value for each row.
        adaptive_loop: called as `march_adaptively` and instead of it, where a solver has rules of its own for choosing
            steps; None takes that one.
    """

    nodes: tuple[float, ...] = ()
    error_order: int = 0
    interpolant_order: int = 0
    accepts_rows: ClassVar[bool] = False
    adaptive_loop: ClassVar[Callable[..., March] | None] = None

    @abstractmethod
    def step(
        self,
        field: TimedField,
        t: float,
        dt: float,
        y: Tensor,
        carry: Any = None,
        *,
        error: bool = False,
        dense: bool = False,
    ) -> Step:
        """Advance y from t to t + dt.

        Args:
            field: dy/dt, called as `field(t, y)` with a Python float or a tensor for t.
            t: start of the step, in the problem's unit.
            dt: signed length of the step.
            y: state at t as one tensor, `(batch, *state)` (a tuple state is packed).
            carry: what the step before returned as `Step.carry`, or None. A cache may be missing at any step.
            error: whether `Step.error` is asked for.
            dense: whether `Step.dense` is asked for.

        Returns:
            The step. Its tensors are new: y is not changed.
        """

    def advance(
        self, field: TimedField, spans: Sequence[tuple[float, float]], y: Tensor, carry: Any = None
    ) -> tuple[Tensor, Any]:
        """The state and the carry after several steps, of which nothing else is asked: what `step` gives, one after the other.

        Args:
            field, y, carry: as in `step`.
            spans: start and length of each step.
        """
        for t, dt in spans:
            step = self.step(field, t, dt, y, carry)
            y, carry = step.y1, step.carry
        return y, carry

    def interpolate(self, dense: Any, theta: float) -> Tensor:
        """The state at t + theta·dt from what `step` returned as `dense`; needed where `interpolant_order` is not 0."""
        raise IncompatibleError(f"Solver {self.name!r} has no interpolant.")

    def first_carry(self, field: TimedField, t: float, y: Tensor) -> Tensor:
        """The carry of the first step; needed where `carry_is` is "state"."""
        raise IncompatibleError(f"Solver {self.name!r} says that its carry is a state, but has no `first_carry`.")

    def slope(self, field: TimedField, t: float, y: Tensor, carry: Any) -> Tensor:
        """The derivative at (t, y), for the choice of the first step."""
        return field(t, y)

    @property
    def interpolates(self) -> bool:
        """Whether the interpolant is good enough for the method: its error, O(dt^(order + 1)), is no larger than the
        method's own at the end of the span, O(dt^p)."""
        return self.interpolant_order > 0 and self.interpolant_order + 1 >= self.order

    def march(
        self, field: Field, y0: State, ts: Sequence[float] | Tensor, grid: GridRequest, visit: Any = None
    ) -> tuple[March, Packing, TimedField]:
        """The loop itself: packed states at the output times, the packing, and the counted field."""
        times = checked_times(ts)
        by_row = wants_rows(grid)
        packing = Packing(y0, by_row=by_row)
        if by_row:
            refuse_rows(self, field, y0, times[0])
        packed = packing.pack(y0)
        timed = TimedField(packing.field(prepared_for_solve(field)), packed)
        return march(self, timed, packed, times, grid, visit), packing, timed

    def solve(
        self,
        field: Field,
        y0: State,
        ts: Sequence[float] | Tensor,
        grid: GridRequest,
        inputs: tuple[Tensor, ...] = (),
    ) -> Solution:
        """As `Solver.solve` says."""
        result, packing, timed = self.march(field, y0, ts, grid)
        return Solution(
            ys=packing.unpack_outputs(torch.stack(result.ys)),
            grid=result.grid,
            stats=Stats(evaluations_forward=timed.evaluations, accepted=result.grid.steps, rejected=result.rejected),
        )
