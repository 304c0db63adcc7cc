"""Which output time lies in which step."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from fractions import Fraction

from torch import Tensor

from odebench.errors import GridError

# A time counts as the end of a step within this share of the step's length: sums of step lengths round.
CLOSE = 1e-9


def checked_times(ts: Sequence[float] | Tensor) -> list[float]:
    """Output times as Python floats.

    Raises:
        GridError: no numbers, fewer than two, not finite, not strictly monotone, or a tensor that requires a gradient.
    """
    if isinstance(ts, Tensor):
        if ts.requires_grad:
            raise GridError(
                "The output times require a gradient, which odebench does not compute. Detach them, or scale time inside "
                "the field: y' = T f(T s, y) on s in [0, 1] gives the gradient of T as that of a parameter."
            )
        if ts.dim() != 1:
            raise GridError(f"ts is a tensor of shape {tuple(ts.shape)}; it must have one dimension.")
        ts = ts.tolist()
    try:
        times = [float(t) for t in ts]
    except (TypeError, ValueError) as cause:
        raise GridError(f"ts is {ts!r}; it must be a sequence of numbers, or a tensor.") from cause
    if len(times) < 2:
        raise GridError(f"ts has {len(times)} time(s); give at least a start and an end.")
    if not all(map(math.isfinite, times)):
        raise GridError(f"ts holds a time that is not finite: {times}.")
    rising = times[1] > times[0]
    for before, after in itertools.pairwise(times):
        if after == before or (after > before) != rising:
            raise GridError(f"ts must rise or fall strictly; it goes from {before!r} to {after!r}.")
    return times


def outputs_by_step(
    ts: Sequence[float], starts: Sequence[float], lengths: Sequence[float], end: float
) -> dict[int, list[tuple[int, float]]]:
    """For each step that meets output times: their indices in `ts`, and where in the step they lie (1.0: at its end).

    The initial time is left out.

    Raises:
        GridError: the grid has no steps, starts elsewhere, turns or stands still, or a time lies beyond its end.
    """
    placed: dict[int, list[tuple[int, float]]] = {}
    if not starts:
        raise GridError("The grid has no steps. Give at least one.")
    direction = 1.0 if ts[-1] > ts[0] else -1.0
    if abs(ts[0] - starts[0]) > CLOSE * abs(lengths[0]):
        raise GridError(f"The output times start at {ts[0]!r}, the grid at {starts[0]!r}. Start both at the same time.")
    for n, length in enumerate(lengths):
        if not direction * length > 0.0:
            raise GridError(
                f"The output times go from {ts[0]!r} to {ts[-1]!r}, but step {n} of the grid has dt = {length!r}. "
                "Use a grid all of whose steps go the same way."
            )
    step = 0
    for index, time in enumerate(ts):
        if index == 0:
            continue
        while step < len(starts) - 1 and direction * (time - starts[step + 1]) > CLOSE * abs(lengths[step]):
            step += 1
        share = share_of_step(time, starts[step], lengths[step])
        if share > 1.0:
            raise GridError(f"The output time {time!r} lies beyond the end of the grid, {end!r}.")
        placed.setdefault(step, []).append((index, share))
    return placed


def share_of_step(time: float, start: float, length: float) -> float:
    """Where `time` lies in a step: 0 at its start, and exactly 1.0 within `CLOSE` of its end."""
    share = (time - start) / length
    return 1.0 if abs(share - 1.0) <= CLOSE else share


def nearest_fitting_count(ts: Sequence[float], steps: int) -> int | None:
    """The number of uniform steps nearest to `steps` whose grid meets all of `ts`; None where none up to 10⁶ does."""
    span = ts[-1] - ts[0]
    least = 1
    for time in ts[1:-1]:
        share = Fraction((time - ts[0]) / span).limit_denominator(10_000)
        if abs(float(share) * span - (time - ts[0])) > 1e-9 * abs(span):
            return None
        least = math.lcm(least, share.denominator)
    if least > 10**6:
        return None
    return max(1, round(steps / least)) * least
