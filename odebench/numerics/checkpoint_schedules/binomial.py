"""Binomial checkpointing: as few steps computed again as the slots allow, for a known number of steps.

Source: A. Griewank, A. Walther, "Algorithm 799: revolve", ACM Transactions on Mathematical Software 26(1), 2000,
doi:10.1145/347837.347846. With s slots and at most r forward sweeps over any step, β(s, r) = C(s + r, s) steps can be gone
back through.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import comb

from odebench.numerics.checkpoint_schedules.actions import Action, Advance, Drop, Load, Reverse, Schedule, Store


def sweeps(steps: int, slots: int) -> int:
    """The least r with C(slots + r, slots) ≥ steps: how often some step must be computed without a graph."""
    r = 0
    while comb(slots + r, slots) < steps:
        r += 1
    return r


def untaped_steps(steps: int, slots: int) -> int:
    """t(N, c) = r N - C(c + r, r - 1): the fewest steps without a graph, the first sweep included.

    For a loss that is computed at the end of that sweep, so that the last step is taken once, with a graph. Where the states
    are given away first, the last step costs one more.
    """
    r = sweeps(steps, slots)
    return r * steps - comb(slots + r, r - 1) if r else 0


class Binomial(Schedule):
    """Griewank and Walther's schedule.

    Args:
        steps: number of steps.
        slots: how many states are kept at once, the initial one included.
    """

    def __init__(self, steps: int, slots: int) -> None:
        self.steps, self.slots = steps, slots
        self._kept = [0]
        for action in reversal([0], steps, slots):
            if isinstance(action, Reverse):
                break
            if isinstance(action, Store):
                self._kept.append(action.step)
        self._stored = frozenset(self._kept)

    def leave(self, step: int) -> tuple[Store, ...]:
        """As `Schedule.leave` says."""
        return (Store(step),) if step in self._stored else ()

    def backward(self, steps: int) -> Iterator[Action]:
        """As `Schedule.backward` says."""
        yield Reverse(steps - 1)
        yield from reversal(self._kept if steps > 1 else (), steps - 1, self.slots)


def reversal(kept: Sequence[int], stop: int, slots: int) -> Iterator[Action]:
    """Go back through the steps before `stop`, from the states in `kept`, with as few steps computed again as possible.

    Args:
        kept: steps whose states are in slots, in ascending order.
        stop: the step after the last one.
        slots: how many there are.
    """
    kept = list(kept)
    while kept:
        at = kept[-1]
        if at == stop:
            yield Drop(kept.pop())
            continue
        yield Load(at)
        while (free := slots - len(kept)) and stop - at > 2:
            ahead = at + first_part(stop - at, free + 1)
            if ahead == stop - 1:  # that state will be at hand: no need to store it
                break
            yield Advance(at, ahead)
            yield Store(ahead)
            kept.append(ahead)
            at = ahead
        stop -= 1
        if at < stop:
            yield Advance(at, stop)
        else:
            yield Drop(kept.pop())
        yield Reverse(stop)


def first_part(steps: int, slots: int) -> int:
    """How many steps to advance before the next state is stored, in at least 2 slots, the one at the start included.

    Every number between max(β(s, r - 2), N - β(s - 1, r)) and min(β(s, r - 1), N - β(s - 1, r - 1)) is optimal: there t(m, s)
    grows by r - 1 for each step and t(N - m, s - 1) falls by r.
    """
    r = sweeps(steps, slots)
    return min(comb(slots + r - 1, slots), steps - comb(slots + r - 2, slots - 1))
