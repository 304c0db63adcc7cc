"""What crosses to a child and back: JSON."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from odebench.plan.cell import Cell

REQUEST_FILE = "request.json"
RESULT_FILE = "result.json"
PROGRESS_FILE = "progress.json"
#: Folder below a part's own in which the child stands: what it deletes around itself is nobody's.
WORK_FOLDER = "work"


@dataclass(frozen=True, kw_only=True)
class Request:
    """One part of one cell, to be done by a fresh process.

    Attributes:
        part: "quality", "memory", "timing" or "judge".
        cell: the question.
        prefixes: entry points of the installed plugins that the cell uses.
        local_files: local plugin files.
        memory_bytes: what it may allocate; None sets no limit.
        repeats: timed calls of a timing round.
        round: number of the timing round.
        fingerprints: of the answers that timing must give, from the quality part.
        answer: folder in which quality left its answer, for the judge.
        cache: folder for what is known about problems, for the judge.
        artefact: folder for what a study leaves; None for a part that is none.
        needed: folders of what the cells left that this one needs.
        interpreter: path of another interpreter in which it is to be done; None for the launcher's own.
    """

    part: str
    cell: Cell
    prefixes: tuple[str, ...] = ()
    local_files: tuple[str, ...] = ()
    memory_bytes: int | None = None
    repeats: int = 1
    round: int = 0
    fingerprints: dict[str, Any] = field(default_factory=dict)
    answer: str | None = None
    cache: str | None = None
    artefact: str | None = None
    needed: tuple[str, ...] = ()
    interpreter: str | None = None

    def write(self, folder: Path) -> None:
        """Lay the request in the part's folder."""
        data = asdict(self) | {"cell": self.cell.to_json()}
        (folder / WORK_FOLDER).mkdir(parents=True)
        (folder / REQUEST_FILE).write_text(json.dumps(data), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Request:
        """The request that `write` laid in `folder`."""
        data = json.loads((folder / REQUEST_FILE).read_text(encoding="utf-8"))
        data["cell"] = Cell.from_json(data["cell"])
        for name in ("prefixes", "local_files", "needed"):
            data[name] = tuple(data[name])
        return cls(**data)


def write_result(folder: Path, result: dict[str, Any]) -> None:
    """Lay a part's result in its folder, whole or not at all; numbers that are not finite stay, as Python's JSON has them."""
    _write(folder / RESULT_FILE, result)


def write_progress(folder: Path, progress: dict[str, Any]) -> None:
    """Lay in a part's folder how far it is: `done`, `total`, `loss`."""
    _write(folder / PROGRESS_FILE, progress)


def read_progress(folder: Path) -> dict[str, Any] | None:
    """What `write_progress` laid there last; None where nothing is, or nothing that can be read."""
    try:
        progress = json.loads((folder / PROGRESS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return progress if isinstance(progress, dict) and {"done", "total", "loss"} <= progress.keys() else None


def _write(file: Path, data: dict[str, Any]) -> None:
    temporary = file.with_name(f"{file.name}.tmp")
    temporary.write_text(json.dumps(data), encoding="utf-8")
    os.replace(temporary, file)
