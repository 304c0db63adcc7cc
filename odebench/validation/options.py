"""How a validation is done."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from odebench.api import Named
from odebench.contract import Learning, Solver
from odebench.errors import IncompatibleError
from odebench.validation.metrics import Metric, Score, metric_of

Tell = Callable[[str], None]
"""Is told in words what is being done."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to check; as the arguments of `validate`."""

    metric: str | Score | Metric | None
    against: Sequence[Named | Solver] | None
    finer: tuple[int, ...]
    threshold: float
    level: float
    resamples: int
    seed: int
    batch_size: int
    error_rows: int
    tell: Tell

    def __post_init__(self) -> None:
        for name, least in (("batch_size", 1), ("error_rows", 1), ("resamples", 100)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise IncompatibleError(f"{name} is {value!r}; it must be a whole number of at least {least}.")
        if not (math.isfinite(self.threshold) and self.threshold > 0):
            raise IncompatibleError(f"threshold is {self.threshold!r}; it must be positive, in the metric's unit.")
        if not 0.5 <= self.level < 1:
            raise IncompatibleError(f"level is {self.level!r}; it must be at least 0.5 and below 1, such as 0.95.")

    def of_learning(self, learning: Learning) -> Options:
        """With the score of a `Learning`, where no other metric was asked for."""
        if self.metric is not None:
            return self
        plain = metric_of(None, learning.test.targets)
        same = learning.metric == plain.name
        return replace(
            self,
            metric=Metric(
                name=learning.metric,
                score=learning.score,
                answers=plain.answers if same else None,
                percent=same and plain.percent,
            ),
        )
