"""Times at the edges of a step, for fields that jump there."""

from __future__ import annotations

import math

import torch


def just_inside(time: float, toward: float, dtype: torch.dtype) -> float:
    """The number of `dtype` that follows `time` in the direction of `toward`.

    A field that jumps at a step's end is to be asked on the step's own side of the jump, in the dtype in which it is
    given its time.
    """
    limit = math.copysign(math.inf, toward - time)
    if dtype == torch.float64:
        return math.nextafter(time, limit)
    return torch.nextafter(torch.tensor(time, dtype=dtype), torch.tensor(limit, dtype=dtype)).item()
