"""A folder of results, to be read: needs no lock, never writes, and loses nothing to a file that is broken."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError

from odebench.errors import RecordError
from odebench.records.record import Names, Record, Stored, as_tuple

#: The schema of `run.json` that is written.
RUN_SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class RecordFault:
    """A file that should be a record and is none.

    Attributes:
        file: which.
        reason: what is wrong with it, and what to do, as a sentence.
    """

    file: Path
    reason: str


class SuiteText(Stored):
    """A suite as it was when it ran.

    Attributes:
        text: the file; `sha256` hashes it.
        first_used: when a run with it first began here, ISO 8601 in UTC.
    """

    text: str
    sha256: str
    first_used: str


class OtherInterpreter(Stored):
    """Where plugins live that do not live where the suite was run.

    Attributes:
        path: of the interpreter.
        python: its version, "CPython 3.12.1".
        plugins: names of their entry points.
        versions: of odebench, torch, the plugins' distributions and what those require, as they are there.
    """

    path: str
    python: str
    plugins: Names = ()
    versions: dict[str, str] = Field(default_factory=dict)


class Run(Stored):
    """`run.json`: whose folder it is and what ran last.

    Attributes:
        schema_version: stored as `schema`.
        suite: the suite's name, which owns the folder.
        text, sha256: the suite as it ran last.
        budget_name, overrides: how it was adjusted, as the user wrote it.
        plugins: versions by distribution.
        cells: ids that the last plan held; records of others are from earlier versions of the suite.
        created, updated: when the folder was made and the last run began, ISO 8601 in UTC.
        history: every text that ran here, the first first, the last one included.
        interpreters: where plugins of the last plan live, if not where it was run.
    """

    schema_version: Annotated[int, Field(alias="schema")] = RUN_SCHEMA
    suite: str
    text: str
    sha256: str
    budget_name: str | None = None
    overrides: Names = ()
    plugins: dict[str, str] = Field(default_factory=dict)
    cells: Names = ()
    created: str
    updated: str
    history: Annotated[tuple[SuiteText, ...], BeforeValidator(as_tuple)] = ()
    interpreters: Annotated[tuple[OtherInterpreter, ...], BeforeValidator(as_tuple)] = ()


class ResultFolder:
    """The files of a folder of results.

    ```
    run.json                              whose folder it is
    machines/<machine>.json               where it was measured
    cells/<cell>.<machine>.json           the records: the source of truth
    series/<cell>.<machine>.parquet       long columns of those cells that give some
    history/<cell>.<machine>.<freshness>.json   records that were measured again since, and their series
    corrupt/                              files that could not be read, moved aside by the next run
    locks/  logs/                         of runs
    ```
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.run_file = self.path / "run.json"
        self.cells = self.path / "cells"
        self.machines = self.path / "machines"
        self.series = self.path / "series"
        self.history = self.path / "history"
        self.corrupt = self.path / "corrupt"
        self.logs = self.path / "logs"

    def read_run(self) -> Run:
        """Whose folder it is.

        Raises:
            RecordError: it is no folder of results, or `run.json` cannot be read.
        """
        try:
            data = json.loads(self.run_file.read_bytes())
        except FileNotFoundError as error:
            raise RecordError(
                f"{self.path}: no results here, for there is no run.json. `odebench run` makes a folder of results."
            ) from error
        except (OSError, ValueError) as error:
            raise RecordError(
                f"{self.run_file}: cannot be read: {error}. Delete it: the next run writes it again."
            ) from error
        schema = data.get("schema") if isinstance(data, dict) else None
        if isinstance(schema, int) and schema > RUN_SCHEMA:
            raise RecordError(
                f"{self.run_file}: its schema is {schema}, and this odebench reads up to {RUN_SCHEMA}. Install a newer odebench."
            )
        try:
            return Run.model_validate(data)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise RecordError(
                f"{self.run_file}: `{where}`: {first['msg']}. Delete it: the next run writes it again."
            ) from None

    def read_machines(self) -> dict[str, dict[str, Any]]:
        """Facts of each machine by id; files that cannot be read are left out, as all they hold is description."""
        found = {}
        for file in sorted(self.machines.glob("*.json")):
            try:
                facts = json.loads(file.read_bytes())
            except (OSError, ValueError):
                continue
            if isinstance(facts, dict):
                found[file.stem] = facts
        return found

    def cell_file(self, cell_id: str, machine_id: str) -> Path:
        """Where the record of a cell on a machine lies."""
        return self.cells / f"{cell_id}.{machine_id}.json"

    def series_file(self, cell_id: str, machine_id: str) -> Path:
        """Where the series of a cell on a machine lies, if it gave one."""
        return self.series / f"{cell_id}.{machine_id}.parquet"

    def read_record(self, cell_id: str, machine_id: str) -> Record | RecordFault | None:
        """The record of a cell on a machine; a fault where its file is broken, None where there is none."""
        file = self.cell_file(cell_id, machine_id)
        return read_record_file(file) if file.exists() else None

    def iter_records(self, *, history: bool = False) -> Iterator[Record | RecordFault]:
        """Every record, or with `history` every one that was measured again since; in the order of the file names.

        A file that is no record gives a `RecordFault` in its place.
        """
        for file in sorted((self.history if history else self.cells).glob("[!.]*.json")):
            yield read_record_file(file)


def read_record_file(file: Path) -> Record | RecordFault:
    """The record in `file`, or what is wrong with it."""
    again = "`odebench run` measures its cell again and moves it to corrupt/"
    try:
        content = file.read_bytes()
    except OSError as error:
        return RecordFault(
            file=file, reason=f"It cannot be read ({error.strerror}): check its permissions and the disk."
        )
    try:
        record = Record.from_json(json.loads(content))
    except ValueError as error:
        what = "is empty" if not content else f"is not JSON ({error})"
        return RecordFault(file=file, reason=f"It {what}: it was cut short or edited. {again}.")
    except RecordError as error:
        return RecordFault(file=file, reason=f"It cannot be used: {error}. {again}.")
    if not file.name.startswith(f"{record.cell_id}.{record.machine_id}."):
        return RecordFault(
            file=file,
            reason=f"It holds cell {record.cell_id} of machine {record.machine_id}: it was renamed. Give it back that name, or delete it.",
        )
    return record
