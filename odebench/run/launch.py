"""The launcher: runs what is missing of a plan, and stores each part as it ends."""

from __future__ import annotations

import statistics
import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odebench.errors import RecordError
from odebench.outcome import Outcome
from odebench.plan.cell import Cell
from odebench.plan.plan import Plan, PlannedCell
from odebench.records import Machine, Record, ResultWriter, describe_machine, missing_parts
from odebench.run.devices import accelerator_names
from odebench.run.events import Event, Notice, PartFinished, PartStarted, RunStarted, RunSummary
from odebench.run.executors import Ended, Executors
from odebench.run.identity import Identity, environments_of, identities_of
from odebench.run.schedule import parts_at_once, timing_order
from odebench.run.studies import Studies
from odebench.run.watch import LOOK_EVERY_S, Watch
from odebench.run.work import Queue, Work, meter_of

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
        identities = identities_of((planned.cell for planned in plan.cells), registry)
        here = [one for one in identities.values() if one.interpreter is None]
        versions = {name: version for one in here for name, version in one.versions.items()}
        writer.begin_run(
            suite.name,
            suite.text,
            suite.sha256,
            budget_name=suite.budget_name,
            overrides=suite.overrides,
            plugins=versions,
            cells=[planned.cell.id for planned in plan.cells],
            interpreters=environments_of(identities[planned.cell.id] for planned in plan.runnable),
        )
        with (
            Executors(mode) if executors is None else nullcontext(executors) as at_work,
            Studies(registry, writer, machine, identities) as studies,
        ):
            run = _Run(plan, writer, at_work, studies, identities, machine, on_event, str(cache) if cache else None)
            run.begin(force)
            run.measure()
            run.time()
            return run.summary()


class _Run:
    def __init__(
        self,
        plan: Plan,
        writer: ResultWriter,
        executors: Executors,
        studies: Studies,
        identities: dict[str, Identity],
        machine: Machine,
        on_event: Callable[[Event], None],
        cache: str | None,
    ) -> None:
        self._plan, self._writer, self._executors, self._studies = plan, writer, executors, studies
        self._identities, self._machine, self._on_event, self._cache = identities, machine, on_event, cache
        self._budget = plan.suite.budget
        self._workers = parts_at_once()
        self._works: dict[str, Work] = {}
        self._records: dict[str, Record] = {}
        self._overheads_s: list[float] = []

    def begin(self, force: bool) -> None:
        """Settle what planning settled, and find out what is missing."""
        kept = 0
        for planned in self._plan.cells:
            if planned.outcome is not None:
                self._records[planned.cell.id] = self._writer.settle(
                    self._blank(planned), planned.outcome, planned.reason or ""
                )
                continue
            kept += not self._take_up(planned, force)
        for cell_id in self._studies.lost(self._works.values(), self._records):
            planned = next(planned for planned in self._plan.cells if planned.cell.id == cell_id)
            kept -= self._take_up(planned, force, again=True)
        self._meter = meter_of(self._works.values(), self._workers)
        self._watch = Watch(self._executors, self._meter, self._on_event)
        self._on_event(
            RunStarted(
                cells=len(self._plan.cells),
                kept=kept,
                settled=len(self._plan.settled),
                progress=self._meter.progress(),
            )
        )

    def _take_up(self, planned: PlannedCell, force: bool, again: bool = False) -> bool:
        """Begin the cell's record, `again` where what is recorded is of no use; says whether anything is missing that no other
        run left ready."""
        cell = planned.cell
        stored = self._stored(cell)
        again = again or self._studies.may_go_on(cell, stored) or (stored is not None and stored.curable)
        record = self._writer.begin(self._blank(planned), force=force or again)
        work = Work(
            planned=planned,
            identity=self._identities[cell.id],
            record=record,
            missing=list(missing_parts(record, self._budget.processes, planned.parts)),
            artefact=self._studies.artefact(cell),
            needed=self._studies.needed(cell),
        )
        if force and work.studies:
            work.artefact.discard()
        elif work.missing:
            self._studies.adopt(work)
        self._records[cell.id] = work.record
        if work.missing:
            self._works[cell.id] = work
        return bool(work.missing)

    def measure(self) -> None:
        """Quality and memory of all cells, several at once, and the judging of their answers."""
        waiting = Queue(work for work in self._works.values() if work.missing)
        memory: deque[Work] = deque()
        judging: deque[tuple[Work, Ended]] = deque()
        running: dict[int, tuple[Work, Ended | None]] = {}

        def start() -> None:
            judges = sum(answer is not None for _, answer in running.values())
            while True:
                few = sum(not work.studies for work, _ in running.values()) < self._workers
                if judging and not judges and few:
                    work, answer = judging.popleft()
                    request = work.request("judge", None, answer=str(answer.folder), cache=self._cache)
                    running[self._executors.submit(request, _JUDGE_LIMIT_S)] = (work, answer)
                    judges += 1
                elif memory and few:
                    self._submit(running, memory.popleft(), "memory")
                elif (work := waiting.next([work for work, _ in running.values()], self._may_start)) is not None:
                    if work.take("quality"):
                        self._submit(running, work, "quality")
                    elif work.take("memory"):
                        memory.append(work)
                else:
                    return

        start()
        while running or len(waiting):
            # What waits for another run, and what tells how far it is, is looked at now and then.
            for ended in self._executors.wait(LOOK_EVERY_S if len(self._watch) or not running else None):
                work, answer = running.pop(ended.number)
                self._watch.forget(ended.number)
                if ended.request.part == "quality" and not work.studies:
                    if ended.result["outcome"] == Outcome.OK.word:
                        judging.append((work, ended))
                        if work.take("memory"):
                            memory.append(work)
                        continue
                    self._store(work, "quality", ended)
                elif ended.request.part == "judge":
                    self._store(work, "quality", replace(answer, result=self._judged(work, answer, ended)))
                    self._executors.forget(answer.folder)
                else:
                    self._store(work, ended.request.part, ended)
                self._executors.forget(ended.folder)
            self._watch.look()
            start()

    def time(self) -> None:
        """Timing rounds, one at a time, on a machine that does nothing else for us."""
        rounds = [
            (work.cell, part.round)
            for work in self._works.values()
            for part in work.missing
            if part.name == "timing" and part.round is not None
        ]
        for cell, number in timing_order(rounds, self._plan.suite.name):
            work = self._works[cell.id]
            if not _worth_timing(work.record):
                continue  # An earlier round settled it, and took this one from the meter.
            quality = work.record.parts.quality
            request = work.request(
                "timing",
                self._budget.memory_bytes,
                repeats=self._budget.repeats,
                round=number,
                fingerprints=(quality.model_extra or {}).get("fingerprints", {}),
            )
            self._executors.submit(request, self._budget.timeout_s)
            self._tell_start(work, "timing", number)
            (ended,) = self._executors.wait()
            work.missing = [part for part in work.missing if part.round != number]
            # A round that died before it could say which one it was is still that round.
            self._store(work, "timing", replace(ended, result={"round": number} | ended.result))
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

    def _judged(self, work: Work, answer: Ended, judgement: Ended) -> dict[str, Any]:
        """The quality part with what the judge found; the long columns that it kept are stored before it."""
        found = judgement.result
        if found.get("series"):
            from odebench.run.columns import read_series

            try:
                self._writer.put_series(work.cell.id, read_series(judgement.folder) or {})
            except RecordError as error:
                found = found | {"outcome": Outcome.ERROR.word, "reason": str(error)}
        return judged(answer.result, found)

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

    def _stored(self, cell: Cell) -> Record | None:
        found = self._writer.folder.read_record(cell.id, self._machine.id)
        return found if isinstance(found, Record) else None

    def _submit(self, running: dict[int, tuple[Work, Ended | None]], work: Work, part: str) -> None:
        request = work.request(part, self._budget.memory_bytes)
        number = self._executors.submit(request, self._budget.timeout_s)
        running[number] = (work, None)
        self._watch.follow(number, work, part)
        self._tell_start(work, part)

    def _tell_start(self, work: Work, part: str, number: int | None = None) -> None:
        self._on_event(PartStarted(cell=work.cell, part=part, round=number, progress=self._meter.progress()))

    def _notice(self, text: str) -> None:
        self._on_event(Notice(text=text, progress=self._meter.progress()))

    def _may_start(self, work: Work) -> bool | None:
        """Whether a waiting cell may start; None where it is settled now, because what it needs failed, or another run did it."""
        needs = {need: self._records.get(need) for need in work.cell.needs}
        lost = next(
            (need for need, record in needs.items() if record is None or record.outcome is not Outcome.OK), None
        )
        if lost is not None:
            self._block(work, lost)
            return None
        if any(need in self._works and self._works[need].record.parts.quality is None for need in needs):
            return False
        if not work.studies:
            return True
        if not self._studies.claim(work, self._notice):
            return False
        if not self._studies.adopt(work):
            return True
        self._studies.release(work)
        self._records[work.cell.id] = work.record
        self._drop(work, "quality")
        self._tell_end(work, "quality", None, Outcome.OK, None, 0.0)
        return None

    def _block(self, work: Work, need: str) -> None:
        record = self._records.get(need)
        if record is None:
            why = f"It needs the cell {need}, which is not in the plan."
        else:
            why = f"It needs the cell {need}, which ended as {record.outcome.word.replace('_', ' ')}: {record.reason}"
        self._records[work.cell.id] = self._writer.settle(self._blank(work.planned), Outcome.BLOCKED, why)
        for part in work.missing:
            self._drop(work, part.name)
        work.missing = []

    def _drop(self, work: Work, part: str) -> None:
        self._meter.drop(work.kind(part), size=work.size(part))

    def _store(self, work: Work, part: str, ended: Ended) -> None:
        result, began = ended.result, time.monotonic()
        outcome = Outcome.from_word(result["outcome"])
        if work.studies:
            self._studies.store(work, result | {"seconds": ended.seconds}, self._notice)
        else:
            work.record = self._writer.put_part(work.cell.id, part, result | {"seconds": ended.seconds})
        if "work_s" in result:
            self._overheads_s.append(ended.waited_s - result["work_s"] + time.monotonic() - began)
        self._records[work.cell.id] = work.record
        self._meter.finish(work.kind(part), ended.seconds, work.size(part))
        if outcome is not Outcome.OK and part != "memory":
            # What diverges or crashes is not worth timing.
            for left in work.missing:
                self._drop(work, left.name)
            work.missing = []
        number = result.get("round") if part == "timing" else None
        self._tell_end(work, part, number, outcome, result.get("reason"), ended.seconds)

    def _tell_end(
        self, work: Work, part: str, number: int | None, outcome: Outcome, reason: str | None, seconds: float
    ) -> None:
        self._on_event(
            PartFinished(
                cell=work.cell,
                part=part,
                round=number,
                outcome=outcome,
                reason=reason,
                seconds=seconds,
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
