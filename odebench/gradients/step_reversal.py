"""Going back through the steps of a recorded call, from the last to the first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from odebench.gradients.recorded_call import Call, Totals
from odebench.gradients.repeatable import History, Place
from odebench.numerics.march import ANNOUNCED_STEPS, announce, place_outputs, wants_rows
from odebench.numerics.march_rows import in_rows, lies_inside, place_row_outputs, row_output, row_times
from odebench.numerics.packing import Packing
from odebench.numerics.reach import refuse_undeclared
from odebench.numerics.recomputation import Mark
from odebench.numerics.timed_field import TimedField


class StepReversal:
    """One backward pass: computes steps again, differentiates one after the other, and sums up.

    Args:
        call: the solve; its grid is known.
        packing: of its states.
        y0: tensors of the initial state.
        others: parameters and inputs.
        cotangents: gradients of the outputs, None where there is none.
    """

    def __init__(
        self,
        call: Call,
        packing: Packing,
        y0: Sequence[Tensor],
        others: Sequence[Tensor],
        cotangents: Sequence[Tensor | None],
    ) -> None:
        self._call, self._packing, self._y0, self._others, self._cotangents = call, packing, y0, others, cotangents
        self._timed = TimedField(packing.field(call.field), y0[0])
        self._grid, self._by_row = call.grid, wants_rows(call.grid)
        self._outputs = (place_row_outputs if self._by_row else place_outputs)(call.ts, call.grid)
        self._times = [] if self._by_row else list(zip(call.grid.t.tolist(), call.grid.dt.tolist(), strict=True))
        self._announced: int | None = None
        self._totals = Totals(len(others))
        self._adjoint: Tensor | None = None
        self._carried: Tensor | None = None

    def start(self, carry: Tensor | None = None, mark: Mark | None = None) -> Place:
        """The start of the first step; with its carry, where that belongs to the state."""
        return Place(0, self._packing.pack(self._call.state(self._y0)), carry, mark)

    def advance(self, place: Place, stop: int, history: History) -> Place:
        """Take the steps from `place` up to, and not including, `stop`, without a graph.

        Args:
            place: where to start.
            stop: the step after the last one.
            history: how it went in the forward pass.
        """
        solver, recomputation = self._call.solver, self._call.recomputation
        _, y, carry, mark = place
        with recomputation.replay(mark, taped=False):
            for n in range(place.step, stop):
                if n in history.jumps:
                    recomputation.restore(history.jumps[n])
                asked = {} if mark is None else history.asked[n]
                step = solver.step(self._timed, *self._at(n, y), y, carry, **asked)
                y = step.y1
                # A cached derivative would spare an evaluation, which a field that counts or draws would miss.
                carry = step.carry if mark is None or solver.carry_is == "state" else None
            if mark is not None:
                mark = history.jumps.get(stop) or recomputation.mark()
        return Place(stop, y, carry if solver.carry_is == "state" else None, mark)

    def first_carry(self, mark: Mark | None) -> Tensor | None:
        """The carry of the first step, where it belongs to the state; `mark` are the circumstances before it."""
        if self._call.solver.carry_is != "state":
            return None
        with self._call.recomputation.replay(mark, taped=False):
            return self._call.solver.first_carry(self._timed, self._times[0][0], self.start().y)

    def reverse(self, place: Place) -> None:
        """Take the step that starts at `place` with a graph, and go back through it."""
        call, solver = self._call, self._call.solver
        here = self._outputs.get(place.step, ())
        starts = call.fresh((place.y,) if place.carry is None else (place.y, place.carry))
        dense = any(lies_inside(*output[1:]) for output in here)
        with call.recomputation.replay(place.mark):
            step = solver.step(self._timed, *self._at(place.step, place.y), *starts, dense=dense)
            ends, weights = [], []
            for index, theta, *rows in here:
                if rows:
                    ends.append(row_output(solver, step, theta))
                    weights.append(in_rows(rows[0], self._arriving(index)))
                elif theta == 1.0:
                    arriving = self._arriving(index)
                    self._adjoint = arriving if self._adjoint is None else self._adjoint + arriving
                else:
                    ends.append(solver.interpolate(step.dense, theta))
                    weights.append(self._arriving(index))
            ends += [step.y1] if self._adjoint is not None else []
            weights += [self._adjoint] if self._adjoint is not None else []
            if self._carried is not None and step.carry.requires_grad:
                ends.append(step.carry)
                weights.append(self._carried)
            self._check(ends, starts)
            self._adjoint, *rest = torch.autograd.grad(ends, (*starts, *self._others), weights, allow_unused=True)
        self._carried = rest.pop(0) if place.carry is not None else None
        self._totals.add(rest)

    def gradients(self, mark: Mark | None) -> tuple[Tensor | None, ...]:
        """Gradients of the initial state, the parameters and the inputs, once all steps are gone through.

        Args:
            mark: circumstances before the first step, where they matter.
        """
        call = self._call
        if self._carried is not None:
            start = call.fresh((self.start().y,))
            with call.recomputation.replay(mark):
                first_carry = call.solver.first_carry(self._timed, self._times[0][0], *start)
                if first_carry.requires_grad:
                    more, *rest = torch.autograd.grad(
                        first_carry, (*start, *self._others), self._carried, allow_unused=True
                    )
                    self._adjoint = self._adjoint if more is None else self._adjoint + more
                    self._totals.add(rest)
        call.stats.evaluations_backward += self._timed.evaluations
        arriving = self._arriving(0)
        leaves = self._packing.unpack(arriving if self._adjoint is None else self._adjoint + arriving)
        return *(leaves if call.is_tuple else (leaves,)), *self._totals.values

    def _at(self, n: int, y: Tensor) -> tuple[Any, Any]:
        """Start and length of a step; its times are announced to the field together with its neighbours'."""
        if self._by_row:
            return row_times(self._grid, n, y)
        if n // ANNOUNCED_STEPS != self._announced:
            self._announced = n // ANNOUNCED_STEPS
            first = self._announced * ANNOUNCED_STEPS
            announce(self._call.solver, self._timed, *zip(*self._times[first : first + ANNOUNCED_STEPS], strict=True))
        return self._times[n]

    def _arriving(self, index: int) -> Tensor:
        """Gradient of an output, packed."""
        given = tuple(
            torch.zeros_like(y) if g is None else g[index] for g, y in zip(self._cotangents, self._y0, strict=True)
        )
        return self._packing.pack(self._call.state(given))

    def _check(self, ends: Sequence[Tensor], starts: Sequence[Tensor]) -> None:
        if not self._call.checked:
            refuse_undeclared(self._call.field, ends, starts, self._others, self._call.method.name)
            self._call.checked = True
