"""Writing results: only under the lock, each file all or nothing, nothing measured ever thrown away."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from odebench.errors import RecordError
from odebench.outcome import Outcome
from odebench.records.atomic import flush_folder, remove_temporaries, write_atomic
from odebench.records.clean import clean_part, storable
from odebench.records.folder import OtherInterpreter, ResultFolder, Run, SuiteText
from odebench.records.lock import FolderLock
from odebench.records.machine import Machine
from odebench.records.record import Part, Parts, Record, Round
from odebench.records.scrub import Scrubber
from odebench.records.series import series_content

#: What a folder of results may hold besides `run.json`; a folder with anything else and no `run.json` is somebody's.
_OURS = {
    "cells",
    "machines",
    "series",
    "history",
    "corrupt",
    "locks",
    "logs",
    "artifacts",
    "report",
    "records.parquet",
    "records.csv",
}


class ResultWriter:
    """The one writer of a folder of results on this machine, from `with` to its end.

    Entering makes the folder or checks whose it is, takes the lock, and removes what killed runs left half written.

    Args:
        path: the folder.
        machine: this machine.
        scrub: takes secrets out of texts; None makes one for this process.

    Raises:
        RecordError: on entering, if another run writes there, or the folder is not one of results.
    """

    def __init__(self, path: Path | str, machine: Machine, scrub: Callable[[str], str] | None = None) -> None:
        self.folder = ResultFolder(path)
        self.machine = machine
        self._id = machine.id
        self._scrub = scrub or Scrubber()
        self._lock = FolderLock(self.folder.path, self._id)
        self._begun: dict[str, Record] = {}

    def __enter__(self) -> Self:
        self._refuse_foreign()
        self._lock.acquire()
        try:
            for folder in (self.folder.path, *self._written_folders()):
                folder.mkdir(exist_ok=True)
                remove_temporaries(folder, self._id)
            self._write(self.folder.machines / f"{self._id}.json", self.machine.to_json())
        except OSError as error:
            self._lock.release()
            raise RecordError(
                f"{error.filename}: {error.strerror}. Choose a folder that you may write, with --into."
            ) from error
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._lock.release()

    def begin_run(
        self,
        suite: str,
        text: str,
        sha256: str,
        *,
        budget_name: str | None = None,
        overrides: Sequence[str] = (),
        plugins: Mapping[str, str] | None = None,
        cells: Iterable[str] = (),
        interpreters: Iterable[Mapping[str, Any]] = (),
    ) -> Run:
        """Write `run.json`. An edited suite of the same name may go on in its folder, since cells are told apart by their content; each
        text that ever ran is kept.

        Args:
            suite, text, sha256: the suite's name, its file, and the hash of that.
            budget_name, overrides: how it was adjusted.
            plugins: versions by distribution.
            cells: ids of the plan.
            interpreters: the other interpreters that take part, each as the fields of `folder.OtherInterpreter`.

        Raises:
            RecordError: the folder belongs to a suite of another name.
        """
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        before = self.folder.read_run() if self.folder.run_file.exists() else None
        if before is not None and before.suite != suite:
            raise RecordError(
                f"{self.folder.path}: these are results of the suite {before.suite!r}, not of {suite!r}. Choose another folder with "
                f"--into, or rename the suite."
            )
        history = () if before is None else before.history
        if sha256 not in {old.sha256 for old in history}:
            history = (*history, SuiteText(text=text, sha256=sha256, first_used=now))
        run = Run(
            suite=suite,
            text=text,
            sha256=sha256,
            budget_name=budget_name,
            overrides=tuple(overrides),
            plugins=dict(plugins or {}),
            cells=tuple(cells),
            created=now if before is None else before.created,
            updated=now,
            history=history,
            interpreters=tuple(OtherInterpreter(**storable(dict(one), self._scrub)) for one in interpreters),
        )
        # A run that has none is readable by earlier versions.
        none = set() if run.interpreters else {"interpreters"}
        self._write(self.folder.run_file, run.model_dump(mode="json", by_alias=True, exclude=none))
        return run

    def begin(self, record: Record, *, force: bool = False) -> Record:
        """Say that parts of `record` are about to come, and what of it is there already.

        Args:
            record: identity and versions, with no parts.
            force: measure anew what is fresh.

        Returns:
            The stored record where it has the same freshness, with `record`'s suite and experiments; otherwise `record` itself, and what
            was stored is moved to the history, or aside if it is broken. Nothing is written before the first part comes.

        Raises:
            RecordError: the record is of another machine.
        """
        if record.machine_id != self._id:
            raise RecordError(
                f"cell {record.cell_id} is of machine {record.machine_id}, and this is {self._id}. Records stay with their machine."
            )
        stored = self._stored(record.cell_id)
        if stored is not None and stored.freshness == record.freshness and not force:
            asked = {"suite": record.suite, "experiments": record.experiments, "cell": record.cell}
            current = stored.model_copy(update=asked)
            if current != stored:
                self._write(self._file(record.cell_id), current.to_json())
        else:
            if stored is not None:
                self._retire(stored)
            current = record
        self._begun[record.cell_id] = current
        return current

    def put_part(self, cell_id: str, name: str, part: Part | Round | Mapping[str, Any]) -> Record:
        """Merge a finished part, or one timing round, into the record of a cell that was begun.

        Args:
            cell_id: which cell.
            name: "quality", "memory" or "timing".
            part: typed, or JSON values as a worker sent them; cleaned either way.

        Returns:
            The record as it is stored now, with its outcome.

        Raises:
            RecordError: the cell was not begun, the part is none, or the disk refuses; what was stored before is untouched.
        """
        before = self._begun.get(cell_id)
        if before is None:
            raise RecordError(
                f"cell {cell_id}: a part came before the cell was begun. This is a bug of whoever runs it: call `begin`."
            )
        record = before.with_part(name, clean_part(name, part, self._scrub))
        self._write(self._file(cell_id), record.to_json())
        self._begun[cell_id] = record
        return record

    def put_series(self, cell_id: str, columns: Mapping[str, Sequence[Any]]) -> None:
        """Store long columns of a cell that was begun, before its part: a kill in between leaves the part to be measured again.

        Args:
            cell_id: which cell.
            columns: equally long arrays or lists of numbers, flags or texts, by name; what was stored is replaced. None at all
                stores nothing.

        Raises:
            RecordError: the cell was not begun, the columns are no series, or the disk refuses; what was stored before is untouched.
        """
        begun = self._begun.get(cell_id)
        if begun is None:
            raise RecordError(
                f"cell {cell_id}: a series came before the cell was begun. This is a bug of whoever runs it: call `begin`."
            )
        if not columns:
            return
        content = series_content(cell_id, self._id, begun.freshness, columns, self._scrub)
        self._write_bytes(self.folder.series_file(cell_id, self._id), content)

    def settle(self, record: Record, outcome: Outcome, reason: str, traceback: str | None = None) -> Record:
        """Store that a cell cannot be measured: `UNSUPPORTED`, `BLOCKED`, or an `ERROR` of its plugin.

        What was measured before goes to the history; an equal record is not written again.

        Raises:
            RecordError: as `begin` and `put_part`.
        """
        texts = storable({"reason": reason, "traceback": traceback}, self._scrub)
        settled = record.settled_by(Parts()).model_copy(update={"outcome": outcome, **texts})
        before = self.begin(record)
        if before.parts != Parts():
            before = self.begin(record, force=True)
        if before != settled:
            self._write(self._file(record.cell_id), settled.to_json())
        self._begun[record.cell_id] = settled
        return settled

    def _stored(self, cell_id: str) -> Record | None:
        """The readable record of a cell; a broken one is moved to corrupt/, to be looked at, and its cell measured again."""
        found = self.folder.read_record(cell_id, self._id)
        if found is None or isinstance(found, Record):
            return found
        self._move(found.file, self.folder.corrupt / found.file.name)
        return None

    def _retire(self, record: Record) -> None:
        name = f"{record.cell_id}.{record.machine_id}.{record.freshness}"
        self._move(self._file(record.cell_id), self.folder.history / f"{name}.json")
        series = self.folder.series_file(record.cell_id, self._id)
        if series.exists():
            self._move(series, self.folder.history / f"{name}.parquet")

    def _move(self, file: Path, to: Path) -> None:
        """Rename, never over another file: the same freshness may be measured again by force."""
        number, free = 1, to
        while free.exists():
            number += 1
            free = to.with_name(f"{to.stem}.{number}{to.suffix}")
        try:
            os.replace(file, free)
            flush_folder(free.parent)
            flush_folder(file.parent)
        except OSError as error:
            raise RecordError(
                f"{file}: could not be moved to {free}: {error.strerror}. Check the disk and run again."
            ) from error

    def _write(self, file: Path, data: dict[str, Any]) -> None:
        text = json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        self._write_bytes(file, text.encode())

    def _write_bytes(self, file: Path, content: bytes) -> None:
        if not self._lock.held:
            raise RecordError(
                f"{file}: written without the folder's lock. This is a bug of whoever runs it: use `with ResultWriter(…)`."
            )
        write_atomic(file, content, self._id)

    def _file(self, cell_id: str) -> Path:
        return self.folder.cell_file(cell_id, self._id)

    def _written_folders(self) -> tuple[Path, ...]:
        folder = self.folder
        return (folder.cells, folder.machines, folder.series, folder.history, folder.corrupt, folder.logs)

    def _refuse_foreign(self) -> None:
        """Somebody's documents are not turned into a folder of results by a slip of the keyboard."""
        path = self.folder.path
        if path.exists() and not path.is_dir():
            raise RecordError(f"{path}: is a file, and results need a folder. Choose another one with --into.")
        if path.is_dir() and not self.folder.run_file.exists():
            strangers = sorted(
                item.name for item in path.iterdir() if item.name not in _OURS and not item.name.startswith(".")
            )
            if strangers:
                raise RecordError(
                    f"{path}: is not empty and holds no results, but {', '.join(strangers[:3])}. Choose a new folder with --into."
                )
