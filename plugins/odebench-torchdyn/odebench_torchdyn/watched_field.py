"""torchdyn's attempts, read from the times at which it calls the field."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import odebench
from odebench.errors import DivergedError
from odebench.numerics.lent_field import LentField

# Evaluations before the first attempt of a call, and of an attempt.
BEFORE, STAGES = 2, 6
# So often, in attempts, is the length looked at: that is a synchronisation with a device.
LOOKED_AT_EVERY = 32


class WatchedField(LentField):
    """The field, which remembers at which times it was called in the forward solve.

    Args:
        most: more attempts than this in a call end the solve; None where steps are given.
    """

    def __init__(self, *positional: Any, most: int | None = None, **named: Any) -> None:
        super().__init__(*positional, **named)
        self._most = most
        self._calls: list[list[Tensor]] = []

    def begin_call(self) -> None:
        """torchdyn is called once more."""
        self._calls.append([])

    def evaluate(self, t: Tensor, y: Tensor) -> Tensor:
        """As `LentField.evaluate`.

        Raises:
            DivergedError: there were too many attempts, or time stands still, where torchdyn would go on for ever.
        """
        if self._most is not None and not self.forward_is_over:
            times = self._calls[-1]
            attempts, stage = divmod(len(times) - BEFORE, STAGES)
            if attempts >= self._most:
                raise DivergedError(f"torchdyn: {self._most} steps were not enough.")
            if stage == 0 and attempts and attempts % LOOKED_AT_EVERY == 0:
                first, last = times[-STAGES].item(), times[-1].item()
                if not first < last and not last < first:
                    raise DivergedError(f"torchdyn: the step size fell to nothing at t = {last:.6g}.")
            times.append(t.detach())
        return super().evaluate(t, y)

    def told_steps(self, starts_of_calls: list[float], end: float, first_node: float) -> odebench.Grid:
        """The accepted steps. The forward solve is over.

        An attempt from t to t + dt calls the field at t + `first_node`·dt first and at t + dt last, so that its start follows;
        it was accepted where the next attempt starts at its end.
        """
        points: list[float] = []
        for start, times in zip(starts_of_calls, self._calls, strict=True):
            told = torch.stack(times[BEFORE:]).double().cpu().reshape(-1, STAGES)
            firsts, lasts = told[:, 0], told[:, -1]
            starts = (firsts - first_node * lasts) / (1.0 - first_node)
            taken = (starts[1:] - lasts[:-1]).abs() < (starts[1:] - starts[:-1]).abs()
            self.stats.accepted += int(taken.sum()) + 1
            self.stats.rejected += int((~taken).sum())
            points += [start, *lasts[:-1][taken].tolist()]
        self._calls.clear()
        starts = torch.tensor(points, dtype=torch.float64)
        following = torch.cat([starts[1:], torch.tensor([end], dtype=torch.float64)])
        return odebench.Grid(t=starts, dt=following - starts, end=end)
