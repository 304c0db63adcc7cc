"""Grids in the terms that torchdiffeq has for them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

import odebench
from odebench.contract import GridRequest, State
from odebench.errors import IncompatibleError
from odebench.numerics.uniform import uniform_grid

# What every adaptive method of torchdiffeq lets the caller choose. The fields of a Tolerance that are not here
# describe a controller that torchdiffeq does not have.
HONOURED = {
    "rtol", "atol", "batch", "first_step", "min_step", "max_steps", "safety", "min_factor", "max_factor", "norm_elements",
}  # fmt: skip


def given_grid(request: odebench.StepSize | odebench.Grid, ts: Sequence[float], name: str) -> odebench.Grid:
    """The steps that are asked for.

    Raises:
        IncompatibleError: each row has steps of its own.
    """
    grid = uniform_grid(request, ts[0], ts[-1]) if isinstance(request, odebench.StepSize) else request
    if grid.per_sample:
        raise IncompatibleError(
            f"Solver {name!r} takes the same steps for the whole batch; this grid has steps by row."
        )
    return grid


def points_of(grid: odebench.Grid) -> Tensor:
    """The times at which steps begin, and the end of the last one, float64."""
    return torch.cat([grid.t, torch.tensor([grid.end], dtype=torch.float64)])


def refuse_what_is_not_honoured(tolerance: odebench.Tolerance, name: str, honoured: set[str] = HONOURED) -> None:
    """Refuse a wish that would be passed over in silence; what stands at its default is none.

    Raises:
        IncompatibleError: naming the field.
    """
    if tolerance.batch != "joint":
        raise IncompatibleError(f"Solver {name!r} has one step size for the whole batch; batch must be 'joint'.")
    for field in dataclasses.fields(tolerance):
        if field.name not in honoured and getattr(tolerance, field.name) != field.default:
            raise IncompatibleError(
                f"Solver {name!r} cannot honour {field.name}={getattr(tolerance, field.name)!r}: torchdiffeq controls steps "
                "in its own way. Leave it out."
            )


class GridPoints:
    """Serves as `grid_constructor`: the points of a grid between the first and the last time that are asked for.

    torchdiffeq's adjoint asks for one interval between output times after the other, backward.

    Args:
        points: grid points, in any order.
    """

    def __init__(self, points: Tensor) -> None:
        self._points = points.sort().values

    def __call__(self, func: object, y0: State, t: Tensor) -> Tensor:
        points = self._points.to(t)
        low, high = torch.minimum(t[0], t[-1]), torch.maximum(t[0], t[-1])
        slack = 1e-9 * (points[-1] - points[0]) / len(points)
        inside = points[(points > low + slack) & (points < high - slack)]
        return torch.cat([t[:1], inside if t[-1] > t[0] else inside.flip(0), t[-1:]])


def takes_tolerance(request: GridRequest) -> bool:
    """Whether steps are to be chosen."""
    return isinstance(request, odebench.Tolerance)
