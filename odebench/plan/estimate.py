"""How long a plan will take: what its cells took before, or took elsewhere, or a guess."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from odebench.plan.cell import Cell, CellError, canonical_json, short_hash
from odebench.plan.plan import Plan, PlannedCell
from odebench.records.folder import RecordFault
from odebench.records.record import Record

#: Guessed seconds of a part that nothing like it was ever measured: small problems, such as the quickstart's on two cores.
GUESSED_S: Mapping[str, float] = {"quality": 0.2, "memory": 0.2, "timing": 0.2}
#: Guessed seconds of a study that nothing like it was ever done: one that trains, and one that does not.
GUESSED_TRAINING_S, GUESSED_STUDY_S = 60.0, 1.0
#: Guessed seconds in which a cell that asks for the compiled engine is compiled, in each part.
GUESSED_COMPILE_S = 30.0
#: Seconds that starting a process for a part costs on top of what the part itself reports.
START_S = 0.05


@dataclass(frozen=True, kw_only=True)
class PartTime:
    """What one part of one cell took.

    Attributes:
        cell: the question.
        part: "quality", "memory" or "timing" (one round).
        seconds: wall time of the part.
    """

    cell: Cell
    part: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """How long a run will take.

    Attributes:
        seconds: wall time of all that is missing.
        parts: parts to be measured; a timing round counts as one.
        guessed: how many of them rest on no measurement at all.
        trainings: how many of those are trainings, which take seconds or days: the guess says nothing about them.
    """

    seconds: float
    parts: int
    guessed: int
    trainings: int = 0


def estimate(
    plan: Plan,
    measured: Iterable[PartTime] = (),
    missing: Mapping[str, Mapping[str, int]] | None = None,
    *,
    workers: int = 1,
) -> Estimate:
    """Estimate the wall time of `plan`.

    A part's time is the median of what is known about the same cell; else about the same question with other seeds; else about the
    same task, model and solver; else about the same task and model; else about the same part (for a study the same task, since what
    one takes says nothing about others); else a guess. No part takes longer than the suite's time limit.

    Args:
        plan: what will run.
        measured: times of earlier records, of any freshness and machine.
        missing: by cell id, how often each part is still to be measured, `{"quality": 1, "timing": 2}`; cells that are not in it
            are done. None means that nothing is done yet.
        workers: processes that measure quality and memory at once; timing always runs alone.
    """
    measured = list(measured)
    alike = _Alike(plan, (time.cell for time in measured))
    known = _medians(measured, alike)
    each = {"quality": 1, "memory": 1, "timing": plan.suite.budget.processes}
    seconds, parts, guessed, trainings = 0.0, 0, 0, 0
    for planned in plan.runnable:
        asked = {part: each[part] for part in planned.parts}
        wanted = asked if missing is None else missing.get(planned.cell.id, {})
        for part, count in wanted.items():
            if not count:
                continue
            one = next((known[key] for key in alike.keys(planned.cell, part) if key in known), None)
            guessed += count if one is None else 0
            trainings += count if one is None and _trains(planned) else 0
            one = min(guess_s(planned, part) if one is None else one, plan.suite.budget.timeout_s) + START_S
            seconds += count * one / (1 if part == "timing" else max(workers, 1))
            parts += count
    return Estimate(seconds=seconds, parts=parts, guessed=guessed, trainings=trainings)


def part_times(records: Iterable[Record | RecordFault]) -> Iterator[PartTime]:
    """What the parts of stored records took; a file that is no record, or a cell of another version, tells nothing."""
    for record in records:
        if isinstance(record, RecordFault):
            continue
        try:
            cell = Cell.from_json(record.cell)
        except CellError:
            continue
        parts = record.parts
        measured = [("quality", parts.quality), ("memory", parts.memory)]
        measured += [("timing", one) for one in (parts.timing.rounds if parts.timing else ())]
        for name, part in measured:
            if part is not None and part.seconds is not None:
                yield PartTime(cell=cell, part=name, seconds=part.seconds)


def is_study(planned: PlannedCell) -> bool:
    """Whether all that is measured of it is its quality, which it knows itself: it may take hours."""
    return planned.parts == ("quality",)


def _trains(planned: PlannedCell) -> bool:
    return is_study(planned) and planned.cell.policy is not None


def guess_s(planned: PlannedCell, part: str) -> float:
    """Seconds that a part may take, where nothing like it was ever measured."""
    if is_study(planned):
        return GUESSED_TRAINING_S if _trains(planned) else GUESSED_STUDY_S
    return GUESSED_S.get(part, 1.0) + (GUESSED_COMPILE_S if planned.cell.compile is not False else 0.0)


class _Alike:
    """What counts as alike."""

    def __init__(self, plan: Plan, measured: Iterable[Cell]) -> None:
        self._cells = {cell.id: cell for cell in (*measured, *(planned.cell for planned in plan.cells))}
        self._studies = {planned.cell.task.name for planned in plan.cells if is_study(planned)}
        self._questions: dict[str, str] = {}

    def keys(self, cell: Cell, part: str) -> tuple[tuple[str, ...], ...]:
        """Of a part of a cell, those of the nearest first."""
        # Earlier versions of the suite may have had studies that this one has not.
        cell_id = cell.id
        compiled = () if cell.compile is False else ("compiled",)
        study = cell.task.name in self._studies or cell.policy is not None or bool(cell.needs)
        return (
            (part, "cell", cell_id),
            (part, "question", self._question(cell_id, cell)),
            (part, "solver", cell.task.name, cell.model.name, cell.solver.name, *compiled),
            (part, "model", cell.task.name, cell.model.name, *compiled),
            (part, "task", cell.task.name) if study else (part, *compiled),
        )

    def _question(self, cell_id: str, cell: Cell | None) -> str:
        """The cell without its seed, and with what it needs likewise: another seed reads the training of another seed."""
        if cell is None:
            return cell_id
        if cell_id not in self._questions:
            needs = [self._question(need, self._cells.get(need)) for need in cell.needs]
            content = {key: value for key, value in cell.to_json().items() if key != "seed"}
            self._questions[cell_id] = short_hash(canonical_json(content | {"needs": needs}))
        return self._questions[cell_id]


def _medians(measured: Iterable[PartTime], alike: _Alike) -> dict[tuple[str, ...], float]:
    samples: dict[tuple[str, ...], list[float]] = {}
    for time in measured:
        for key in alike.keys(time.cell, time.part):
            samples.setdefault(key, []).append(time.seconds)
    return {key: statistics.median(values) for key, values in samples.items()}
