"""A cell of a run that is not finished yet, and the order in which such cells may start."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any

from odebench.plan.cell import Cell
from odebench.plan.estimate import guess_s
from odebench.plan.plan import PlannedCell
from odebench.records import MissingPart, Record
from odebench.records.machine import usable_cores
from odebench.run.artefacts import Artefact
from odebench.run.identity import Identity
from odebench.run.request import Request
from odebench.run.schedule import Meter, parts_at_once

#: Steps that an iteration's own costs are worth, when the work of trainings with few and with many steps is compared.
_OVERHEAD_STEPS = 4.0


@dataclass(kw_only=True, eq=False)
class Work:
    """A cell at work.

    Attributes:
        planned: the cell, as planned.
        identity: what it uses.
        record: as it is stored now.
        missing: parts that are still to be measured.
        artefact: what its study leaves; None where it is no study.
        needed: what the studies that it needs left.
    """

    planned: PlannedCell
    identity: Identity
    record: Record
    missing: list[MissingPart]
    artefact: Artefact | None = None
    needed: tuple[Artefact, ...] = ()

    @property
    def cell(self) -> Cell:
        """The question."""
        return self.planned.cell

    @property
    def studies(self) -> bool:
        """Whether its one part may take hours, and leaves something."""
        return self.artefact is not None

    @property
    def fell_back(self) -> bool:
        """Whether its solves run without the compiled engine that it asked for: they are timed where nothing was compiled."""
        quality = self.record.parts.quality
        return quality is not None and quality.values.get("compiled") is False

    def kind(self, part: str) -> str:
        """Parts of one kind take alike, relative to their size."""
        if not self.studies:
            return part if self.cell.compile is False else f"{part}, compiled"
        return f"{self.cell.task.name} {self.cell.solver.name} {'+'.join(sorted(self.cell.grid))}"

    def size(self, part: str) -> float:
        """How much work a part is, relative to others of its kind."""
        grid = self.cell.grid
        if not self.studies or not ("steps" in grid or "step_size" in grid):
            return 1.0
        return _OVERHEAD_STEPS + (grid["steps"] if "steps" in grid else 1.0 / grid["step_size"])

    def guess_s(self, part: str) -> float:
        """Seconds of a part of which nothing is known."""
        return guess_s(self.planned, part)

    def take(self, name: str) -> bool:
        """Whether a part of this name is still missing; it is not any more."""
        found = [part for part in self.missing if part.name == name]
        self.missing = [part for part in self.missing if part.name != name]
        return bool(found)

    def request(self, part: str, memory_bytes: int | None, **more: Any) -> Request:
        """What a child is asked for."""
        if self.studies:
            more |= {
                "artefact": str(self.artefact.folder),
                "needed": tuple(str(artefact.folder) for artefact in self.needed),
            }
        interpreter, prefixes = self.identity.interpreter, self.identity.prefixes
        if part == "judge" and not self.identity.judged_there and interpreter is not None:
            interpreter, prefixes = None, ()  # What knows the answers stays where the launcher is.
        return Request(
            part=part,
            cell=replace(self.cell, compile=False) if part == "timing" and self.fell_back else self.cell,
            prefixes=prefixes,
            local_files=self.identity.local_files,
            memory_bytes=memory_bytes,
            interpreter=None if interpreter is None else str(interpreter.path),
            **more,
        )


class Queue:
    """Cells that wait to be started.

    Args:
        waiting: in the order in which they should start.
    """

    def __init__(self, waiting: Iterable[Work]) -> None:
        self._waiting = deque(waiting)

    def next(self, running: Collection[Work], may_start: Callable[[Work], bool | None]) -> Work | None:
        """The next one for which there is room and that `may_start`; None in the place of that takes it off the queue for good."""
        for _ in range(len(self._waiting)):
            work = self._waiting.popleft()
            allowed = may_start(work) if has_room(work, running) else False
            if allowed:
                return work
            if allowed is not None:
                self._waiting.append(work)
        return None

    def __len__(self) -> int:
        return len(self._waiting)


def has_room(work: Work, running: Collection[Work]) -> bool:
    """Whether a cell's first part may start beside those that are running.

    Studies are not measured by the clock: so many run at once as there are cores for their threads, and one on each accelerator. Of
    the others only a few run at once.
    """
    if not running:
        return True
    cores, few = usable_cores(), parts_at_once()
    studies = [other for other in running if other.studies]
    others = len(running) - len(studies)
    used = others + sum(other.cell.threads for other in studies)
    if not work.studies:
        return others < few and used < max(cores, few)
    device = work.cell.device
    if device != "cpu" and any(other.cell.device == device for other in studies):
        return False
    return used + work.cell.threads <= max(cores, few)


def meter_of(works: Iterable[Work], workers: int) -> Meter:
    """Counts all that is missing of these cells."""
    counts: dict[str, int] = {"quality": 0, "memory": 0, "timing": 0}
    sizes, guesses, at_once = dict.fromkeys(counts, 0.0), {}, {}
    for work, missing in [(one, part) for one in works for part in one.missing]:
        kind = work.kind(missing.name)
        counts[kind] = counts.get(kind, 0) + 1
        sizes[kind] = sizes.get(kind, 0.0) + work.size(missing.name)
        if not work.studies and work.cell.compile is not False:
            guesses[kind] = work.guess_s(missing.name)
            at_once[kind] = 1 if missing.name == "timing" else workers
        if work.studies:
            guesses[kind] = work.guess_s(missing.name)
            at_once[kind] = max(workers, usable_cores() // work.cell.threads) if work.cell.device == "cpu" else 1
    return Meter(counts, workers, sizes, guesses, at_once)
