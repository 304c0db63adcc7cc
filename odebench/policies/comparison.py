"""When two values of a metric count as the same."""

from __future__ import annotations

import math
from dataclasses import dataclass

from odebench.contract import GridRequest, Solver, Trial, Try
from odebench.errors import DivergedError, IncompatibleError
from odebench.policies.parameters import check_number


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two values agree where |a - b| <= threshold, or, `relative`, threshold * max(|a|, |b|). What is not finite agrees with nothing.

    Attributes:
        threshold: the largest difference, in the metric's unit or as a share; at least 0.
        by: "absolute" or "relative".
    """

    threshold: float
    by: str = "absolute"

    def __post_init__(self) -> None:
        check_number("threshold", self.threshold, least=0.0)
        if self.by not in ("absolute", "relative"):
            raise IncompatibleError(f"`comparison` is {self.by!r}; it must be 'absolute' or 'relative'.")

    def agree(self, one: float, other: float) -> bool:
        """Whether the two are the same."""
        if not (math.isfinite(one) and math.isfinite(other)):
            return False
        scale = max(abs(one), abs(other)) if self.by == "relative" else 1.0
        return abs(one - other) <= self.threshold * scale


def tried(attempt: Try, solver: Solver, grid: GridRequest) -> Trial:
    """What an attempt gave; a metric that is no number where its solve could not go on."""
    try:
        return attempt(solver, grid)
    except DivergedError:
        return Trial(metric=math.nan)
