"""Keep the state at each accepted step, compute one step at a time again in the backward."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from odebench.contract import Field, GradientMethod, GridRequest, Solution, Solver, State
from odebench.gradients.recorded_call import Call, differentiated_once, record
from odebench.gradients.repeatable import Marked, Place, repeatably
from odebench.gradients.step_reversal import StepReversal
from odebench.numerics import OneStepSolver
from odebench.numerics.march import March, march, wants_rows
from odebench.numerics.packing import Packing
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
    compiled_memory = "steps"
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


class _StepCheckpoint(torch.autograd.Function):
    @staticmethod
    def forward(ctx, call: Call, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        (result, packing, timed, places), ctx.start = repeatably(call, lambda solver: _solve(call, tensors, solver))
        call.grid = result.grid
        call.stats.accepted, call.stats.rejected = result.grid.steps, result.rejected
        call.stats.evaluations_forward = timed.evaluations
        ctx.call, ctx.packing = call, packing
        # Saved through autograd, the checkpoints go as soon as the backward pass has run, even if the solution is kept.
        ctx.places = [place._replace(y=None, carry=None) for place in places]
        ctx.carries = call.solver.carry_is == "state"
        kept = [tensor for place in places for tensor in ((place.y, place.carry) if ctx.carries else (place.y,))]
        ctx.save_for_backward(*tensors, *kept)
        ys = packing.unpack_outputs(torch.stack(result.ys))
        return ys if isinstance(ys, tuple) else (ys,)

    @staticmethod
    @differentiated_once
    def backward(ctx, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
        call: Call = ctx.call
        count = call.leaves + call.others
        saved, kept = ctx.saved_tensors[:count], ctx.saved_tensors[count:]
        reversal = StepReversal(call, ctx.packing, saved[: call.leaves], saved[call.leaves :], cotangents)
        width = 1 + ctx.carries
        for place in reversed(ctx.places):
            y, *carry = kept[width * place.step : width * (place.step + 1)]
            reversal.reverse(place._replace(y=y, carry=carry[0] if carry else None))
        return None, *reversal.gradients(ctx.start)


def _solve(
    call: Call, tensors: Sequence[Tensor], solver: OneStepSolver | Marked
) -> tuple[March, Packing, TimedField, list[Place]]:
    packing = Packing(call.state(tensors[: call.leaves]), by_row=wants_rows(call.request))
    y0 = packing.pack(call.state(tensors[: call.leaves]))
    timed = TimedField(packing.field(call.field), y0)
    places: list[Place] = []
    keeps_carry = call.solver.carry_is == "state"

    def visit(t: Any, dt: Any, y: Tensor, carry: Any) -> None:
        mark = solver.mark if isinstance(solver, Marked) else None
        places.append(Place(len(places), y, carry if keeps_carry else None, mark))

    return march(solver, timed, y0, call.ts, call.request, visit), packing, timed, places
