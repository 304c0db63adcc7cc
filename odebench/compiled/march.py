"""Solves that run as compiled programs: under a tolerance, and on a grid."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from odebench.compiled.adaptive import TOO_SMALL, Adaptive, Chunk, Counts, State
from odebench.compiled.emission import Emission
from odebench.compiled.placing import Places, place
from odebench.compiled.program import compiles, free
from odebench.compiled.replay import Placed, Replay, Replayed
from odebench.compiled.setting import Setting
from odebench.contract import Grid, Stats, StepSize, Tolerance
from odebench.errors import DivergedError, IncompatibleError
from odebench.numerics.march import diverged
from odebench.numerics.sending import sent
from odebench.numerics.uniform import uniform_grid

FIRST_ROOM = 128
"""So many steps find room at first, where states are kept; each further stretch has twice the room of the one before."""


@dataclass(kw_only=True)
class Stretch:
    """Steps that were taken by one run of a program.

    Attributes:
        count: their number.
        grid: their starts and lengths, `(count, 2)` or `(count, 2, batch)`.
        states: packed states at the start of every `stride`-th step, in order; more rows may follow, which mean nothing.
        stride: so many steps lie between two of these states.
    """

    count: int
    grid: Tensor
    states: Tensor
    stride: int


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
    stretches: list[Stretch]
    grid: Grid
    stats: Stats


def solve_adaptively(
    setting: Setting, y: Tensor, ts: list[float], tolerance: Tolerance, keep: bool, two_levels: bool = False
) -> Solved:
    """Take steps whose estimated error meets `tolerance`; as the eager loops do.

    Args:
        keep: whether states at the starts of steps are kept.
        two_levels: keep few of them: their distance doubles as steps become more.
    """
    solver, lanes = setting.solver, setting.lanes
    if not solver.adaptive:
        raise IncompatibleError(
            f"Solver {solver.name!r} takes fixed steps and cannot follow a tolerance. Give steps or step_size instead."
        )
    guess, outputs = tolerance.first_step is None, len(ts) > 2
    program = setting.program(
        ("adaptive", outputs, keep, guess),
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
    times = torch.tensor(ts, dtype=torch.float64, device=y.device)
    given = y.expand(len(ts), *y.shape).clone() if outputs else y.new_empty(0)
    settings, tensors = _settings(tolerance, solver.error_order, ts, y), setting.plain_tensors
    state, fresh = _start(setting, y, ts, tolerance), True
    stretches: list[Stretch] = []
    # Steps alone take little room: most solves then end in one run.
    room = FIRST_ROOM if keep or lanes.by_row else 8 * FIRST_ROOM
    attempts, refused, evaluations = 0, 0, 0
    while True:
        stride = 8 << len(stretches) if two_levels else 1
        chunk = Chunk(
            *program(
                free(times, 0) if outputs else times,
                settings,
                torch.tensor((tolerance.max_steps - attempts, stride), device=y.device),
                free(times.new_empty(room), 0),
                free(times.new_empty(room // stride), 0),
                torch.tensor(fresh, device=y.device),
                _freed(setting, state),
                setting.free(given, 1) if outputs else given,
                tensors,
            )
        )
        end = State.unpacked(*chunk.state)
        # All that the host has to know, at once: the one wait for the device.
        counts = Counts(*chunk.counts.tolist())
        evaluations += counts.attempts * counts.evaluations_each + counts.evaluations_to_begin * fresh
        attempts, refused, fresh = attempts + counts.attempts, refused + counts.refused, False
        stretches.append(
            Stretch(count=counts.steps, grid=chunk.grid[: counts.steps], states=chunk.states, stride=stride)
        )
        if not counts.unmet:
            break
        if counts.status == TOO_SMALL or attempts >= tolerance.max_steps:
            raise _diverged(setting, tolerance, ts, stretches, end, counts.status)
        state, given, room = chunk.state, chunk.outputs, 2 * room
    grid = _grid(stretches, ts[-1])
    return Solved(
        ys=chunk.outputs if outputs else torch.stack((y, end.y)),
        stretches=stretches,
        grid=grid,
        stats=Stats(evaluations_forward=evaluations, accepted=grid.steps, rejected=refused),
    )


@functools.lru_cache(maxsize=128)
@torch.inference_mode(False)  # kept for solves with a gradient too
def _rows(count: int, stride: int, device: torch.device) -> Tensor:
    """In which row the state at the start of each step is stored: that of every `stride`-th one; the others in the last."""
    rows = torch.arange(count, device=device)
    return torch.where(rows % stride == 0, rows // stride, -(-count // stride))


def _start(setting: Setting, y: Tensor, ts: Sequence[float], tolerance: Tolerance) -> Sequence[Tensor]:
    """Where the loop of `Adaptive` begins."""
    batch = (y.shape[0],) if setting.lanes.by_row else ()
    span = ts[-1] - ts[0]
    first = 0.0
    if tolerance.first_step is not None:
        first = min(tolerance.first_step, abs(span)) * (1.0 if span > 0 else -1.0)
    full = lambda value, dtype=torch.float64: torch.full(batch, value, dtype=dtype, device=y.device)  # noqa: E731
    numbers = torch.stack((full(ts[0]), full(first), full(1e-4)))
    return numbers, full(False, torch.bool), full(1, torch.int64), y, torch.empty_like(y)


def _freed(setting: Setting, state: Sequence[Tensor]) -> tuple[Tensor, ...]:
    numbers, resting, pending, y, slope = state
    lanes = (free(numbers, 1), free(resting, 0), free(pending, 0))
    return *lanes, setting.free(y), setting.free(slope)


def solve_on_grid(
    setting: Setting, y: Tensor, ts: list[float], request: StepSize | Grid, keep: bool, two_levels: bool = False
) -> Solved:
    """Take the steps of a grid; as the eager loops do."""
    laid = lay(setting, ts, request)
    count, places = laid.grid.steps, laid.places
    stride = max(1, math.isqrt(count)) if two_levels else 1
    replayed = replay(setting, y, laid.steps, places.placed, places.inside, stride if keep else None)
    ends = [replayed.y] if places.ends else []
    begun, each = replayed.evaluations.tolist()
    return Solved(
        ys=torch.stack([y, *replayed.outputs, *ends]),
        stretches=[Stretch(count=count, grid=laid.steps, states=replayed.states, stride=stride)],
        grid=laid.grid,
        stats=Stats(evaluations_forward=begun + each * count, accepted=count),
    )


class Laid(NamedTuple):
    """A grid as a program takes it.

    Attributes:
        grid: the grid.
        steps: its starts and lengths, `(steps, 2)` or `(steps, 2, batch)`.
        places: where the output times lie in it.
    """

    grid: Grid
    steps: Tensor
    places: Places


def lay(setting: Setting, ts: list[float], request: StepSize | Grid) -> Laid:
    """The grid that is asked for; equal steps over the same times are laid once."""
    interpolates, name = setting.solver.interpolates, setting.solver.name
    if isinstance(request, StepSize):
        return _uniform(interpolates, name, tuple(ts), request, setting.device, compiles())
    return _laid(interpolates, name, ts, request, setting.device)


@functools.lru_cache(maxsize=128)
@torch.inference_mode(False)
def _uniform(
    interpolates: bool, name: str, ts: tuple[float, ...], request: StepSize, device: torch.device, compiles: bool
) -> Laid:
    # Laid again when the compiler has been loaded: what was laid before it was there does not tell it which sizes vary.
    return _laid(interpolates, name, ts, uniform_grid(request, ts[0], ts[-1]), device)


def _laid(interpolates: bool, name: str, ts: Sequence[float], grid: Grid, device: torch.device) -> Laid:
    steps = free(sent(torch.stack((grid.t, grid.dt), dim=1), device), 0, *((2,) if grid.per_sample else ()))
    return Laid(grid, steps, place(interpolates, name, ts, grid, device))


def replay(
    setting: Setting, y: Tensor, steps: Tensor, placed: Placed | None, inside: bool, stride: int | None
) -> Replayed:
    """Take `steps` from the packed state y, keeping the state at the start of every `stride`-th one; None keeps none."""
    count, solver = steps.shape[0], setting.solver
    keep = stride is not None
    kept = -(-count // stride) if keep else 1
    rows = free(_rows(count, stride or 1, y.device), 0)
    program = setting.program(
        ("replay", placed is not None, inside, keep),
        lambda: Replay(
            solver=solver,
            graph=setting.graph,
            shape=setting.shape,
            lanes=setting.lanes,
            emission=Emission(solver, inside),
            outputs=placed is not None,
            keep=keep,
        ),
    )
    return Replayed(
        *program(setting.free(y), steps, rows, free(y.new_empty(kept), 0), placed or (), setting.plain_tensors)
    )


def _settings(tolerance: Tolerance, order: int, ts: Sequence[float], y: Tensor) -> Tensor:
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


def _diverged(
    setting: Setting, tolerance: Tolerance, ts: list[float], stretches: list[Stretch], end: State, status: int
) -> DivergedError:
    grid = _grid(stretches, ts[-1])
    if status == TOO_SMALL:
        smallest = float(end.dt.abs().min())
        why = f"the step size fell below its minimum ({smallest:.3g}), or the field is not finite"
    else:
        why = f"{tolerance.max_steps} steps were not enough"
    return diverged(why, setting.solver, float(end.t.min()), ts, grid.t.tolist(), grid.dt.tolist())


def _grid(stretches: Sequence[Stretch], end: float) -> Grid:
    steps = torch.cat([stretch.grid for stretch in stretches]).cpu()
    return Grid(t=steps[:, 0].clone(), dt=steps[:, 1].clone(), end=end)
