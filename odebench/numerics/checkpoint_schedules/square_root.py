"""Checkpoints at equal distances: about √N states, and each step computed once more.

Source: T. Chen, B. Xu, C. Zhang, C. Guestrin, "Training deep nets with sublinear memory cost", 2016, arXiv:1604.06174,
section 4.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import isqrt

from odebench.numerics.checkpoint_schedules.actions import Action, Advance, Drop, Load, Reverse, Schedule, Store


class SquareRoot(Schedule):
    """Every m-th state is kept on the way forward, and all states of a stretch of m on the way through it.

    At most 2 √N + 1 states at once where N is known: m is the root of N, rounded up. Where it is not, m is doubled, and every
    second state dropped, whenever 2 m are kept: then at most 3/√2 · √N + 1. Below 2 N steps without a graph, the forward pass
    included.

    Args:
        steps: number of steps; None where it is not known.
    """

    def __init__(self, steps: int | None = None) -> None:
        self._known = steps is not None
        self._distance = isqrt(steps - 1) + 1 if steps else 1
        self._kept: list[int] = []

    def leave(self, step: int) -> Iterator[Store | Drop]:
        """As `Schedule.leave` says."""
        if step % self._distance:
            return
        if not self._known and len(self._kept) == 2 * self._distance:
            self._distance *= 2
            for dropped in self._kept[1::2]:
                yield Drop(dropped)
            del self._kept[1::2]
        self._kept.append(step)
        yield Store(step)

    def backward(self, steps: int) -> Iterator[Action]:
        """As `Schedule.backward` says."""
        yield Reverse(steps - 1)
        stop = steps - 1
        for start in reversed(self._kept):
            yield Load(start)
            for step in range(start, stop - 1):
                if step > start:
                    yield Store(step)
                yield Advance(step, step + 1)
            for step in range(stop - 1, start - 1, -1):
                if step < stop - 1:
                    yield Load(step)
                if step < stop - 1 or step == start:
                    yield Drop(step)
                yield Reverse(step)
            stop = start
