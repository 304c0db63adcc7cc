"""The field as TorchDiffEqPack gets it: one that ends what the library would never end."""

from __future__ import annotations

import math
from collections import deque
from typing import Any

from torch import Tensor

from odebench.errors import DivergedError
from odebench.numerics.lent_field import LentField

# So often, in attempts, is it looked at whether time still moves: that is a synchronisation with a device.
LOOKED_AT_EVERY = 32


class WatchedField(LentField):
    """The field, which ends a forward solve whose steps are too many, or too short to move the time.

    Args:
        stages: evaluations of an attempt.
        most: more attempts than this end the solve; None where steps are given.
    """

    def __init__(self, *positional: Any, stages: int, most: int | None = None, **named: Any) -> None:
        super().__init__(*positional, **named)
        self._stages, self._most = stages, most
        self._latest: deque[Tensor] = deque(maxlen=max(4, 2 * stages))

    def evaluate(self, t: Tensor, y: Tensor) -> Tensor:
        """As `LentField.evaluate`.

        Raises:
            DivergedError: there were too many attempts, or time stands still.
        """
        if self._most is not None and not self.forward_is_over:
            count = self.stats.evaluations_forward
            # Each accepted step is taken twice, and two evaluations choose the first.
            if count > 2 + 2 * self._stages * self._most:
                raise DivergedError(f"TorchDiffEqPack: {self._most} steps were not enough.")
            self._latest.append(t.detach())
            if count and count % (self._stages * LOOKED_AT_EVERY) == 0:
                times = {t.item() for t in self._latest}
                if len(times) == 1 or any(map(math.isnan, times)):  # a first step that is no number stays one
                    raise DivergedError(f"TorchDiffEqPack: the step size fell to nothing at t = {min(times):.6g}.")
        return super().evaluate(t, y)
