"""In which order parts run, and how long the rest will take: no process is started here."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable

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


class Meter:
    """Counts the parts of a run, and estimates the time that is left from what the parts of each kind took so far.

    Args:
        parts: how many of each kind are to be done.
        workers: parts other than timing that run at once.
    """

    def __init__(self, parts: dict[str, int], workers: int) -> None:
        self._left = dict(parts)
        self._total = sum(parts.values())
        self._workers = workers
        self._taken: dict[str, tuple[int, float]] = {}
        self._began = time.monotonic()
        self.measured = 0

    @property
    def elapsed_s(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._began

    def finish(self, part: str, seconds: float) -> None:
        """A part of this kind was measured."""
        count, taken = self._taken.get(part, (0, 0.0))
        self._taken[part] = (count + 1, taken + seconds)
        self._left[part] -= 1
        self.measured += 1

    def drop(self, part: str, count: int = 1) -> None:
        """So many parts of this kind need not run any more."""
        self._left[part] -= count

    def progress(self) -> Progress:
        """How far the run is."""
        left = sum(self._left.values())
        remaining = 0.0
        for part, count in self._left.items():
            done, taken = self._taken.get(part, (0, 0.0))
            each = taken / done if done else GUESSED_S.get(part, 1.0)
            remaining += count * (each + START_S) / (1 if part == "timing" else self._workers)
        return Progress(done=self._total - left, total=self._total, elapsed_s=self.elapsed_s, remaining_s=remaining)
