"""Evaluations of a compiled solve: what it tells, held against what was counted in the same program with calls back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from odebench.contract import Stats
from odebench.errors import MeasurementError
from odebench.run.counting import Counter


@dataclass(frozen=True, kw_only=True)
class CompiledCounts:
    """Counts of a compiled solve and its way back.

    Attributes:
        forward, backward, vjps: evaluations in each phase, and vector-Jacobian products.
        method: `loop_counter` where the forward count is what the solver tells of the measured solve, seen to be true of the
            counted one; `counted` where it tells nothing and all is from the counted solve.
    """

    forward: int
    backward: int
    vjps: int
    method: str

    def values(self, *, backward: bool) -> dict[str, Any]:
        """The columns of a record."""
        values: dict[str, Any] = {"nfe_forward": self.forward, "nfe_method": self.method}
        return values | ({"nfe_backward": self.backward, "vjps": self.vjps} if backward else {})


def compiled_counts(plain: Sequence[Stats], counted: Sequence[Stats], counter: Counter) -> CompiledCounts:
    """The counts of the plain solve, by what was counted in the other one.

    Args:
        plain: what the measured solve told of itself.
        counted: what the solve with calls back told of itself.
        counter: what was counted there.

    Raises:
        MeasurementError: what was told there is not what was counted.
    """
    told = _told(counted)
    forward = counter.evaluations["forward"]
    if told is not None and told != forward:
        raise MeasurementError(
            f"It tells {told} evaluations of the field in the forward solve, and its compiled program made {forward}."
        )
    own = _told(plain)
    return CompiledCounts(
        forward=forward if own is None else own,
        backward=counter.evaluations["backward"],
        vjps=counter.vjps,
        method="counted" if own is None else "loop_counter",
    )


def _told(stats: Sequence[Stats]) -> int | None:
    """Evaluations of all solves together; None where one of them does not tell."""
    each = [one.evaluations_forward for one in stats]
    return None if not each or None in each else sum(each)
