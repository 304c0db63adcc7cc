"""How far the parts are that take their time: read from what they leave in their folders, and told as events."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from odebench.run.events import Event, PartProgress
from odebench.run.executors import Executors
from odebench.run.schedule import Meter
from odebench.run.work import Work

#: Seconds between two looks.
LOOK_EVERY_S = 0.5


@dataclass(kw_only=True)
class _Watched:
    work: Work
    part: str
    began: float
    first: tuple[float, int] | None = None
    last: dict[str, Any] | None = None


class Watch:
    """Looks at the running studies.

    Args:
        executors: where they run.
        meter: is told how long they will take.
        on_event: is told how far they are.
    """

    def __init__(self, executors: Executors, meter: Meter, on_event: Callable[[Event], None]) -> None:
        self._executors, self._meter, self._on_event = executors, meter, on_event
        self._watched: dict[int, _Watched] = {}
        self._looked = 0.0

    def __len__(self) -> int:
        return len(self._watched)

    def follow(self, number: int, work: Work, part: str) -> None:
        """Look at the part `number` from now on, if it belongs to a study."""
        if work.studies:
            self._watched[number] = _Watched(work=work, part=part, began=time.monotonic())

    def forget(self, number: int) -> None:
        """The part `number` ended."""
        self._watched.pop(number, None)
        self._meter.forget(number)

    def look(self) -> None:
        """Tell what is new; does nothing where the last look was only just now."""
        now = time.monotonic()
        if now - self._looked < LOOK_EVERY_S:
            return
        self._looked = now
        for number, watched in self._watched.items():
            told = self._executors.progress_of(number)
            if told is not None and told != watched.last:
                watched.last = told
                self._tell(number, watched, told, now)

    def _tell(self, number: int, watched: _Watched, told: dict[str, Any], now: float) -> None:
        done, total = told["done"], told["total"]
        # What came before the first word, such as loading data, or iterations of an interrupted run, says nothing about the rest.
        if watched.first is None:
            watched.first = (now, done)
        since, before = watched.first
        remaining = (now - since) / (done - before) * (total - done) if done > before else None
        work = watched.work
        if remaining is not None:
            size = work.size(watched.part)
            self._meter.follow(number, work.kind(watched.part), now - watched.began, remaining, size)
        self._on_event(
            PartProgress(
                cell=work.cell,
                part=watched.part,
                done=done,
                total=total,
                loss=told["loss"],
                remaining_s=remaining,
                progress=self._meter.progress(),
            )
        )
