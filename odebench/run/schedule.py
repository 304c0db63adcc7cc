"""In which order parts run, and how long the rest will take: no process is started here."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from odebench.plan.cell import Cell
from odebench.plan.estimate import GUESSED_S, START_S
from odebench.records.machine import usable_cores
from odebench.run.events import Progress

#: Quality and memory parts, and the judge, that run at once where there are cores; they are not timed.
_AT_ONCE = 2


def parts_at_once() -> int:
    """How many parts other than timing run at once on this machine."""
    return max(1, min(_AT_ONCE, usable_cores()))


def timing_order(missing: Iterable[tuple[Cell, int]], seed: str) -> list[tuple[Cell, int]]:
    """Timing rounds, model by model, shuffled within a model so that drift hits all of its cells alike.

    Args:
        missing: cells and numbers of their rounds, in the order of the plan.
        seed: makes the order repeatable.
    """
    models: dict[tuple[str, str], list[tuple[Cell, int]]] = {}
    for cell, number in missing:
        models.setdefault((str(cell.model), cell.device), []).append((cell, number))
    order = []
    for model, rounds in models.items():
        random.Random(f"{seed} {model}").shuffle(rounds)
        order += rounds
    return order


@dataclass(kw_only=True)
class _UnderWay:
    """A part that tells how far it is."""

    kind: str
    size: float
    elapsed_s: float
    remaining_s: float


class Meter:
    """Counts the parts of a run, and estimates the time that is left from what the parts of each kind took so far.

    Args:
        parts: how many of each kind are to be done.
        workers: parts other than timing that run at once.
        sizes: of all parts of a kind together, where they differ; 1 each for a kind that is not there.
        guesses: seconds of a part of a kind of which none has been measured yet.
        at_once: how many of a kind run at once, where that is not `workers`.
    """

    def __init__(
        self,
        parts: dict[str, int],
        workers: int,
        sizes: Mapping[str, float] | None = None,
        guesses: Mapping[str, float] | None = None,
        at_once: Mapping[str, int] | None = None,
    ) -> None:
        self._left = dict(parts)
        self._sizes = {kind: float(count) for kind, count in parts.items()} | dict(sizes or {})
        self._guesses = dict(GUESSED_S) | dict(guesses or {})
        self._total = sum(parts.values())
        self._workers, self._at_once = workers, {"timing": 1} | dict(at_once or {})
        self._taken: dict[str, tuple[float, float]] = {}
        self._under_way: dict[int, _UnderWay] = {}
        self._began = time.monotonic()
        self.measured = 0

    @property
    def elapsed_s(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._began

    def finish(self, kind: str, seconds: float, size: float = 1.0) -> None:
        """A part of this kind was measured."""
        done, taken = self._taken.get(kind, (0.0, 0.0))
        self._taken[kind] = (done + size, taken + seconds)
        self.drop(kind, size=size)
        self.measured += 1

    def drop(self, kind: str, count: int = 1, size: float = 1.0) -> None:
        """So many parts of this kind, of this size each, need not run any more."""
        self._left[kind] -= count
        self._sizes[kind] -= count * size

    def follow(self, number: int, kind: str, elapsed_s: float, remaining_s: float, size: float = 1.0) -> None:
        """The running part `number` tells how far it is."""
        self._under_way[number] = _UnderWay(kind=kind, size=size, elapsed_s=elapsed_s, remaining_s=remaining_s)

    def forget(self, number: int) -> None:
        """The part `number` does not run any more."""
        self._under_way.pop(number, None)

    def progress(self) -> Progress:
        """How far the run is."""
        left = sum(self._left.values())
        remaining = sum(self._remaining_s(kind, count) for kind, count in self._left.items() if count)
        longest = max((one.remaining_s for one in self._under_way.values()), default=0.0)
        return Progress(
            done=self._total - left, total=self._total, elapsed_s=self.elapsed_s, remaining_s=max(remaining, longest)
        )

    def _remaining_s(self, kind: str, count: int) -> float:
        """Of all parts of a kind that are not finished."""
        telling = [one for one in self._under_way.values() if one.kind == kind]
        told, size = sum(one.remaining_s for one in telling), sum(one.size for one in telling)
        done, taken = self._taken.get(kind, (0.0, 0.0))
        known, seconds = done + size, taken + told + sum(one.elapsed_s for one in telling)
        if known:
            others = seconds / known * max(self._sizes[kind] - size, 0.0)
        else:
            others = self._guesses.get(kind, 1.0) * (count - len(telling))
        all_of_them = told + others + START_S * (count - len(telling))
        return all_of_them / self._at_once.get(kind, self._workers)
