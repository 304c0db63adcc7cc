"""What a solve with checkpoints holds besides them, measured, so that a budget in bytes tells how many there may be."""

from __future__ import annotations

import functools
import sys
import weakref
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from odebench.contract import (
    Field,
    GradientMethod,
    Grid,
    GridRequest,
    Solver,
    State,
    StepSize,
    Tolerance,
    modules_of,
    parameters_of,
)
from odebench.errors import DivergedError
from odebench.numerics.march import ANNOUNCED_STEPS, wants_rows
from odebench.numerics.packing import Packing
from odebench.numerics.recomputation import Recomputation
from odebench.numerics.storage_tracker import StorageTracker
from odebench.numerics.timed_field import TimedField
from odebench.numerics.uniform import uniform_grid

STEPS = 4
"""A short solve of so many steps goes through all that a long one does: it advances from a state that is no input."""

_SCALARS = 128
"""Bytes left for a loss's own scalars."""


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """Bytes of a solve and its backward pass, beyond the inputs, the outputs and the gradients of parameters.

    Attributes:
        floor_bytes: at the peak, with one slot, which the initial state takes.
        state_bytes: of a state that is kept, with what belongs to it.
        evaluations: of the field that measuring took; 0 where the figures were known.
    """

    floor_bytes: int
    state_bytes: int
    evaluations: int


# By the first module of the field, or by the field itself where it has none, so that each is measured once.
_known: weakref.WeakKeyDictionary[Any, dict[Any, Footprint]] = weakref.WeakKeyDictionary()


def footprint(
    method: GradientMethod,
    solver: Solver,
    field: Field,
    y0: State,
    ts: Sequence[float],
    grid: GridRequest,
    inputs: tuple[Tensor, ...],
) -> Footprint:
    """Follow the memory of the first steps of this solve, forward and back; nothing is left changed.

    Args:
        method: with one slot.
        solver, field, y0, ts, grid, inputs: as `GradientMethod.solve` takes them.
    """
    leaves = y0 if isinstance(y0, tuple) else (y0,)
    modules = modules_of(field)
    kind = leaves[0].device.type
    key = (
        *(solver.name, solver.adaptive, type(grid), wants_rows(grid), len(ts) > 2, steps_of(grid, ts)),
        *(tuple((leaf.shape, leaf.dtype, leaf.device, leaf.requires_grad) for leaf in (*leaves, *inputs))),
        *(torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)),
        *(
            tuple(module.training for module in modules),
            tuple(p.requires_grad for m in modules for p in m.parameters()),
        ),
    )
    try:
        known = _known.setdefault(modules[0] if modules else field, {})
    except TypeError:  # nothing that can be known again
        known = {}
    if key in known:
        return replace(known[key], evaluations=0)
    recomputation = Recomputation(modules, leaves[0].device)
    before = recomputation.mark()
    counter = [0]
    try:
        with _eagerly():
            counted = functools.partial(_counted, counter, field)
            floor = _peak_with_one_slot(method, solver, counted, y0, ts, grid, inputs)
            restless = not before.same_as(recomputation.mark())
            if isinstance(grid, Tolerance):
                floor = max(floor, _peak_of_attempts(solver, counted, leaves, y0, ts, grid, inputs))
            state = _bytes(leaves) + _carry_bytes(solver, counted, y0, ts)
    finally:
        recomputation.restore(before)
    if restless:
        state += _bytes((*before.random, *before.buffers))
    # The gradients that come in have the outputs' size. Times are announced for more steps than were taken here.
    floor += len(ts) * _bytes(leaves) + 2 * 8 * ANNOUNCED_STEPS * len(getattr(solver, "nodes", ())) + _SCALARS
    known[key] = Footprint(floor_bytes=floor, state_bytes=state, evaluations=counter[0])
    return known[key]


def steps_of(grid: GridRequest, ts: Sequence[float]) -> int:
    """How many steps are worth taking to measure: `STEPS`, or as many as there are."""
    if isinstance(grid, StepSize):
        grid = uniform_grid(grid, float(ts[0]), float(ts[-1]))
    return min(STEPS, grid.steps) if isinstance(grid, Grid) else STEPS


def _peak_with_one_slot(
    method: GradientMethod,
    solver: Solver,
    field: Field,
    y0: State,
    ts: Sequence[float],
    grid: GridRequest,
    inputs: tuple[Tensor, ...],
) -> int:
    leaves = tuple(_like(leaf) for leaf in (y0 if isinstance(y0, tuple) else (y0,)))
    others = (*parameters_of(field), *inputs)
    short = _short_grid(grid, ts, leaves[0].shape[0] if wants_rows(grid) else None)
    times = [float(ts[0]), short.end]
    if len(ts) > 2 and solver.interpolates:  # an output inside a step costs more than one at its end
        times.insert(1, 0.5 * (times[0] + times[1]))
    cotangents = [torch.ones(len(times), *leaf.shape, dtype=leaf.dtype, device=leaf.device) for leaf in leaves]
    with StorageTracker([*leaves, *others, *cotangents, *_buffers(field)]) as tracker, torch.enable_grad():
        solution = method.solve(solver, field, leaves if isinstance(y0, tuple) else leaves[0], times, short, inputs)
        ys = solution.ys if isinstance(solution.ys, tuple) else (solution.ys,)
        wanted = [tensor for tensor in (*leaves, *others) if tensor.requires_grad]
        gradients = torch.autograd.grad(ys, wanted, cotangents, allow_unused=True)
    excluded = [
        g for g, tensor in zip(gradients, wanted, strict=True) if g is not None and any(tensor is o for o in others)
    ]
    return tracker.peak_bytes - _bytes((*ys, *excluded))


def _peak_of_attempts(
    solver: Solver,
    field: Field,
    leaves: Sequence[Tensor],
    y0: State,
    ts: Sequence[float],
    grid: Tolerance,
    inputs: tuple[Tensor, ...],
) -> int:
    """Peak of the first attempts at steps that are chosen: their error estimates take memory as well."""
    tracker = StorageTracker([*leaves, *parameters_of(field), *inputs, *_buffers(field)])
    with tracker, torch.no_grad(), suppress(DivergedError):
        solver.solve(field, y0, ts, replace(grid, max_steps=STEPS))
    return tracker.peak_bytes + _bytes(leaves)  # the state before the one at hand


def _short_grid(grid: GridRequest, ts: Sequence[float], rows: int | None) -> Grid:
    """The first steps; where they are not known, short ones, since any length takes the same memory."""
    start, end, steps = float(ts[0]), float(ts[-1]), steps_of(grid, ts)
    if isinstance(grid, StepSize):
        grid = uniform_grid(grid, start, end)
    if isinstance(grid, Grid) and rows is None:
        last = grid.end if steps == grid.steps else grid.t[steps].item()
        return Grid(t=grid.t[:steps], dt=grid.dt[:steps], end=last)
    short = uniform_grid(StepSize(steps=steps), start, start + 1e-3 * (end - start))
    if rows is None:
        return short
    return Grid(t=short.t[:, None].repeat(1, rows), dt=short.dt[:, None].repeat(1, rows), end=short.end)


def _carry_bytes(solver: Solver, field: Field, y0: State, ts: Sequence[float]) -> int:
    if solver.carry_is != "state":
        return 0
    packing = Packing(y0)
    packed = packing.pack(y0)
    with torch.no_grad():
        return _bytes((solver.first_carry(TimedField(packing.field(field), packed), float(ts[0]), packed),))


def _counted(counter: list[int], field: Field, t: Tensor, y: State) -> State:
    counter[0] += 1
    return field(t, y)


def _like(leaf: Tensor) -> Tensor:
    return leaf.detach().requires_grad_(leaf.requires_grad)


def _buffers(field: Field) -> list[Tensor]:
    return [buffer for module in modules_of(field) for buffer in module.buffers(recurse=False)]


def _bytes(tensors: Sequence[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _eagerly() -> AbstractContextManager[Any]:
    """Compiled code, whose memory no dispatch mode can follow, runs as it was written."""
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()
