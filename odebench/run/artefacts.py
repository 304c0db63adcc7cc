"""What studies leave, such as the weights of a training: kept beside the folders of results, for every suite and every later run.

```
results/<suite>/                                            a folder of results
results/artifacts/<cell>/<machine>.<freshness>/             what one study leaves
    result.json                                             its finished part, and the sizes and hashes of its files
    series.npz, weights.pt, …                               whatever it wrote
    checkpoint…                                             of one that is not finished
results/artifacts/locks/<cell>.<machine>.<freshness>.lock   held by the run that is at it
```

The name holds all that could change the answer, so whatever lies there is the answer, whoever asks.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from odebench.outcome import Outcome
from odebench.records.atomic import write_atomic
from odebench.records.lock import FolderLock, InUseError
from odebench.records.record import Part

FINISHED_FILE = "result.json"
#: Beginnings of names that are no part of what a study leaves: of one that is under way, and of what was put aside.
UNDER_WAY, _ASIDE = "checkpoint", "broken-"
_SCHEMA = 1


class Artefacts:
    """All artefacts that the runs into one place share.

    Args:
        results: a folder of results; the artefacts lie beside it.
        machine_id: this machine.
    """

    def __init__(self, results: Path | str, machine_id: str) -> None:
        self.path = Path(results).resolve().parent / "artifacts"
        self._machine_id = machine_id

    def of(self, cell_id: str, freshness: str) -> Artefact:
        """What the study of a cell leaves, or will leave."""
        return Artefact(self.path, cell_id, f"{self._machine_id}.{freshness}")


class Artefact:
    """One folder of what a study leaves. Nothing is made before it is claimed."""

    def __init__(self, path: Path, cell_id: str, version: str) -> None:
        self.folder = path / cell_id / version
        self._lock = FolderLock(path, f"{cell_id}.{version}")

    def claim(self) -> str | None:
        """Be the only run that writes here, until `release` or the end of this process, and make the folder.

        Returns:
            None, or who has it: " (process … on …, since …)", empty where that is not known.

        Raises:
            RecordError: the folder cannot be made, or the disk has no locks.
        """
        if self._lock.held:
            return None
        try:
            self._lock.acquire()
        except InUseError as error:
            return error.holder
        self.folder.mkdir(parents=True, exist_ok=True)
        return None

    def release(self) -> None:
        """Let others in."""
        self._lock.release()

    def finished(self) -> dict[str, Any] | None:
        """The part of a finished study all of whose files are what they were; None otherwise."""
        told = self._told()
        return None if told is None or any(self._broken(told)) else told["part"]

    def put_aside_broken(self) -> list[str]:
        """Where a study is finished and its files are not what they were, rename those, so that it is done again.

        Only for whoever has claimed it.

        Returns:
            What was wrong, as sentences.
        """
        told = self._told()
        found = [] if told is None else list(self._broken(told))
        for file in (self.folder / name for name, _ in found):
            if file.exists():
                os.replace(file, file.with_name(_ASIDE + file.name))
        if found:
            (self.folder / FINISHED_FILE).unlink(missing_ok=True)
        return [f"{self.folder / name}: {fault}, and was put aside. The study is done again." for name, fault in found]

    def discard(self) -> None:
        """Have the study begin anew. What others may be reading stays until it is replaced."""
        for file in (self.folder / FINISHED_FILE, *self.folder.glob(f"{UNDER_WAY}*")):
            file.unlink(missing_ok=True)

    def finish(self, part: Part) -> None:
        """Say that a study ended well: its part is kept, and what it needed only while it was under way is removed.

        Raises:
            RecordError: the disk refuses.
        """
        files = {}
        for file in sorted(self.folder.iterdir()):
            if file.is_file() and not file.name.startswith((".", UNDER_WAY, _ASIDE)) and file.name != FINISHED_FILE:
                files[file.name] = {"bytes": file.stat().st_size, "sha256": _sha256(file)}
        data = {"schema": _SCHEMA, "part": part.model_dump(mode="json"), "files": files}
        text = json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        write_atomic(self.folder / FINISHED_FILE, text.encode(), "run")
        for file in self.folder.glob(f"{UNDER_WAY}*"):
            file.unlink(missing_ok=True)

    def series(self) -> dict[str, Any] | None:
        """The long columns that the study left, as numpy arrays by name; None where it left none that can be read."""
        # numpy and torch are imported where they are used.
        from odebench.run.columns import read_series

        return read_series(self.folder)

    def _told(self) -> dict[str, Any] | None:
        try:
            told = json.loads((self.folder / FINISHED_FILE).read_text(encoding="utf-8"))
            if (
                told["schema"] == _SCHEMA
                and told["part"]["outcome"] == Outcome.OK.word
                and isinstance(told["files"], dict)
            ):
                return told
        except (OSError, ValueError, KeyError, TypeError):
            pass
        return None

    def _broken(self, told: dict[str, Any]) -> Iterator[tuple[str, str]]:
        """Names of files that are not what they were, and what is wrong with them."""
        for name, facts in told["files"].items():
            file = self.folder / name
            try:
                size = file.stat().st_size
                if size != facts["bytes"]:
                    yield name, f"it has {size} bytes instead of {facts['bytes']}"
                elif _sha256(file) != facts["sha256"]:
                    yield name, "it is not what the study wrote"
            except FileNotFoundError:
                yield name, "it is missing"


def _sha256(file: Path) -> str:
    with open(file, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
