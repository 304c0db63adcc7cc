"""What a schedule asks for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Store:
    """Keep the state at the start of `step`, which is at hand, in a free slot."""

    step: int


@dataclass(frozen=True, slots=True)
class Drop:
    """Free the slot that holds the state at the start of `step`."""

    step: int


@dataclass(frozen=True, slots=True)
class Load:
    """Take the state at the start of `step` from its slot, which keeps it, to hand."""

    step: int


@dataclass(frozen=True, slots=True)
class Advance:
    """Compute the steps from `start` up to, and not including, `stop` again, without a graph; their end is then at hand."""

    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Reverse:
    """Compute `step` with a graph from the state at hand, and go back through it."""

    step: int


Action = Store | Drop | Load | Advance | Reverse


class Schedule(ABC):
    """Which states are kept on the way forward, and how the steps are gone back through."""

    @abstractmethod
    def leave(self, step: int) -> Iterable[Store | Drop]:
        """What to do with the state at the start of `step`, once it is known not to be the last.

        Called for 0, 1, … in turn. State 0 is stored at its first call.
        """

    @abstractmethod
    def backward(self, steps: int) -> Iterator[Action]:
        """Go back through all steps, of which there were `steps`; the state at the start of the last one is at hand."""
