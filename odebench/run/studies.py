"""The launcher's side of studies: what they leave is kept for all suites, done once, and found again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from odebench.errors import RecordError
from odebench.outcome import Outcome
from odebench.plan.cell import Cell
from odebench.records import Machine, Record, ResultWriter
from odebench.run.artefacts import Artefact, Artefacts
from odebench.run.identity import Identity
from odebench.run.work import Work

if TYPE_CHECKING:
    from odebench.plugins import Registry

#: How a study ends that goes on from its checkpoint in the next run: at its time limit, or with its process, which somebody may have killed.
STOPPED = (Outcome.TIMEOUT, Outcome.CRASHED)


class Studies:
    """Which cells are studies, and what they leave; use as a context manager, which gives back every claim at its end.

    Args:
        registry: the plugins.
        writer: of the folder of results, beside which the artefacts lie.
        machine: this machine.
        identities: of the cells, by id.
    """

    def __init__(
        self, registry: Registry, writer: ResultWriter, machine: Machine, identities: Mapping[str, Identity]
    ) -> None:
        self._registry, self._writer, self._identities = registry, writer, identities
        self._artefacts = Artefacts(writer.folder.path, machine.id)
        self._known: dict[str, Artefact] = {}
        self._told: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for artefact in self._known.values():
            artefact.release()

    def artefact(self, cell: Cell) -> Artefact | None:
        """What a cell's study leaves; None where its task is no study."""
        return self._of(cell.id) if is_study(cell, self._registry) else None

    def needed(self, cell: Cell) -> tuple[Artefact, ...]:
        """What the studies left that a cell needs, those of the plan."""
        return tuple(self._of(need) for need in cell.needs if need in self._identities)

    def may_go_on(self, cell: Cell, record: Record | None) -> bool:
        """Whether a study was stopped on its way: it has its time again, and goes on from its checkpoint."""
        return (
            record is not None
            and record.outcome in STOPPED
            and record.freshness == self._identities[cell.id].freshness
            and is_study(cell, self._registry)
        )

    def lost(self, works: Iterable[Work], records: Mapping[str, Record]) -> Iterator[str]:
        """Ids of studies that are recorded as done, are needed by what is to be done, and whose files are gone or broken."""
        works = list(works)
        busy = {work.cell.id for work in works}
        needs = dict.fromkeys(need for work in works for need in work.cell.needs if need not in busy)
        for need in needs:
            record = records.get(need)
            done = record is not None and record.outcome is Outcome.OK
            if done and need in self._identities and self._of(need).finished() is None:
                yield need

    def claim(self, work: Work, notice: Callable[[str], None]) -> bool:
        """Have a study for this run; False while another run is at it, which is told once."""
        holder = work.artefact.claim()
        if holder is not None:
            if work.cell.id not in self._told:
                self._told.add(work.cell.id)
                notice(f"{told_as(work.cell)}: another run is doing it{holder}. Waiting for that.")
            return False
        for fault in work.artefact.put_aside_broken():
            notice(fault)
        return True

    def release(self, work: Work) -> None:
        """Let other runs have it."""
        work.artefact.release()

    def adopt(self, work: Work) -> bool:
        """Take over what another run left ready, if it did: its part and its series are as if they were measured here."""
        if not work.studies or (part := work.artefact.finished()) is None:
            return False
        if part.get("series"):
            series = work.artefact.series()
            if series is None:
                return False
            self._writer.put_series(work.cell.id, series)
        work.record = self._writer.put_part(work.cell.id, "quality", part)
        work.missing = []
        return True

    def store(self, work: Work, result: Mapping[str, Any], notice: Callable[[str], None]) -> None:
        """Store what a study gave, and keep what it left where it ended well."""
        for note in result.get("notes", ()):
            notice(f"{told_as(work.cell)}: {note}")
        series = work.artefact.series() if result.get("series") else None
        if series is not None:
            try:
                self._writer.put_series(work.cell.id, series)
            except RecordError as error:
                result = dict(result) | {"outcome": Outcome.ERROR.word, "reason": str(error)}
        work.record = self._writer.put_part(work.cell.id, "quality", result)
        if work.record.outcome is Outcome.OK:
            work.artefact.finish(work.record.parts.quality)
        work.artefact.release()

    def _of(self, cell_id: str) -> Artefact:
        if cell_id not in self._known:
            self._known[cell_id] = self._artefacts.of(cell_id, self._identities[cell_id].freshness)
        return self._known[cell_id]


def told_as(cell: Cell) -> str:
    """A cell as a notice names it."""
    return f"{cell.task.name} of {cell.model.name} with {cell.solver.name} (cell {cell.id})"


def is_study(cell: Cell, registry: Registry) -> bool:
    """Whether the cell's task takes its time and is at home in a folder."""
    from odebench.contract import Study

    if cell.task.name not in registry.names("task"):
        return False
    entry = registry.get("task", cell.task.name)
    if entry.origin.interpreter is not None:
        return entry.study
    factory = entry.factory
    return issubclass(factory if isinstance(factory, type) else type(factory), Study)
