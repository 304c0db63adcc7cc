"""ANODE: keep the input of the block, compute the whole solve again in the backward."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from odebench.contract import Field, GradientMethod, GridRequest, Solution, Solver, State
from odebench.gradients.recorded_call import Call, differentiated_once, record
from odebench.gradients.revolve import Revolve
from odebench.numerics.reach import refuse_undeclared


class Anode(GradientMethod):
    """Gradient of the discrete solution, with one checkpoint for the whole solve; exact for the discretisation.

    The forward pass stores the initial state (and the accepted grid). The backward pass solves again on that grid, records
    it, and backpropagates. In a network of L such blocks of N steps, L inputs and the graph of one block are alive at once:
    O(L) + O(N) instead of O(L N), for one more forward solve. Random masks, autocast and batch statistics are as in the
    forward pass, and statistics are not updated again.

    With `slots` or `memory` the backward pass goes through the block with that many states at once, as `revolve` does, and
    records one step at a time: O(L) + O(slots), for t(N, slots) more steps (there), instead of N.

    Args:
        slots: how many states of the block the backward pass keeps at once, its input included; None records the whole block.
        memory: instead of it, a budget in bytes for a block, such as "64MiB", as `revolve` takes it.

    Source: A. Gholami, K. Keutzer, G. Biros, "ANODE: unconditionally accurate memory-efficient gradients for neural ODEs",
    IJCAI 2019, arXiv:1902.10298, section 4.
    """

    name = "anode"
    exact_for_discretisation = True
    memory = "O(N s)"
    source = "A. Gholami, K. Keutzer, G. Biros, IJCAI 2019, arXiv:1902.10298"

    def __init__(self, *, slots: int | None = None, memory: str | int | None = None) -> None:
        self._inside = None if slots is None and memory is None else _Inside(slots=slots, memory=memory)
        if self._inside is not None:
            self.memory = self._inside.memory

    def supports(self, solver: Solver) -> str | None:
        """Every solver through which autograd can pass; with slots, every one that is a step."""
        if self._inside is not None:
            return self._inside.supports(solver)
        if not solver.differentiable:
            return f"Solver {solver.name!r} is opaque to autograd."
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
        if self._inside is not None:
            return self._inside.solve(solver, field, y0, ts, grid, inputs)
        return record(_Anode, self, solver, field, y0, ts, grid, inputs)


class _Inside(Revolve):
    """Binomial checkpointing in the backward pass alone: the forward pass keeps the initial state."""

    name = "anode"
    keeps_on_the_way = False


class _Anode(torch.autograd.Function):
    @staticmethod
    def forward(ctx, call: Call, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        before = call.recomputation.mark()
        solution = call.solver.solve(call.field, call.state(tensors[: call.leaves]), call.ts, call.request)
        steady = before.same_as(call.recomputation.mark())
        ctx.mark = None if steady else before
        # A field that draws random numbers, or whose buffers change, must be asked exactly what it was asked before, rejected
        # steps included; any other can take the accepted steps alone.
        ctx.request = solution.grid if steady and solution.grid is not None else call.request
        call.grid, call.stats.accepted, call.stats.rejected = (
            solution.grid,
            solution.stats.accepted,
            solution.stats.rejected,
        )
        call.stats.evaluations_forward = solution.stats.evaluations_forward
        ctx.call = call
        ctx.save_for_backward(*tensors)
        return solution.ys if isinstance(solution.ys, tuple) else (solution.ys,)

    @staticmethod
    @differentiated_once
    def backward(ctx, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
        call: Call = ctx.call
        saved = ctx.saved_tensors
        y0, others = call.fresh(saved[: call.leaves]), saved[call.leaves :]
        with call.recomputation.replay(ctx.mark):
            solution = call.solver.solve(call.field, call.state(y0), call.ts, ctx.request)
            ys = solution.ys if isinstance(solution.ys, tuple) else (solution.ys,)
            if not call.checked:
                refuse_undeclared(call.field, ys, y0, others, call.method.name)
                call.checked = True
            wanted = [(y, g) for y, g in zip(ys, cotangents, strict=True) if g is not None and y.requires_grad]
            gradients = torch.autograd.grad(
                [y for y, _ in wanted], (*y0, *others), [g for _, g in wanted], allow_unused=True
            )
        call.stats.evaluations_backward += solution.stats.evaluations_forward
        return None, *gradients
