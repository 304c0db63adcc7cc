"""zuko's attempts, read from the times at which it calls the field: it tells nothing of them itself."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import odebench
from odebench.errors import DivergedError
from odebench.numerics.lent_field import LentField

# Evaluations of an attempt: six stages, and one at its end for the error estimate.
STAGES = 7
# So often, in attempts, is the length looked at: that is a synchronisation with a device.
LOOKED_AT_EVERY = 32


class WatchedField(LentField):
    """The field, which remembers at which times it was called in the forward solve.

    Args:
        most: more attempts than this end the solve.
        given: whether steps are given: each is one attempt, and nothing is remembered.
    """

    def __init__(self, *positional: Any, most: int, given: bool = False, **named: Any) -> None:
        super().__init__(*positional, **named)
        self._most, self._given = most, given
        self._times: list[Tensor] = []

    def evaluate(self, t: Tensor, y: Tensor) -> Tensor:
        """As `LentField.evaluate`.

        Raises:
            DivergedError: there were too many attempts, or time stands still, where zuko would go on for ever.
        """
        if not self.forward_is_over:
            count = self.stats.evaluations_forward
            if count >= STAGES * self._most:
                why = "the state is not finite" if self._given else f"{self._most} steps were not enough"
                raise DivergedError(f"zuko: {why}.")
            if not self._given:
                self._times.append(t.detach())
                if count and count % (STAGES * LOOKED_AT_EVERY) == 0:
                    self._look()
        return super().evaluate(t, y)

    def told_steps(self) -> odebench.Grid:
        """The accepted steps: an attempt was accepted where the next one begins elsewhere. The forward solve is over."""
        starts = torch.stack(self._times[::STAGES]).double().cpu()
        ends = torch.stack(self._times[STAGES - 1 :: STAGES]).double().cpu()
        self._times.clear()
        accepted = torch.cat([starts[1:] != starts[:-1], torch.ones(1, dtype=torch.bool)])
        self.stats.accepted, self.stats.rejected = int(accepted.sum()), int((~accepted).sum())
        starts = starts[accepted]
        following = torch.cat([starts[1:], ends[-1:]])
        return odebench.Grid(t=starts, dt=following - starts, end=ends[-1].item())

    def _look(self) -> None:
        """At the last attempt that is whole."""
        start, end = self._times[-STAGES - 1].item(), self._times[-2].item()
        if not start < end and not end < start:
            raise DivergedError(f"zuko: the step size fell to nothing at t = {start:.6g}.")
