"""The launcher: runs what is missing of a plan, and stores each part as it ends."""

from __future__ import annotations

import statistics
import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odebench.outcome import Outcome
from odebench.plan.cell import Cell
from odebench.plan.plan import Plan, PlannedCell
from odebench.records import Machine, MissingPart, Record, ResultWriter, describe_machine, missing_parts
from odebench.run.devices import accelerator_names
from odebench.run.events import Event, PartFinished, PartStarted, RunStarted, RunSummary
from odebench.run.executors import Ended, Executors
from odebench.run.identity import Identity, identity_of
from odebench.run.request import Request
from odebench.run.schedule import Meter, parts_at_once, timing_order

if TYPE_CHECKING:
    from odebench.plugins import Registry

#: What a reference may take is no matter of the suite's limits, which are about what is measured.
_JUDGE_LIMIT_S = 900.0


def run_plan(
    plan: Plan,
    folder: Path | str,
    *,
    registry: Registry,
    force: bool = False,
    on_event: Callable[[Event], None] = lambda event: None,
    machine: Machine | None = None,
    cache: Path | str | None = None,
    mode: str | None = None,
    executors: Executors | None = None,
) -> RunSummary:
    """Measure what `folder` lacks of `plan` on this machine, and store every part when it ends.

    Args:
        plan: what is asked.
        folder: of results; made where there is none.
        registry: the plugins that `plan` was made with.
        force: measure anew what is there already; the old records go to the history.
        on_event: called with each event, in this thread, between two parts.
        machine: None describes this one.
        cache: folder for what is known about problems; None takes the user's.
        mode: "spawn" or "fork"; None takes the best that works.
        executors: to be used and left open, with nothing at work in them; None starts some and ends them.

    Returns:
        How it went. Whatever a cell did is in its record; nothing of it is raised.

    Raises:
        RecordError: another run writes there, the folder is somebody's, or the disk refuses.
        ExecutorError: no process can be started to measure in.
        KeyboardInterrupt: after all children are dead; what had ended is stored.
    """
    machine = machine or describe_machine(accelerator_names())
    suite = plan.suite
    with ResultWriter(folder, machine) as writer:
        identities = {planned.cell.id: identity_of(planned.cell, registry) for planned in plan.cells}
        versions = {name: version for one in identities.values() for name, version in one.versions.items()}
        writer.begin_run(
            suite.name,
            suite.text,
            suite.sha256,
            budget_name=suite.budget_name,
            overrides=suite.overrides,
            plugins=versions,
            cells=[planned.cell.id for planned in plan.cells],
        )
        with Executors(mode) if executors is None else nullcontext(executors) as at_work:
            run = _Run(plan, writer, at_work, identities, machine, on_event, str(cache) if cache else None)
            run.begin(force)
            run.measure()
            run.time()
            return run.summary()


@dataclass(kw_only=True)
class _Task:
    """A cell at work."""

    planned: PlannedCell
    identity: Identity
    record: Record
    missing: list[MissingPart]

    @property
    def cell(self) -> Cell:
        return self.planned.cell

    def take(self, name: str) -> bool:
        """Whether a part of this name is still missing; it is not any more."""
        found = [part for part in self.missing if part.name == name]
        self.missing = [part for part in self.missing if part.name != name]
        return bool(found)


class _Run:
    def __init__(
        self,
        plan: Plan,
        writer: ResultWriter,
        executors: Executors,
        identities: dict[str, Identity],
        machine: Machine,
        on_event: Callable[[Event], None],
        cache: str | None,
    ) -> None:
        self._plan, self._writer, self._executors = plan, writer, executors
        self._identities, self._machine, self._on_event, self._cache = identities, machine, on_event, cache
        self._budget = plan.suite.budget
        self._workers = parts_at_once()
        self._tasks: dict[str, _Task] = {}
        self._records: dict[str, Record] = {}
        self._overheads_s: list[float] = []

    def begin(self, force: bool) -> None:
        """Settle what planning settled, and find out what is missing."""
        kept = 0
        for planned in self._plan.cells:
            blank = self._blank(planned)
            if planned.outcome is not None:
                self._records[planned.cell.id] = self._writer.settle(blank, planned.outcome, planned.reason or "")
                continue
            record = self._records[planned.cell.id] = self._writer.begin(blank, force=force)
            missing = list(missing_parts(record, self._budget.processes))
            kept += not missing
            if missing:
                self._tasks[planned.cell.id] = _Task(
                    planned=planned, identity=self._identities[planned.cell.id], record=record, missing=missing
                )
        parts = Counter(part.name for task in self._tasks.values() for part in task.missing)
        self._meter = Meter({"quality": 0, "memory": 0, "timing": 0} | parts, self._workers)
        self._on_event(
            RunStarted(
                cells=len(self._plan.cells),
                kept=kept,
                settled=len(self._plan.settled),
                progress=self._meter.progress(),
            )
        )

    def measure(self) -> None:
        """Quality and memory of all cells, several at once, and the judging of their answers."""
        waiting = deque(task for task in self._tasks.values() if task.missing)
        memory: deque[_Task] = deque()
        judging: deque[tuple[_Task, Ended]] = deque()
        running: dict[int, tuple[_Task, Ended | None]] = {}

        def start() -> None:
            judges = sum(answer is not None for _, answer in running.values())
            while len(running) < self._workers:
                if judging and not judges:
                    task, answer = judging.popleft()
                    request = self._request(task, "judge", answer=str(answer.folder), cache=self._cache)
                    running[self._executors.submit(request, _JUDGE_LIMIT_S)] = (task, answer)
                    judges += 1
                elif memory:
                    self._submit(running, memory.popleft(), "memory")
                elif (task := self._next(waiting)) is not None:
                    if task.take("quality"):
                        self._submit(running, task, "quality")
                    elif task.take("memory"):
                        memory.append(task)
                else:
                    return

        start()
        while running:
            for ended in self._executors.wait():
                task, answer = running.pop(ended.number)
                if ended.request.part == "quality":
                    if ended.result["outcome"] == Outcome.OK.word:
                        judging.append((task, ended))
                        if task.take("memory"):
                            memory.append(task)
                        continue
                    self._store(task, "quality", ended)
                elif ended.request.part == "judge":
                    self._store(task, "quality", replace(answer, result=judged(answer.result, ended.result)))
                    self._executors.forget(answer.folder)
                else:
                    self._store(task, "memory", ended)
                self._executors.forget(ended.folder)
            start()

    def time(self) -> None:
        """Timing rounds, one at a time, on a machine that does nothing else for us."""
        rounds = [
            (task.cell, part.round)
            for task in self._tasks.values()
            for part in task.missing
            if part.name == "timing" and part.round is not None
        ]
        for cell, number in timing_order(rounds, self._plan.suite.name):
            task = self._tasks[cell.id]
            if not _worth_timing(task.record):
                continue  # An earlier round settled it, and took this one from the meter.
            quality = task.record.parts.quality
            request = self._request(
                task,
                "timing",
                repeats=self._budget.repeats,
                round=number,
                fingerprints=(quality.model_extra or {}).get("fingerprints", {}),
            )
            self._executors.submit(request, self._budget.timeout_s)
            self._tell_start(task, "timing", number)
            (ended,) = self._executors.wait()
            task.missing = [part for part in task.missing if part.round != number]
            # A round that died before it could say which one it was is still that round.
            self._store(task, "timing", replace(ended, result={"round": number} | ended.result))
            self._executors.forget(ended.folder)

    def summary(self) -> RunSummary:
        """How it went, over all cells of the plan."""
        records = [self._records[planned.cell.id] for planned in self._plan.cells]
        return RunSummary(
            cells=len(records),
            outcomes=dict(Counter(record.outcome for record in records)),
            measured=self._meter.measured,
            seconds=self._meter.elapsed_s,
            overhead_s=statistics.median(self._overheads_s) if self._overheads_s else None,
            failures=[
                (planned.cell, record.outcome, record.reason)
                for planned, record in zip(self._plan.cells, records, strict=True)
                if record.outcome is not Outcome.OK
            ],
        )

    def _blank(self, planned: PlannedCell) -> Record:
        identity = self._identities[planned.cell.id]
        return Record(
            cell_id=planned.cell.id,
            cell=planned.cell.to_json(),
            suite=self._plan.suite.name,
            experiments=planned.experiments,
            freshness=identity.freshness,
            machine_id=self._machine.id,
            versions=identity.versions,
        )

    def _request(self, task: _Task, part: str, **more: Any) -> Request:
        return Request(
            part=part,
            cell=task.cell,
            prefixes=task.identity.prefixes,
            local_files=task.identity.local_files,
            memory_bytes=None if part == "judge" else self._budget.memory_bytes,
            **more,
        )

    def _submit(self, running: dict[int, tuple[_Task, Ended | None]], task: _Task, part: str) -> None:
        number = self._executors.submit(self._request(task, part), self._budget.timeout_s)
        running[number] = (task, None)
        self._tell_start(task, part)

    def _tell_start(self, task: _Task, part: str, number: int | None = None) -> None:
        self._on_event(PartStarted(cell=task.cell, part=part, round=number, progress=self._meter.progress()))

    def _next(self, waiting: deque[_Task]) -> _Task | None:
        """The next cell that may start; one that needs a cell which failed is settled as blocked, one whose needs are still at
        work waits."""
        for _ in range(len(waiting)):
            task = waiting.popleft()
            needs = {need: self._records.get(need) for need in task.cell.needs}
            lost = next(
                (need for need, record in needs.items() if record is None or record.outcome is not Outcome.OK), None
            )
            if lost is not None:
                self._block(task, lost)
            elif any(need in self._tasks and self._tasks[need].record.parts.quality is None for need in needs):
                waiting.append(task)
            else:
                return task
        return None

    def _block(self, task: _Task, need: str) -> None:
        record = self._records.get(need)
        why = "which is not in the plan" if record is None else f"which ended as {record.outcome.word}"
        self._records[task.cell.id] = self._writer.settle(
            self._blank(task.planned), Outcome.BLOCKED, f"It needs the cell {need}, {why}."
        )
        for part in task.missing:
            self._meter.drop(part.name)
        task.missing = []

    def _store(self, task: _Task, part: str, ended: Ended) -> None:
        result, began = ended.result, time.monotonic()
        task.record = self._writer.put_part(task.cell.id, part, result | {"seconds": ended.seconds})
        if "work_s" in result:
            self._overheads_s.append(ended.waited_s - result["work_s"] + time.monotonic() - began)
        self._records[task.cell.id] = task.record
        self._meter.finish(part, ended.seconds)
        outcome = Outcome.from_word(result["outcome"])
        if outcome is not Outcome.OK and part != "memory":
            # What diverges or crashes is not worth timing.
            for left in task.missing:
                self._meter.drop(left.name)
            task.missing = []
        self._on_event(
            PartFinished(
                cell=task.cell,
                part=part,
                round=result.get("round") if part == "timing" else None,
                outcome=outcome,
                reason=result.get("reason"),
                seconds=ended.seconds,
                progress=self._meter.progress(),
            )
        )


def judged(quality: dict[str, Any], judgement: dict[str, Any]) -> dict[str, Any]:
    """The quality part with what the judge found; a judge that failed makes it a failure, and its counts are kept."""
    values = quality.get("values", {}) | judgement.get("values", {})
    reasons = quality.get("reasons", {}) | judgement.get("reasons", {})
    merged = quality | {"values": values, "reasons": reasons}
    if judgement["outcome"] == Outcome.OK.word:
        return merged
    reason = f"Its answer could not be judged: {judgement.get('reason')}"
    return merged | {
        "outcome": judgement["outcome"],
        "reason": reason,
        "traceback": judgement.get("traceback"),
    }


def _worth_timing(record: Record) -> bool:
    quality, timing = record.parts.quality, record.parts.timing
    if quality is None or quality.outcome is not Outcome.OK:
        return False
    return timing is None or all(one.outcome is Outcome.OK for one in timing.rounds)
