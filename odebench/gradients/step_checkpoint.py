"""Keep the state at each accepted step, compute one step at a time again in the backward."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from odebench.contract import Field, GradientMethod, GridRequest, Solution, Solver, State, Step, modules_of, prepared_for_solve
from odebench.gradients.recorded_call import Call, Totals, differentiated_once, record
from odebench.numerics import OneStepSolver
from odebench.numerics.march import ANNOUNCED_STEPS, March, announce, march, place_outputs, wants_rows
from odebench.numerics.march_rows import in_rows, lies_inside, place_row_outputs, row_output
from odebench.numerics.packing import Packing
from odebench.numerics.reach import refuse_undeclared
from odebench.numerics.recomputation import Mark, Recomputation
from odebench.numerics.timed_field import TimedField


class StepCheckpoint(GradientMethod):
    """Gradient of the discrete solution with one checkpoint a step; exact for the discretisation.

    The forward pass stores N states. The backward pass goes through the accepted steps from the last to the first: each is
    computed again with a graph, differentiated and dropped, so that N states and the graph of one step are alive at once. Cost:
    one more evaluation for each forward one, rejected steps excepted.

    Where the field draws random numbers, no derivative is shared between steps, so that each step repeats by itself.

    Source: J. Zhuang et al., "Adaptive checkpoint adjoint method for gradient estimation in neural ODE", ICML 2020,
    arXiv:2006.02493, Algorithm 2.
    """

    name = "step-checkpoint"
    exact_for_discretisation = True
    memory = "O(N)"
    source = "J. Zhuang et al., ICML 2020, arXiv:2006.02493"

    def supports(self, solver: Solver) -> str | None:
        """Every solver that is a step."""
        if not isinstance(solver, OneStepSolver):
            return f"Solver {solver.name!r} does not show its steps, so they cannot be repeated one at a time."
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
        return record(_StepCheckpoint, self, solver, field, y0, ts, grid, inputs)


class _Checkpoint(NamedTuple):
    """The start of a step; t and dt are floats, or tensors with a value for each row."""

    t: Any
    dt: Any
    y: Tensor | None
    carry: Tensor | None
    mark: Mark | None


class _Marked:
    """A solver each of whose steps begins with a mark and uses nothing from the step before, so that it can be repeated."""

    def __init__(self, solver: OneStepSolver, recomputation: Recomputation) -> None:
        self._solver = solver
        self._recomputation = recomputation
        self.mark: Mark | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._solver, name)

    def step(self, field: TimedField, t: Any, dt: Any, y: Tensor, carry: Any = None, **asked: bool) -> Step:
        self.mark = self._recomputation.mark()
        kept = carry if self._solver.carry_is == "state" else None
        return self._solver.step(field, t, dt, y, kept, **asked)


# Fields that were seen to draw random numbers or to change their buffers: their steps are marked from the start.
_restless: weakref.WeakSet[Any] = weakref.WeakSet()


class _StepCheckpoint(torch.autograd.Function):
    @staticmethod
    def forward(ctx, call: Call, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        before = call.recomputation.mark()
        key = modules_of(call.field)[:1]
        restless = bool(key) and key[0] in _restless
        result, packing, timed, checkpoints = _solve(call, tensors, restless)
        if not restless and not before.same_as(call.recomputation.mark()):
            call.recomputation.restore(before)
            result, packing, timed, checkpoints = _solve(call, tensors, True)
            _restless.update(key)
        ctx.start = before if checkpoints[0].mark is not None else None
        call.grid = result.grid
        call.stats.accepted, call.stats.rejected = result.grid.steps, result.rejected
        call.stats.evaluations_forward = timed.evaluations
        ctx.call, ctx.packing = call, packing
        # Saved through autograd, the checkpoints go as soon as the backward pass has run, even if the solution is kept.
        ctx.steps = [checkpoint._replace(y=None, carry=None) for checkpoint in checkpoints]
        ctx.carries = checkpoints[0].carry is not None
        kept = [tensor for c in checkpoints for tensor in ((c.y, c.carry) if ctx.carries else (c.y,))]
        ctx.save_for_backward(*tensors, *kept)
        ys = packing.unpack_outputs(torch.stack(result.ys))
        return ys if isinstance(ys, tuple) else (ys,)

    @staticmethod
    @differentiated_once
    def backward(ctx, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
        call: Call = ctx.call
        count = call.leaves + call.others
        saved, kept = ctx.saved_tensors[:count], ctx.saved_tensors[count:]
        y0, others = saved[: call.leaves], saved[call.leaves :]
        width = 1 + ctx.carries
        given = tuple(
            y.new_zeros(len(call.ts), *y.shape) if g is None else g for g, y in zip(cotangents, y0, strict=True)
        )
        arriving = ctx.packing.pack_outputs(call.state(given))
        steps: list[_Checkpoint] = ctx.steps
        timed = TimedField(ctx.packing.field(call.field), kept[0])
        by_row = wants_rows(call.grid)
        outputs = place_row_outputs(call.ts, call.grid) if by_row else place_outputs(call.ts, call.grid)
        totals = Totals(len(others))
        adjoint, carried = None, None
        for n in reversed(range(len(steps))):
            t, dt, _, _, mark = steps[n]
            if not by_row and (n % ANNOUNCED_STEPS == ANNOUNCED_STEPS - 1 or n == len(steps) - 1):
                first = n - n % ANNOUNCED_STEPS
                announce(call.solver, timed, [s.t for s in steps[first : n + 1]], [s.dt for s in steps[first : n + 1]])
            here = outputs.get(n, ())
            starts = call.fresh(kept[width * n : width * (n + 1)])
            with call.recomputation.replay(mark):
                step = call.solver.step(timed, t, dt, *starts, dense=any(lies_inside(*place[1:]) for place in here))
                ends, weights = [], []
                for index, theta, *rows in here:
                    if rows:
                        ends.append(row_output(call.solver, step, theta))
                        weights.append(in_rows(rows[0], arriving[index]))
                    elif theta == 1.0:
                        adjoint = arriving[index] if adjoint is None else adjoint + arriving[index]
                    else:
                        ends.append(call.solver.interpolate(step.dense, theta))
                        weights.append(arriving[index])
                ends += [step.y1] if adjoint is not None else []
                weights += [adjoint] if adjoint is not None else []
                if carried is not None and step.carry.requires_grad:
                    ends.append(step.carry)
                    weights.append(carried)
                if not call.checked:
                    refuse_undeclared(call.field, ends, starts, others, call.method.name)
                    call.checked = True
                adjoint, *rest = torch.autograd.grad(ends, (*starts, *others), weights, allow_unused=True)
            carried = rest.pop(0) if ctx.carries else None
            totals.add(rest)
        if carried is not None:
            start = call.fresh(kept[:1])
            with call.recomputation.replay(ctx.start):
                first_carry = call.solver.first_carry(timed, steps[0].t, *start)
                if first_carry.requires_grad:
                    more, *rest = torch.autograd.grad(first_carry, (*start, *others), carried, allow_unused=True)
                    adjoint = adjoint if more is None else adjoint + more
                    totals.add(rest)
        call.stats.evaluations_backward += timed.evaluations
        adjoint = arriving[0] if adjoint is None else adjoint + arriving[0]
        leaves = ctx.packing.unpack(adjoint)
        return None, *(leaves if call.is_tuple else (leaves,)), *totals.values


def _solve(
    call: Call, tensors: Sequence[Tensor], marking: bool
) -> tuple[March, Packing, TimedField, list[_Checkpoint]]:
    solver = _Marked(call.solver, call.recomputation) if marking else call.solver
    by_row = wants_rows(call.request)
    packing = Packing(call.state(tensors[: call.leaves]), by_row=by_row)
    y0 = packing.pack(call.state(tensors[: call.leaves]))
    timed = TimedField(packing.field(prepared_for_solve(call.field)), y0)
    checkpoints: list[_Checkpoint] = []
    keeps_carry = call.solver.carry_is == "state"

    def visit(t: Any, dt: Any, y: Tensor, carry: Any) -> None:
        checkpoints.append(_Checkpoint(t, dt, y, carry if keeps_carry else None, solver.mark if marking else None))

    return march(solver, timed, y0, call.ts, call.request, visit), packing, timed, checkpoints
