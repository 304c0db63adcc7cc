"""The adjoint equation, discretised by the same solver on the same grid, along the stored states of the forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from odebench.contract import Field, GradientMethod, GridRequest, Solution, Solver, State
from odebench.errors import IncompatibleError
from odebench.gradients.adjoint_equation import as_dtype, common_dtype, refuse_noise, slopes
from odebench.gradients.recorded_call import Call, differentiated_once, record
from odebench.numerics import OneStepSolver
from odebench.numerics.march import March, march, place_outputs, wants_rows
from odebench.numerics.packing import Packing
from odebench.numerics.stored_path import StoredPath
from odebench.numerics.timed_field import TimedField


class OtdStored(GradientMethod):
    """Gradient by optimise-then-discretise with stored states: memory O(N), and no state is reconstructed.

    a' = -aᵀ ∂f/∂y and g' = -aᵀ ∂f/∂θ are solved backward, step for step on the forward grid, by the solver itself; y is taken
    from the forward pass. With Euler, a_n = a_{n+1} + h (∂f/∂y at y_{n+1})ᵀ a_{n+1}: where the derivative of the discrete
    solution is taken at y_n, this one is at y_{n+1}.

    Not the gradient of the discrete solution: it differs from it by O(dt^min(p, q + 1)), p the solver's order and q that of
    its interpolant, from which y is taken at stages between two points of the grid; where the solver has none, the cubic
    Hermite polynomial (q = 3). For q + 1 ≥ p that is O(dt^p). With one Euler step the difference is of the size of the
    gradient.

    A field that draws random numbers is refused, as its noise would be another one on the way back, and so are steps of its own
    for each row, since the gradients of parameters have no rows.

    Source: A. Gholami, K. Keutzer, G. Biros, IJCAI 2019, arXiv:1902.10298: optimise-then-discretise, whose gradients that paper
    shows to be inconsistent.
    """

    name = "otd-stored"
    exact_for_discretisation = False
    memory = "O(N)"
    source = "A. Gholami, K. Keutzer, G. Biros, IJCAI 2019, arXiv:1902.10298"

    def supports(self, solver: Solver) -> str | None:
        """Every solver that is a step."""
        if not isinstance(solver, OneStepSolver):
            return f"Solver {solver.name!r} does not show its steps, so the states on its grid are not known."
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
        """As `GradientMethod.solve` says.

        Raises:
            IncompatibleError: steps for each row, or a field that is random.
        """
        if wants_rows(grid):
            raise IncompatibleError(
                f"Gradient method {self.name!r} integrates the gradient of the parameters, which has no rows, so it cannot take "
                "per-sample steps. Use batch='joint', or a method that differentiates the steps."
            )
        return record(_OtdStored, self, solver, field, y0, ts, grid, inputs)


class _OtdStored(torch.autograd.Function):
    @staticmethod
    def forward(ctx, call: Call, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        before = call.recomputation.mark()
        packing = Packing(call.state(tensors[: call.leaves]))
        packed = packing.pack(call.state(tensors[: call.leaves]))
        timed = TimedField(packing.field(call.field), packed)
        states: list[Tensor] = []
        carries: list[Tensor] = []

        def visit(t: float, dt: float, y: Tensor, carry: Any) -> None:
            states.append(y)
            if call.solver.carry_is == "state":
                carries.append(carry)

        result: March = march(call.solver, timed, packed, call.ts, call.request, visit)
        refuse_noise(call, before, call.recomputation.mark())
        call.grid, call.stats.accepted, call.stats.rejected = result.grid, result.grid.steps, result.rejected
        call.stats.evaluations_forward = timed.evaluations
        if place_outputs(call.ts, result.grid).get(len(states) - 1, [(0, 0.0)])[-1][1] == 1.0:
            states.append(result.ys[-1])  # the last output is the end of the last step
        ctx.call, ctx.packing, ctx.states = call, packing, len(states)
        ctx.save_for_backward(*tensors, *states, *carries)
        ys = packing.unpack_outputs(torch.stack(result.ys))
        return ys if isinstance(ys, tuple) else (ys,)

    @staticmethod
    @differentiated_once
    def backward(ctx, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
        call, packing = ctx.call, ctx.packing
        count = call.leaves + call.others
        saved, stored = ctx.saved_tensors[:count], ctx.saved_tensors[count:]
        y0, others = saved[: call.leaves], saved[call.leaves :]
        now = call.recomputation.mark()

        def field(t: Tensor, y: State) -> State:
            with call.recomputation.replay(None, taped=False):
                return call.field(t, y)

        path = StoredPath(
            call.solver,
            TimedField(packing.field(field), stored[0]),
            call.grid,
            stored[: ctx.states],
            stored[ctx.states :],
        )
        dtype = common_dtype((*y0, *others))
        adjoint = Packing(tuple(torch.zeros_like(x, dtype=dtype) for x in (*y0, *others)))
        z = adjoint.pack(tuple(torch.zeros_like(x, dtype=dtype) for x in (*y0, *others)))
        size = sum(leaf.numel() for leaf in y0)

        def arriving(index: int) -> Tensor:
            given = (torch.zeros_like(y) if g is None else g[index] for g, y in zip(cotangents, y0, strict=True))
            return torch.cat([leaf.reshape(-1).to(dtype) for leaf in given])

        def equation(t: float, z: Tensor) -> Tensor:
            leaves = adjoint.unpack(z)
            y = packing.unpack(path.at(t))
            y = y if isinstance(y, tuple) else (y,)
            _, found = slopes(call, path.field.times[t], y, leaves[: call.leaves], others)
            return adjoint.pack(tuple(slope.to(dtype) for slope in found))

        backward = TimedField(equation, z)
        backward.times = _Floats()
        outputs, carry = place_outputs(call.ts, call.grid), None
        fresh = call.solver.carry_is == "state"
        for n in reversed(range(max(outputs) + 1)):
            path.enter(n)
            stop = path.end
            for target, index in _halts(path, outputs.get(n, ())):
                if target != stop:
                    if fresh:
                        carry, fresh = call.solver.first_carry(backward, stop, z), False
                    step = call.solver.step(backward, stop, target - stop, z, carry)
                    z, carry, stop = step.y1, step.carry, target
                if index is not None:  # the adjoint jumps, and what was carried belongs to before
                    z = torch.cat([z[:size] + arriving(index), z[size:]])
                    carry, fresh = None, call.solver.carry_is == "state"
        call.stats.evaluations_backward += backward.evaluations + path.field.evaluations
        call.recomputation.restore(now)
        z = torch.cat([z[:size] + arriving(0), z[size:]])
        return None, *(as_dtype(g, x.dtype) for g, x in zip(adjoint.unpack(z), (*y0, *others), strict=True))


class _Floats:
    """Stands for the table of times where the equation takes a time as a Python float."""

    def __getitem__(self, t: float) -> float:
        return t

    def prepare(self, times: Sequence[float]) -> None:
        """Nothing has to be made."""


def _halts(path: StoredPath, outputs: Sequence[tuple[int, float]]) -> list[tuple[float, int | None]]:
    """Where the way back through a step halts, from its end to its start, and which output is there."""
    length = path.end - path.start
    halts = [(path.end if share == 1.0 else path.start + share * length, index) for index, share in outputs]
    return [*reversed(halts), (path.start, None)]
