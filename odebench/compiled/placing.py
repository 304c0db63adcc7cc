"""Where the output times of a solve lie in its steps, as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from odebench.compiled.program import free
from odebench.compiled.replay import Placed
from odebench.contract import Grid
from odebench.numerics.march import check_outputs, place_outputs
from odebench.numerics.march_rows import place_row_outputs
from odebench.numerics.outputs import CLOSE
from odebench.numerics.sending import sent


@dataclass(frozen=True, kw_only=True)
class Places:
    """The output times but the first, in the steps of a grid.

    Attributes:
        placed: those that are not the end of the grid; None where there are none.
        indices: which output times these are.
        inside: whether one lies inside a step.
        ends: whether the last output time is the end of the grid.
    """

    placed: Placed | None
    indices: tuple[int, ...]
    inside: bool
    ends: bool

    def of_steps(self, first: int, count: int) -> Placed | None:
        """The same for some of the steps."""
        if self.placed is None:
            return None
        return self.placed._replace(slots=free(self.placed.slots[first : first + count], 0))


def place(interpolates: bool, name: str, ts: Sequence[float], grid: Grid, device: torch.device) -> Places:
    """Place `ts` in the steps of `grid`.

    Args:
        interpolates: whether the solver has an interpolant of its order.
        name: the solver's.

    Raises:
        GridError: the grid does not fit the times, or a time lies inside a step and the solver has no interpolant of its order.
    """
    if grid.per_sample:
        slots, slot, share, dt = _by_row(ts, grid)
    else:
        outputs = place_outputs(ts, grid)
        check_outputs(interpolates, name, ts, outputs, grid.steps)
        slots, slot, share, dt = _jointly(ts, grid, outputs)
    at_end = abs(ts[-1] - grid.end) <= CLOSE * abs(ts[-1] - ts[0]) and bool((share[-1] == 1.0).all())
    count = len(ts) - 1 - at_end
    if count == 0:
        return Places(placed=None, indices=(), inside=False, ends=at_end)
    share = share[:count]
    rows = slots.max()  # what has no output time is stored in the row after the last
    tensors = [sent(tensor, device) for tensor in (slots, slot[:count], share, dt[:count], torch.empty(int(rows)))]
    placed = Placed(*(free(tensor.contiguous(), *range(tensor.dim())) for tensor in tensors))
    return Places(placed=placed, indices=tuple(range(1, count + 1)), inside=bool((share != 1.0).any()), ends=at_end)


def _jointly(ts: Sequence[float], grid: Grid, outputs: dict[int, list[tuple[int, float]]]) -> tuple[Tensor, ...]:
    slots = torch.full((grid.steps,), len(outputs), dtype=torch.int64)
    slot = torch.zeros(len(ts) - 1, dtype=torch.int64)
    share, dt = torch.ones(len(ts) - 1, dtype=torch.float64), torch.ones(len(ts) - 1, dtype=torch.float64)
    for number, (step, here) in enumerate(outputs.items()):
        slots[step] = number
        for index, theta in here:
            slot[index - 1], share[index - 1], dt[index - 1] = number, theta, grid.dt[step]
    return slots, slot, share, dt


def _by_row(ts: Sequence[float], grid: Grid) -> tuple[Tensor, ...]:
    batch = grid.t.shape[1]
    outputs = place_row_outputs(ts, grid)
    slots = torch.full((grid.steps,), len(outputs), dtype=torch.int64)
    slot = torch.zeros(len(ts) - 1, batch, dtype=torch.int64)
    share, dt = torch.ones(len(ts) - 1, batch, dtype=torch.float64), torch.ones(len(ts) - 1, batch, dtype=torch.float64)
    for number, (step, here) in enumerate(outputs.items()):
        slots[step] = number
        for index, theta, hit in here:
            slot[index - 1, hit] = number
            share[index - 1, hit] = theta[hit]
            dt[index - 1, hit] = grid.dt[step, hit]
    return slots, slot, share, dt
