"""Uniform grids."""

from __future__ import annotations

import math

import torch

from odebench.contract import Grid, StepSize


def uniform_grid(request: StepSize, start: float, end: float) -> Grid:
    """Equal steps from `start` to `end`; with a `step_size` that does not divide the span the last one is shorter.

    Each start is rounded once, however many came before. Each dt is the difference to the next start, so that t + dt is, bit
    for bit, where the next step starts, and what was computed at the end of a step serves there; equal steps may differ in the
    last place of the times.
    """
    span = end - start
    if request.steps is not None:
        count, length = request.steps, span / request.steps
    else:
        # The slack forgives the rounding of span / step_size: 1 / 0.1 is ten steps, not ten and a sliver.
        count = max(1, math.ceil(abs(span) / request.step_size * (1.0 - 1e-12) - 1e-9))
        length = math.copysign(request.step_size, span)
    starts, lengths = [start], []
    for n in range(1, count):
        dt = (start + n * length) - starts[-1]
        lengths.append(dt)
        starts.append(starts[-1] + dt)
    lengths.append(end - starts[-1])
    return Grid(t=torch.tensor(starts, dtype=torch.float64), dt=torch.tensor(lengths, dtype=torch.float64), end=end)
