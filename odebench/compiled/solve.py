"""A solve that runs as compiled programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from odebench.compiled.adaptive import TOO_SMALL, Adaptive
from odebench.compiled.emission import Emission
from odebench.compiled.field_graph import FieldGraph, capture
from odebench.compiled.lanes import Lanes
from odebench.compiled.program import free, program_of
from odebench.compiled.traced_field import Shape
from odebench.contract import Field, Grid, GridRequest, Solution, Solver, State, Stats, StepSize, Tolerance
from odebench.errors import CompileError, IncompatibleError
from odebench.numerics import ExplicitRungeKutta
from odebench.numerics.march import diverged, wants_rows
from odebench.numerics.march_rows import refuse_rows
from odebench.numerics.outputs import checked_times
from odebench.numerics.packing import Packing
from odebench.numerics.timed_field import time_dtype
from odebench.numerics.uniform import uniform_grid

FIRST_ROOM = 128
"""So many steps find room at first; each further stretch has twice the room of the one before."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What all programs of one solve share."""

    solver: ExplicitRungeKutta
    graph: FieldGraph
    shape: Shape
    lanes: Lanes
    tensors: tuple[Tensor, ...]
    packing: Packing

    @property
    def key(self) -> tuple[Any, ...]:
        """What their programs depend on besides the graph."""
        return type(self.solver), self.solver.adaptive, self.shape, self.lanes


def setting_of(solver: Solver, field: Field, y0: State, ts: Sequence[float], request: GridRequest) -> Setting:
    """The graph of the field, and how its state is packed.

    Raises:
        CompileError: the solver or the field has no compiled form.
    """
    if not isinstance(solver, ExplicitRungeKutta):
        raise CompileError(
            f"Solver {solver.name!r} has no compiled form: it is no explicit Runge-Kutta method that is given by its tableau."
        )
    by_row = wants_rows(request)
    leaves = y0 if isinstance(y0, tuple) else (y0,)
    rows_apart = isinstance(y0, tuple) and all(leaf.dim() and leaf.shape[0] == leaves[0].shape[0] for leaf in leaves)
    packing = Packing(y0, by_row=by_row or rows_apart)
    if leaves[0].is_complex():
        raise CompileError("A complex state has no compiled form. Solve without compile, or in real and imaginary parts.")
    dtype = time_dtype(leaves[0].dtype)
    start = torch.full((), ts[0], dtype=dtype, device=leaves[0].device)
    if by_row:
        start = start.repeat(leaves[0].shape[0]).reshape(-1, *(1,) * (leaves[0].dim() - 1))
    plain = tuple(leaf.detach() for leaf in leaves)
    graph, tensors = capture(field, start, plain, packing.is_tuple)
    if by_row and graph.uses_time:
        refuse_rows(solver, field, y0, ts[0])
    flat = packing.is_tuple and not packing.by_row
    shape = Shape(
        rows=tuple(tuple(leaf.shape if flat else leaf.shape[1:]) for leaf in leaves),
        is_tuple=packing.is_tuple,
        by_row=packing.by_row,
        time_dtype=dtype,
    )
    elements = getattr(request, "norm_elements", None)
    lanes = Lanes(by_row=by_row, dtype=dtype, elements=elements)
    return Setting(solver=solver, graph=graph, shape=shape, lanes=lanes, tensors=tensors, packing=packing)


@dataclass
class Steps:
    """The steps of one run of a program: their number, their starts and lengths, and the states at their starts."""

    count: int
    grid: Tensor
    states: Tensor


@dataclass(kw_only=True)
class Solved:
    """A solve with packed states.

    Attributes:
        ys: `(times, *y)`.
        stretches: the steps, one stretch after the other.
        grid: all accepted steps.
        stats: counts.
    """

    ys: Tensor
    stretches: list[Steps]
    grid: Grid
    stats: Stats


def solve_adaptively(setting: Setting, y: Tensor, ts: list[float], tolerance: Tolerance, keep: bool) -> Solved:
    """Take steps whose estimated error meets `tolerance`; as the eager loops do."""
    solver, lanes = setting.solver, setting.lanes
    if not solver.adaptive:
        raise IncompatibleError(
            f"Solver {solver.name!r} takes fixed steps and cannot follow a tolerance. Give steps or step_size instead."
        )
    guess, outputs = tolerance.first_step is None, len(ts) > 2
    batch = (y.shape[0],) if lanes.by_row else ()
    full = lambda value, dtype=torch.float64: free(torch.full(batch, value, dtype=dtype, device=y.device), 0)  # noqa: E731
    span = ts[-1] - ts[0]
    first = 0.0 if guess else min(tolerance.first_step, abs(span)) * (1.0 if span > 0 else -1.0)
    state = [full(ts[0]), full(first), full(1e-4), full(False, torch.bool), full(1, torch.int64), y, torch.empty_like(y)]
    for tensor in state[5:]:
        free(tensor, *_batch_dimension(setting))
    times = torch.tensor(ts, dtype=torch.float64, device=y.device)
    given = y.new_empty(0)
    if outputs:
        given = y.expand(len(ts), *y.shape).clone()
        free(times, 0)
        free(given, 0, *(1 + d for d in _batch_dimension(setting)))
    settings = settings_of(tolerance, solver.error_order, ts, y)
    key = ("adaptive", outputs, keep, guess, *setting.key)
    program = program_of(
        setting.graph,
        key,
        lambda: Adaptive(
            solver=solver,
            graph=setting.graph,
            shape=setting.shape,
            lanes=lanes,
            emission=Emission(solver, outputs and solver.interpolates),
            outputs=outputs,
            keep=keep,
            guess=guess,
        ),
    )
    stretches: list[Steps] = []
    room, attempts, refused, evaluations, fresh = FIRST_ROOM, 0, 0, 0, True
    while True:
        limit = torch.tensor(tolerance.max_steps - attempts, device=y.device)
        flag = torch.tensor(fresh, device=y.device)
        chunk = program(
            times, settings, limit, free(y.new_empty(room), 0), flag, tuple(state), given, setting.tensors
        )
        numbers = torch.stack(
            (chunk.steps, chunk.attempts, chunk.refused, chunk.status, (chunk.state.pending < len(ts)).sum())
        ).tolist()
        count, tried, rejected, status, open_ = numbers
        evaluations += tried * chunk.evaluations[1] + (chunk.evaluations[0] if fresh else 0)
        attempts, refused, fresh = attempts + tried, refused + rejected, False
        stretches.append(Steps(count, chunk.grid, chunk.states))
        if not open_:
            break
        if status == TOO_SMALL or attempts >= tolerance.max_steps:
            raise _diverged(setting, tolerance, ts, stretches, chunk, status)
        state, given, room = list(chunk.state), chunk.outputs, 2 * room
        for tensor in state[:5]:
            free(tensor, 0)
        for tensor in state[5:]:
            free(tensor, *_batch_dimension(setting))
        if outputs:
            free(given, 0, *(1 + d for d in _batch_dimension(setting)))
    ys = chunk.outputs if outputs else torch.stack((y, chunk.state.y))
    grid = _grid(stretches, ts[-1])
    stats = Stats(evaluations_forward=evaluations, accepted=grid.steps, rejected=refused)
    return Solved(ys=ys, stretches=stretches, grid=grid, stats=stats)


def _batch_dimension(setting: Setting) -> tuple[int, ...]:
    """The dimension of packed states whose size programs leave open."""
    return () if setting.packing.is_tuple and not setting.packing.by_row else (0,)


def settings_of(tolerance: Tolerance, order: int, ts: Sequence[float], y: Tensor) -> Tensor:
    """The numbers of the step control, in the order that `Adaptive` takes them in."""
    smallest = tolerance.min_step or 16 * 2.2e-16 * max(abs(ts[0]), abs(ts[-1]))
    values = (
        tolerance.rtol,
        # As in `ErrorNorm`: an element that is and stays 0 has no error, rather than 0/0.
        tolerance.atol or torch.finfo(y.dtype).tiny,
        tolerance.safety,
        tolerance.min_factor,
        tolerance.max_factor,
        tolerance.integral / order,
        tolerance.proportional / order,
        1.0 / order,
        smallest,
    )
    return torch.tensor(values, dtype=torch.float64, device=y.device)


def _diverged(setting: Setting, tolerance: Tolerance, ts: list[float], stretches: list[Steps], chunk: Any, status: int):
    grid = _grid(stretches, ts[-1])
    if status == TOO_SMALL:
        smallest = float(chunk.state.dt.abs().min())
        why = f"the step size fell below its minimum ({smallest:.3g}), or the field is not finite"
    else:
        why = f"{tolerance.max_steps} steps were not enough"
    return diverged(why, setting.solver, float(chunk.state.t.min()), ts, grid.t.tolist(), grid.dt.tolist())


def _grid(stretches: Sequence[Steps], end: float) -> Grid:
    steps = torch.cat([stretch.grid[: stretch.count] for stretch in stretches]).cpu()
    return Grid(t=steps[:, 0].clone(), dt=steps[:, 1].clone(), end=end)
