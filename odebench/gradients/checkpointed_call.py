"""An autograd function that keeps the states that a schedule says, and computes the others again in the backward."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from odebench.contract import Field, GradientMethod, Grid, GridRequest, Solution, Solver, State, StepSize
from odebench.gradients.recorded_call import Call, differentiated_once, record
from odebench.gradients.repeatable import History, Marked, Place, repeatably
from odebench.gradients.step_reversal import StepReversal
from odebench.numerics import OneStepSolver
from odebench.numerics.checkpoint_schedules import Advance, Drop, Load, Reverse, Schedule, Store
from odebench.numerics.march import March, march, wants_rows
from odebench.numerics.packing import Packing
from odebench.numerics.recomputation import Mark
from odebench.numerics.state_store import StateStore
from odebench.numerics.timed_field import TimedField
from odebench.numerics.uniform import uniform_grid


class Checkpointing(GradientMethod):
    """A gradient method that is a schedule: give `schedule`, and it is complete. Exact for the discretisation.

    Where the field draws random numbers, no derivative is shared between steps, so that each step repeats by itself, and the
    state of the generator is kept with each state and for each step before which others were rejected.

    A second backward over a graph that was kept starts from the initial state alone.

    Attributes:
        keeps_on_the_way: whether states are kept in the forward pass; otherwise the initial one alone, and the backward pass
            begins with a sweep of its own.
    """

    exact_for_discretisation = True
    keeps_on_the_way: bool = True

    @abstractmethod
    def schedule(self, steps: int | None) -> Schedule:
        """The schedule for so many steps; None where their number is not known yet."""

    def states(self) -> StateStore:
        """Where the states are to lie."""
        return StateStore()

    def supports(self, solver: Solver) -> str | None:
        """Every solver that is a step."""
        if not isinstance(solver, OneStepSolver):
            return f"Solver {solver.name!r} does not show its steps, so they cannot be repeated from where a state is kept."
        return None

    def solve(
        self,
        solver: Solver,
        field: Field,
        y0: State,
        ts: Sequence[float],
        grid: GridRequest,
        inputs: tuple[Tensor, ...] = (),
    ) -> Solution:
        """As `GradientMethod.solve` says."""
        return record(_Checkpointed, self, solver, field, y0, ts, grid, inputs)


@dataclass(kw_only=True)
class _Slots:
    """States and the circumstances that belong to them. The initial state is an input of the call, and takes no room here.

    Attributes:
        states: where the others lie.
        schedule: what to do when.
        hand: the state at hand.
        first: the first step without its state.
    """

    states: StateStore
    schedule: Schedule
    hand: Place | None = None
    first: Place | None = None
    _marks: dict[int, Mark | None] = field(default_factory=dict)

    def do(self, action: Store | Drop | Load, start: Tensor | None = None) -> None:
        """Carry out what concerns the slots alone; `start` is the initial state."""
        step = action.step
        match action:
            case Store() if step > 0:
                self.states.put(step, (self.hand.y,) if self.hand.carry is None else (self.hand.y, self.hand.carry))
                self._marks[step] = self.hand.mark
            case Load() if step > 0:
                y, *carry = self.states.get(step)
                self.hand = Place(step, y, carry[0] if carry else None, self._marks[step])
            case Load():
                self.hand = self.first._replace(y=start)
            case Drop() if step > 0:
                self.states.drop(step)
                del self._marks[step]


@dataclass(kw_only=True)
class _Forward:
    """What a forward pass leaves.

    Attributes:
        march: states at the output times, and the grid.
        packing, evaluations: of the solve.
        slots: what is kept.
        history: how it went from step to step; empty where that does not matter.
    """

    march: March
    packing: Packing
    evaluations: int
    slots: _Slots
    history: History


class _Checkpointed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, call: Call, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        done, ctx.start = repeatably(call, lambda solver: _solve(call, tensors, solver))
        grid = done.march.grid
        call.grid, call.stats.accepted, call.stats.rejected = grid, grid.steps, done.march.rejected
        call.stats.evaluations_forward += done.evaluations
        ctx.call, ctx.packing, ctx.history = call, done.packing, done.history
        ctx.first_mark = done.slots.first.mark if grid.steps else None
        ctx.slots = done.slots if call.method.keeps_on_the_way else None
        ctx.save_for_backward(*tensors)
        ys = done.packing.unpack_outputs(torch.stack(done.march.ys))
        return ys if isinstance(ys, tuple) else (ys,)

    @staticmethod
    @differentiated_once
    def backward(ctx, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
        call: Call = ctx.call
        saved = ctx.saved_tensors
        reversal = StepReversal(call, ctx.packing, saved[: call.leaves], saved[call.leaves :], cotangents)
        slots, ctx.slots = ctx.slots, None  # states are overwritten on the way back
        if call.grid.steps:
            if slots is None:
                first = reversal.start(reversal.first_carry(ctx.start), ctx.first_mark)
                slots = _sweep(call, reversal, first, ctx.history)
            _go_back(call, reversal, slots, ctx.history)
        return None, *reversal.gradients(ctx.start)


def _solve(call: Call, tensors: Sequence[Tensor], solver: OneStepSolver | Marked) -> _Forward:
    """The forward pass. A state is kept or not once the step after it is taken; until then it is at hand."""
    method: Checkpointing = call.method
    request = call.request
    if isinstance(request, StepSize):
        request = uniform_grid(request, call.ts[0], call.ts[-1])
    packing = Packing(call.state(tensors[: call.leaves]), by_row=wants_rows(request))
    y0 = packing.pack(call.state(tensors[: call.leaves]))
    timed = TimedField(packing.field(call.field), y0)
    steps = request.steps if isinstance(request, Grid) else None
    slots = _Slots(states=method.states(), schedule=method.schedule(steps))
    marked = solver if isinstance(solver, Marked) else None
    keeps_carry, keeps = call.solver.carry_is == "state", method.keeps_on_the_way
    history, count = History(), 0

    def visit(t: Any, dt: Any, y: Tensor, carry: Any) -> None:
        nonlocal count
        mark = None
        if marked is not None:
            history.add(marked)
            mark = marked.mark
        if count == 0:
            slots.first = Place(0, None, carry if keeps_carry and keeps else None, mark)
        if keeps:
            if count > 0:
                for action in slots.schedule.leave(count - 1):
                    slots.do(action)
            slots.hand = Place(count, y, carry if keeps_carry else None, mark)
        count += 1

    result = march(solver, timed, y0, call.ts, request, visit)
    return _Forward(march=result, packing=packing, evaluations=timed.evaluations, slots=slots, history=history)


def _sweep(call: Call, reversal: StepReversal, first: Place, history: History) -> _Slots:
    """The way forward once more, from the initial state alone: now the number of steps is known."""
    method: Checkpointing = call.method
    slots = _Slots(
        states=method.states(), schedule=method.schedule(call.grid.steps), hand=first, first=first._replace(y=None)
    )
    for step in range(call.grid.steps - 1):
        for action in slots.schedule.leave(step):
            slots.do(action)
        slots.hand = reversal.advance(slots.hand, step + 1, history)
    return slots


def _go_back(call: Call, reversal: StepReversal, slots: _Slots, history: History) -> None:
    for action in slots.schedule.backward(call.grid.steps):
        match action:
            case Reverse():
                reversal.reverse(slots.hand)
                slots.hand = None
            case Advance(_, stop):
                slots.hand = reversal.advance(slots.hand, stop, history)
            case _:
                slots.do(action, reversal.start().y if action == Load(0) else None)
