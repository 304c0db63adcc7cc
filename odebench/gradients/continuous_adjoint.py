"""The continuous adjoint: solve the adjoint equation backward in time, keep no trajectory."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from odebench.contract import Field, GradientMethod, Grid, GridRequest, Solution, Solver, State, StepSize, Tolerance
from odebench.errors import IncompatibleError
from odebench.gradients.adjoint_equation import as_dtype, common_dtype, refuse_noise, slopes
from odebench.gradients.recorded_call import Call, differentiated_once, record
from odebench.numerics import OneStepSolver
from odebench.numerics.packing import Packing
from odebench.numerics.timed_field import time_dtype

PIECE = 16
"""Steps of a grid that are walked backward in one solve."""


class ContinuousAdjoint(GradientMethod):
    """Gradient by optimise-then-discretise: y, a and dL/dθ are integrated backward together; memory O(1) in the steps.

    Not the gradient of the discrete solution: it differs from it by O(dt^p), p the solver's order, and the reconstructed y
    drifts where the field is unstable in reverse time. A field that draws random numbers is refused: its noise would be another
    one on the way back. Between output times y starts from the stored output.

    An implicit solver sees no derivatives of the backward equation, which are second derivatives of the field: its Newton
    iteration becomes a fixed-point one, so that stiff problems end in `DivergedError` here. Use a method that differentiates
    the steps.

    Args:
        norm: what step control looks at on the way back: "seminorm": y and a, not the gradients of parameters, which do not
            feed back (P. Kidger et al., "Hey, that's not an ODE", ICML 2021, arXiv:2009.09457); "all": all of it.
        rtol, atol: tolerances on the way back; None takes those of the forward solve.

    Source: R. T. Q. Chen et al., "Neural ordinary differential equations", NeurIPS 2018, arXiv:1806.07366, Algorithm 1 and
    Appendix C.
    """

    name = "continuous-adjoint"
    exact_for_discretisation = False
    memory = "O(1)"
    source = "R. T. Q. Chen et al., NeurIPS 2018, arXiv:1806.07366"

    def __init__(
        self, *, norm: Literal["seminorm", "all"] = "seminorm", rtol: float | None = None, atol: float | None = None
    ) -> None:
        if norm not in ("seminorm", "all"):
            raise IncompatibleError(f"continuous-adjoint: norm is {norm!r}; it must be 'seminorm' or 'all'.")
        self.norm, self.rtol, self.atol = norm, rtol, atol

    def supports(self, solver: Solver) -> str | None:
        """Every solver: it is only asked to solve."""
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
            IncompatibleError: steps for each row, whose parameters' gradient has no rows; or a field that is random.
        """
        if getattr(grid, "batch", "joint") == "per-sample" or getattr(grid, "per_sample", False):
            raise IncompatibleError(
                f"Gradient method {self.name!r} integrates the gradient of the parameters, which has no rows, so it cannot take "
                "per-sample steps. Use batch='joint', or a method that differentiates the steps."
            )
        return record(_Adjoint, self, solver, field, y0, ts, grid, inputs)

    def way_back(
        self, call: Call, start: float, end: float, counted: int
    ) -> Iterator[tuple[tuple[float, float], GridRequest]]:
        """The spans from `start` back to `end`, and how time is divided in each; `counted` elements of the state are y and a.

        A grid is walked in pieces, so that the reversed copy of it takes no memory that grows with the steps.
        """
        request = call.request
        if call.grid is not None and not isinstance(request, Tolerance):
            points = _points_between(call.grid, start, end)
            piece = len(points) if call.solver.carry_is == "state" else PIECE
            for first in range(0, len(points) - 1, piece):
                part = points[first : first + piece + 1]
                yield (part[0], part[-1]), _grid_through(part)
        elif isinstance(request, Tolerance):
            yield (
                (start, end),
                replace(
                    request,
                    rtol=request.rtol if self.rtol is None else self.rtol,
                    atol=request.atol if self.atol is None else self.atol,
                    norm_elements=counted if self.norm == "seminorm" else None,
                ),
            )
        elif request.steps is not None:  # a library that does not tell its steps: the same length, then
            yield (start, end), StepSize(step_size=abs(call.ts[-1] - call.ts[0]) / request.steps)
        else:
            yield (start, end), request


class _Adjoint(torch.autograd.Function):
    @staticmethod
    def forward(ctx, call: Call, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        before = call.recomputation.mark()
        solution = call.solver.solve(call.field, call.state(tensors[: call.leaves]), call.ts, call.request)
        refuse_noise(call, before, call.recomputation.mark())
        call.grid, call.stats.accepted, call.stats.rejected = (
            solution.grid,
            solution.stats.accepted,
            solution.stats.rejected,
        )
        call.stats.evaluations_forward = solution.stats.evaluations_forward
        ctx.call = call
        ys = solution.ys if isinstance(solution.ys, tuple) else (solution.ys,)
        ctx.save_for_backward(*tensors[call.leaves :], *ys)
        return ys

    @staticmethod
    @differentiated_once
    def backward(ctx, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
        call: Call = ctx.call
        saved = ctx.saved_tensors
        others, ys = saved[: len(saved) - call.leaves], saved[len(saved) - call.leaves :]
        given = [torch.zeros_like(y) if g is None else g for g, y in zip(cotangents, ys, strict=True)]
        dtype = common_dtype((*ys, *others))  # all of it is one state
        adjoint = [g[-1].to(dtype) for g in given]
        totals = [torch.zeros_like(tensor, dtype=dtype) for tensor in others]
        counted = 2 * sum(y[0].numel() for y in ys)
        now = call.recomputation.mark()
        for i in range(len(call.ts) - 1, 0, -1):
            z = tuple(leaf.to(dtype, copy=True) for leaf in (*(y[i] for y in ys), *adjoint, *totals))
            adjoint = totals = None  # in z now, and dropped with it
            packing = Packing(z)
            augmented = _augmented(call, packing, ys[0].dtype, others)
            # A solver of ours steps one tensor, and is spared the taking apart of what does not feed back.
            one = isinstance(call.solver, OneStepSolver)
            z, field = (packing.pack(z), augmented) if one else (z, _of_tuples(augmented, packing))
            for span, request in call.method.way_back(call, call.ts[i], call.ts[i - 1], counted):
                solution = call.solver.solve(field, z, span, request)
                # Copies, so that no piece keeps the outputs of the one before alive.
                z = solution.ys[-1].clone() if one else tuple(leaf[-1].clone() for leaf in solution.ys)
                call.stats.evaluations_backward += solution.stats.evaluations_forward
                del solution
            z = packing.unpack(z) if one else z
            adjoint = [a + g[i - 1] for a, g in zip(z[call.leaves : 2 * call.leaves], given, strict=True)]
            totals = z[2 * call.leaves :]
        call.recomputation.restore(now)
        gradients = zip((*adjoint, *totals), (*ys, *others), strict=True)
        return None, *(as_dtype(gradient, tensor.dtype) for gradient, tensor in gradients)


def _augmented(call: Call, packing: Packing, dtype: torch.dtype, others: Sequence[Tensor]) -> Callable[..., Tensor]:
    """The field of (y, a, gradients of parameters and inputs), all in one tensor; the gradients are not looked at."""
    count, shapes = call.leaves, packing.shapes
    sizes = [*packing.sizes[: 2 * count], sum(packing.sizes[2 * count :])]

    def augmented(t: Tensor, z: Tensor) -> Tensor:
        leaves = [leaf.view(shape) for leaf, shape in zip(z.split_with_sizes(sizes), shapes[: 2 * count], strict=False)]
        y = [as_dtype(leaf, dtype) for leaf in leaves[:count]]
        with torch.no_grad():
            f, adjoint = slopes(call, t.to(time_dtype(dtype)), y, leaves[count:], others)
        return torch.cat([slope.reshape(-1) for slope in (*f, *adjoint)])

    return augmented


def _of_tuples(augmented: Callable[..., Tensor], packing: Packing) -> Field:
    """The same field for a solver that is to see what belongs together."""
    return lambda t, z: packing.unpack(augmented(t, packing.pack(z)))


def _points_between(grid: Grid, start: float, end: float) -> list[float]:
    """`start`, the points of `grid` between, and `end`, in the order of that walk."""
    low, high = min(start, end), max(start, end)
    slack = 1e-9 * float(grid.dt.abs().max())
    between = [t for t in grid.t.tolist() if low + slack < t < high - slack]
    return [start, *sorted(between, reverse=start > end), end]


def _grid_through(points: Sequence[float]) -> Grid:
    lengths = [after - before for before, after in itertools.pairwise(points)]
    return Grid(
        t=torch.tensor(points[:-1], dtype=torch.float64),
        dt=torch.tensor(lengths, dtype=torch.float64),
        end=points[-1],
    )
