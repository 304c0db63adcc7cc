"""The loops for steps of its own for each row of the batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from odebench.contract import Field, Grid, State, Tolerance
from odebench.errors import DivergedError, GridError, IncompatibleError
from odebench.numerics.march import March, Visit
from odebench.numerics.outputs import CLOSE
from odebench.numerics.timed_field import TimedField, time_dtype


def refuse_rows(solver: Any, field: Field, y0: State, start: float) -> None:
    """Raise where rows cannot have steps of their own.

    A field must say `accepts_batched_time = True`, or be seen to ignore the time: it gives the same at a time that is not a
    number, which any arithmetic with the time would show. That costs two evaluations.

    Raises:
        IncompatibleError: naming what stands in the way.
    """
    if not solver.accepts_rows:
        raise IncompatibleError(f"Solver {solver.name!r} cannot give each row its own steps. Use batch='joint'.")
    if getattr(field, "accepts_batched_time", False):
        return
    first = y0[0] if isinstance(y0, tuple) else y0
    with torch.no_grad():
        values = [
            field(torch.full((), t, dtype=time_dtype(first.dtype), device=first.device), y0)
            for t in (start, float("nan"))
        ]
    leaves = [value if isinstance(value, tuple) else (value,) for value in values]
    if not all(torch.equal(one, other) for one, other in zip(*leaves, strict=True)):
        raise IncompatibleError(
            "The field depends on the time and does not say that it takes one time for each row. With per-sample steps t has "
            "shape (batch, 1, …, 1): write the field so, and set `accepts_batched_time = True` on it; or use batch='joint'."
        )


class _Rows:
    """Values by row in float64, and the same shaped to broadcast against the state, in its dtype."""

    def __init__(self, y: Tensor) -> None:
        self.count = y.shape[0]
        self._shape = (self.count, *(1,) * (y.dim() - 1))
        self._dtype, self.device = time_dtype(y.dtype), y.device

    def wide(self, values: Tensor) -> Tensor:
        """One value for each row, as the field and the stage sums take it."""
        return values.to(device=self.device, dtype=self._dtype).reshape(self._shape)

    def choose(self, rows: Tensor, yes: Tensor, no: Tensor) -> Tensor:
        """`yes` in the rows that are true, `no` in the others."""
        return torch.where(rows.to(self.device).reshape(self._shape), yes, no)

    def norm(self, value: Tensor, tolerance: Tolerance, y0: Tensor, y1: Tensor) -> Tensor:
        """Root mean square in each row of value / (atol + rtol·max(|y0|, |y1|)); float64 on CPU."""
        size = torch.maximum(y0.abs(), y1.abs())
        # As in `ErrorNorm`: an element that is and stays 0 has no error, rather than 0/0.
        scale = size.mul_(tolerance.rtol).add_(tolerance.atol or torch.finfo(size.dtype).tiny)
        ratio = (value / scale).reshape(self.count, -1)
        if ratio.shape[1] == 0:
            return torch.zeros(self.count, dtype=torch.float64)
        length = torch.linalg.vector_norm(ratio.float() if ratio.dtype.itemsize == 2 else ratio, dim=1)
        return length.to(device="cpu", dtype=torch.float64) / ratio.shape[1] ** 0.5


def march_rows_adaptively(
    solver: Any, field: TimedField, y: Tensor, ts: Sequence[float], tolerance: Tolerance, visit: Visit | None = None
) -> March:
    """Every row follows its own error estimate; rows that have arrived wait, with steps of length 0.

    Where a graph is wanted, the steps are found first and then repeated: a rejected step may not be finite, and must not
    leave a trace in the graph.
    """
    if torch.is_grad_enabled() or visit is not None:
        with torch.no_grad():
            found = march_rows_adaptively(solver, field, y, ts, tolerance)
        return march_rows_on_grid(solver, field, y, ts, found.grid, visit)._replace(rejected=found.rejected)
    if y.shape[0] == 0:
        empty = torch.zeros(0, 0, dtype=torch.float64)
        return March([y for _ in ts], Grid(t=empty, dt=empty, end=ts[-1]), 0)
    rows = _Rows(y)
    k, direction = solver.error_order, 1.0 if ts[-1] > ts[0] else -1.0
    times = torch.tensor(ts, dtype=torch.float64)
    t = times[0].repeat(rows.count)
    smallest = tolerance.min_step or 16 * 2.2e-16 * max(abs(ts[0]), abs(ts[-1]))
    slope = field(rows.wide(t), y)
    dt = _first_steps(rows, field, t, y, slope, ts[-1] - ts[0], tolerance, k)
    dt = direction * dt.abs().clamp_min(smallest)
    carry = slope if solver.carry_is == "cache" else None
    ys = [y.clone() for _ in ts]
    pending = torch.ones(rows.count, dtype=torch.long)
    previous = torch.full_like(t, 1e-4)
    resting = torch.zeros(rows.count, dtype=torch.bool)
    starts, lengths, rejected = [], [], 0
    for _ in range(tolerance.max_steps):
        active = pending < len(ts)
        if not active.any():
            break
        goal = times[-1] if solver.interpolates else times[pending.clamp(max=len(ts) - 1)]
        last = direction * (t + dt * (1.0 + CLOSE) - goal) >= 0.0
        length = torch.where(active, torch.where(last, goal - t, dt), 0.0)
        ahead = torch.where(last & active, goal.expand_as(t), t + length)
        inside = solver.interpolates and bool(
            (active & (direction * (ahead - times[pending.clamp(max=len(ts) - 1)]) > CLOSE * length.abs())).any()
        )
        step = solver.step(field, rows.wide(t), rows.wide(length), y, carry, error=True, dense=inside)
        error = rows.norm(step.error, tolerance, y, step.y1)
        accepted = active & (error <= 1.0)
        refused = active & ~accepted
        rejected += int(refused.sum())
        starts.append(t)
        lengths.append(torch.where(accepted, length, 0.0))
        for index in range(int(pending[active].min()), len(ts)):
            beyond = direction * (ahead - times[index]) >= -CLOSE * length.abs()
            if not beyond.any():
                break
            hit = accepted & beyond & (pending <= index)
            if not hit.any():
                continue
            share = _shares(times[index], t, length)
            ys[index] = rows.choose(hit, row_output(solver, step, share, rows), ys[index])
            pending = torch.where(hit, index + 1, pending)
        grown = tolerance.safety * error.clamp_min(1e-30) ** (-tolerance.integral / k)
        grown = grown * previous ** (tolerance.proportional / k)
        grown = grown.clamp(tolerance.min_factor, tolerance.max_factor)
        grown = torch.where(resting, grown.clamp(max=1.0), grown)
        shrunk = (tolerance.safety * error ** (-1.0 / k)).nan_to_num(nan=0.0).clamp(tolerance.min_factor, 1.0)
        previous = torch.where(accepted, error.clamp_min(1e-4), previous)
        resting = torch.where(active, refused, resting)
        y = rows.choose(accepted, step.y1, y)
        carry = None if step.carry is None or carry is None else rows.choose(accepted, step.carry, carry)
        # A step cut short to meet a time says nothing against the length that was planned.
        planned = torch.where(
            last & (grown >= 1.0), direction * torch.maximum(dt.abs(), (length * grown).abs()), length * grown
        )
        dt = torch.where(accepted, planned, torch.where(refused, length * shrunk, dt))
        t = torch.where(accepted, ahead, t)
        if (refused & (dt.abs() < smallest)).any():
            row = int((refused & (dt.abs() < smallest)).nonzero()[0])
            raise _diverged("the step size fell below its minimum, or the field is not finite", solver, row, t, ts)
    else:
        row = int((pending < len(ts)).nonzero()[0])
        raise _diverged(f"{tolerance.max_steps} steps were not enough", solver, row, t, ts)
    kept = [i for i, length in enumerate(lengths) if bool((length != 0.0).any())]
    grid = Grid(t=torch.stack([starts[i] for i in kept]), dt=torch.stack([lengths[i] for i in kept]), end=ts[-1])
    return March(ys, grid, rejected)


def march_rows_on_grid(
    solver: Any, field: TimedField, y: Tensor, ts: Sequence[float], grid: Grid, visit: Visit | None = None
) -> March:
    """Take the steps of a grid that has one column for each row of the batch."""
    if grid.t.shape[1] != y.shape[0]:
        raise GridError(
            f"The grid has steps for {grid.t.shape[1]} rows, the state has {y.shape[0]}. Use the grid of a solve of this batch."
        )
    ys = [y for _ in ts]
    if y.shape[0] == 0:
        return March(ys, grid, 0)
    rows, placed = _Rows(y), place_row_outputs(ts, grid)
    for n in range(grid.steps):
        t, dt = rows.wide(grid.t[n]), rows.wide(grid.dt[n])
        here = placed.get(n, ())
        step = solver.step(field, t, dt, y, None, dense=any(lies_inside(*place[1:]) for place in here))
        if visit is not None:
            visit(t, dt, y, None)
        for index, share, hit in here:
            ys[index] = rows.choose(hit, row_output(solver, step, share, rows), ys[index])
        y = step.y1
    return March(ys, grid, 0)


def row_times(grid: Grid, n: int, y: Tensor) -> tuple[Tensor, Tensor]:
    """Start and length of step n in each row, shaped to broadcast against the state."""
    rows = _Rows(y)
    return rows.wide(grid.t[n]), rows.wide(grid.dt[n])


def place_row_outputs(ts: Sequence[float], grid: Grid) -> dict[int, list[tuple[int, Tensor, Tensor]]]:
    """For each step: the outputs that some rows meet in it, with each row's share of the step and which rows they are."""
    direction = 1.0 if ts[-1] > ts[0] else -1.0
    placed: dict[int, list[tuple[int, Tensor, Tensor]]] = {}
    moves = grid.dt != 0.0
    for index, time in enumerate(ts):
        if index == 0:
            continue
        reached = moves & (direction * (grid.t + grid.dt - time) >= -CLOSE * grid.dt.abs())
        # A sum of float64 lengths may end a rounding before the end of the span: then the last step reaches it.
        final = grid.steps - 1 - moves.flip(0).long().argmax(0)
        first = torch.where(reached.any(0), reached.long().argmax(0), final)
        for n in first.unique().tolist():
            hit = first == n
            placed.setdefault(n, []).append(
                (index, _shares(torch.tensor(time, dtype=torch.float64), grid.t[n], grid.dt[n]), hit)
            )
    return placed


def row_output(solver: Any, step: Any, share: Tensor, rows: _Rows | None = None) -> Tensor:
    """The state at each row's share of the step."""
    rows = rows or _Rows(step.y1)
    if step.dense is None:
        return step.y1
    return rows.choose(share == 1.0, step.y1, solver.interpolate(step.dense, rows.wide(share)))


def lies_inside(share: float | Tensor, rows: Tensor | None = None) -> bool:
    """Whether an output lies inside the step (for one of these rows), and not at its end."""
    return bool((share[rows] != 1.0).any()) if isinstance(share, Tensor) else share != 1.0


def in_rows(rows: Tensor, state: Tensor) -> Tensor:
    """`state` in these rows, zero in the others."""
    return _Rows(state).choose(rows, state, torch.zeros_like(state))


def _shares(time: Tensor, t: Tensor, length: Tensor) -> Tensor:
    share = (time - t) / torch.where(length == 0.0, 1.0, length)
    return torch.where((share - 1.0).abs() <= CLOSE, 1.0, share)


def _first_steps(
    rows: _Rows, field: TimedField, t: Tensor, y: Tensor, slope: Tensor, span: float, tolerance: Tolerance, k: int
) -> Tensor:
    """`step_control.first_step`, for each row."""
    sign = 1.0 if span > 0 else -1.0
    if tolerance.first_step is not None:
        return torch.full_like(t, sign * min(tolerance.first_step, abs(span)))
    d0, d1 = rows.norm(y, tolerance, y, y), rows.norm(slope, tolerance, y, y)
    h0 = torch.where((d0 >= 1e-5) & (d1 >= 1e-5), 0.01 * d0 / d1, 1e-6).clamp(max=abs(span))
    ahead = field(rows.wide(t + sign * h0), y + rows.wide(sign * h0) * slope)
    d2 = rows.norm(ahead - slope, tolerance, y, y) / h0
    steepest = torch.maximum(d1, d2)
    h1 = torch.where(steepest <= 1e-15, (h0 * 1e-3).clamp_min(1e-6), (0.01 / steepest) ** (1.0 / k))
    step = torch.minimum(torch.minimum(100.0 * h0, h1), torch.full_like(h0, abs(span)))
    return sign * torch.where(step.isfinite() & (step > 0.0), step, h0)


def _diverged(why: str, solver: Any, row: int, t: Tensor, ts: Sequence[float]) -> DivergedError:
    return DivergedError(
        f"Solver {solver.name!r} stopped in row {row} at t = {float(t[row])!r} on the way from {ts[0]!r} to {ts[-1]!r}: {why}. "
        "Try an implicit solver, a looser tolerance or float64."
    )
