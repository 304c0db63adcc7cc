"""The grids of torchdiffeq's `odeint` with fixed steps."""

from __future__ import annotations

import torch
from torch import Tensor

from odebench.contract import Grid
from odebench.errors import GridError


def points_by_step_size(t: Tensor, step_size: float) -> Tensor:
    """Grid points every `step_size` from t[0], the last one moved to t[-1].

    They are computed in the dtype of `t`, whose rounding decides whether a sliver of a step is left at the end: one that
    is, is taken, as torchdiffeq takes it.

    Raises:
        GridError: the step size is not positive.
    """
    if not step_size > 0.0:
        raise GridError(
            f"odeint: options['step_size'] is {step_size!r}; it must be positive, also for times that fall."
        )
    sign = 1.0 if t[-1] > t[0] else -1.0
    first, last = sign * t[0], sign * t[-1]
    count = int(torch.ceil((last - first) / step_size + 1.0))
    points = first + step_size * torch.arange(count, dtype=t.dtype, device=t.device)
    points[-1] = last
    return sign * points


def grid_through(points: Tensor, ts: list[float]) -> Grid:
    """The grid whose steps end at these points. A step of no length is left out: it would change nothing.

    Raises:
        GridError: the points are not a row of times from ts[0] to ts[-1], in this direction.
    """
    if not isinstance(points, Tensor) or points.dim() != 1 or len(points) < 2:
        raise GridError(
            f"odeint: options['grid_constructor'] must return a 1-d tensor of times; it returned {points!r}."
        )
    points = points.detach()
    ends = points[0].item(), points[-1].item()
    if ends != (ts[0], ts[-1]):
        raise GridError(f"odeint: the grid goes from {ends[0]!r} to {ends[1]!r}, but t from {ts[0]!r} to {ts[-1]!r}.")
    # Differences in the points' own dtype, as torchdiffeq takes them.
    lengths = points[1:] - points[:-1]
    if not bool(((lengths if ends[1] > ends[0] else -lengths) >= 0).all()):
        raise GridError(f"odeint: the grid must go from {ends[0]!r} to {ends[1]!r} without turning back.")
    moving = lengths != 0
    return Grid(t=points[:-1][moving].double().cpu(), dt=lengths[moving].double().cpu(), end=ends[1])
