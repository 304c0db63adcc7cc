"""The loop of torchdiffeq's `odeint` with error control: its first step, its controller, its stops."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from odebench.contract import Grid, Tolerance
from odebench.numerics.march import March, Visit, diverged
from odebench.numerics.timed_field import TimedField


def march_as_odeint(
    solver: Any, field: TimedField, y: Tensor, ts: Sequence[float], tolerance: Tolerance, visit: Visit | None = None
) -> March:
    """Solve from ts[0] to ts[-1]; the last step passes the end, where the solution is interpolated.

    Those fields of `tolerance` that describe another controller have no effect. Its `max_steps` counts, as in
    torchdiffeq, the attempts between one output time and the next.

    Args:
        solver: an `OdeintAdaptive`.

    Source: torchdiffeq 0.2.5, `RKAdaptiveStepsizeODESolver`.

    Raises:
        DivergedError: no step is small enough, or too many were needed.
    """
    rules, order = solver.rules, solver.order
    t, direction = ts[0], 1.0 if ts[-1] > ts[0] else -1.0
    stops = sorted((s for s in {*rules.step_t, *rules.jump_t} if direction * (s - t) > 0), key=lambda s: direction * s)
    stops.append(direction * math.inf)
    ys: list[Tensor] = [y] + [y] * (len(ts) - 1)
    starts, lengths, rejected, attempts, stop, pending = [], [], 0, 0, 0, 1

    carry = field(t, y)
    size = tolerance.first_step
    if size is None:
        size = _first_size(solver, field, t, y, carry, direction, tolerance)
    while pending < len(ts):
        if attempts >= tolerance.max_steps:
            why = f"{attempts} steps were not enough to reach the output time {ts[pending]!r}"
            raise diverged(why, solver, t, ts, starts, lengths)
        attempts += 1
        size = min(max(size if math.isfinite(size) else rules.min_step, rules.min_step), rules.max_step)
        end = t + direction * size
        if end == t:
            raise diverged(f"the step size {size:.3g} does not move the time", solver, t, ts, starts, lengths)
        if direction * (stops[stop] - end) < 0.0:
            end = stops[stop]
            size = abs(end - t)
        dt = direction * size
        step = solver.step(field, t, dt, y, carry, error=True, dense=direction * (end - ts[pending]) > 0.0)
        error = solver.scaled_norm(step.error, tolerance, y, step.y1)
        if error <= 1.0 or size <= rules.min_step:
            if not math.isfinite(error) and not torch.isfinite(step.y1).all():
                raise diverged("the state is not finite", solver, t, ts, starts, lengths)
            if visit is not None:
                visit(t, dt, y, carry)
            starts.append(t)
            lengths.append(dt)
            while pending < len(ts) and direction * (end - ts[pending]) >= 0.0:
                ys[pending] = step.y1 if ts[pending] == end else solver.interpolate(step.dense, (ts[pending] - t) / dt)
                pending += 1
                attempts = 0
            carry = solver.carry_past(field, t, dt, step.y1, step.carry)
            t, y = end, step.y1
            stop += end == stops[stop]
        else:
            rejected += 1
        size *= _factor(error, order, tolerance)
    as_tensor = lambda values: torch.tensor(values, dtype=torch.float64)  # noqa: E731
    return March(ys, Grid(t=as_tensor(starts), dt=as_tensor(lengths), end=t), rejected)


def _factor(error: float, order: int, tolerance: Tolerance) -> float:
    """How much longer the next attempt is, after an accepted or a rejected one; nan for an error of nan."""
    if error == 0.0:
        return tolerance.max_factor
    if math.isnan(error):
        return math.nan
    least = 1.0 if error < 1.0 else tolerance.min_factor
    return min(tolerance.max_factor, max(tolerance.safety * error ** (-1.0 / order), least))


def _first_size(
    solver: Any, field: TimedField, t: float, y: Tensor, slope: Tensor, direction: float, tolerance: Tolerance
) -> float:
    """The length of the first step; it may pass the end. Costs one evaluation.

    Source: E. Hairer, S. P. Nørsett, G. Wanner, "Solving ODEs I", 2nd ed., section II.4, "Starting Step Size", with the
    exponent 1/p for a method of order p, not 1/(p + 1).
    """
    d0, d1 = solver.scaled_norm(y, tolerance, y), solver.scaled_norm(slope, tolerance, y)
    tiny = 1e-6 if d0 < 1e-5 or d1 < 1e-5 else 0.01 * d0 / d1
    if not (math.isfinite(tiny) and tiny > 0.0):
        return math.nan
    ahead = field(t + direction * tiny, torch.add(y, slope, alpha=direction * tiny))
    d2 = solver.scaled_norm(ahead - slope, tolerance, y) / tiny
    if d1 <= 1e-15 and d2 <= 1e-15:
        return min(100.0 * tiny, max(1e-6, tiny * 1e-3))
    return min(100.0 * tiny, (0.01 / max(d1, d2)) ** (1.0 / solver.order))
