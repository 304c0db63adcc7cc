"""Checkpointing while the number of steps is not known: whenever the solve ends, the states kept are spread well.

Source: Q. Wang, P. Moin, G. Iaccarino, "Minimal repetition dynamic checkpointing algorithm for unsteady adjoint calculation",
SIAM Journal on Scientific Computing 31(4), 2009, doi:10.1137/080727890.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

from odebench.numerics.checkpoint_schedules.actions import Action, Drop, Reverse, Schedule, Store
from odebench.numerics.checkpoint_schedules.binomial import reversal


class Online(Schedule):
    """Wang, Moin and Iaccarino's placing on the way forward; back, each stretch between kept states is binomial.

    Every kept state has a level, 0 when it is new. It can be dispensed with as soon as a later one has a higher level. Where
    none can, the latest one gives way to the new one, which takes a level more. In this way no step is computed without a graph
    more often than r times, the forward pass included, for the least r with C(c - 1 + r, c - 1) ≥ N: as often as the best
    schedule that knows N needs with one slot less. So there are at most r N such steps.

    Args:
        slots: how many states are kept at once, the initial one included.
    """

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self._kept: list[int] = []
        self._levels: list[float] = []

    def leave(self, step: int) -> Iterator[Store | Drop]:
        """As `Schedule.leave` says."""
        level = 0.0 if self._kept else inf
        if len(self._kept) == self.slots:
            if self.slots == 1:
                return
            place = self._dispensable()
            if place is None:
                place, level = self.slots - 1, self._levels[-1] + 1.0
            del self._levels[place]
            yield Drop(self._kept.pop(place))
        self._kept.append(step)
        self._levels.append(level)
        yield Store(step)

    def backward(self, steps: int) -> Iterator[Action]:
        """As `Schedule.backward` says."""
        yield Reverse(steps - 1)
        yield from reversal(self._kept, steps - 1, self.slots)

    def _dispensable(self) -> int | None:
        """Where the latest state lies that is followed by one of a higher level."""
        highest = 0.0
        for place in range(self.slots - 1, 0, -1):
            if self._levels[place] < highest:
                return place
            highest = self._levels[place]
        return None
