"""Answers of other interpreters, kept on disk as long as nothing changed there that they could depend on."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from odebench.interpreters.interpreter import Interpreter
from odebench.run.reference_cache import cache_folder

_SCHEMA = 1
#: So many files are kept, each of one state of one environment; the oldest go first.
_MOST_FILES = 64
#: What a plugin tells of the machine, which may be otherwise tomorrow: an answer that has one of them filled is not kept.
_OF_TODAY = ("unavailable", "used_code")


class KeptAnswers:
    """The answers of one state of an interpreter with some plugins. A file that cannot be read or written is none.

    Only answers are kept: what raised, or did not load, is asked again each time, so that what was repaired is seen at once.

    Args:
        interpreter: whose; its `state` changes with every distribution, and with every file of plugins and of odebench.
        prefixes: plugins that are loaded there.
        local_files: local plugin files that are loaded there.
        folder: where; None takes `interpreters` beside the user's references.
    """

    def __init__(
        self, interpreter: Interpreter, prefixes: Sequence[str], local_files: Sequence[str], folder: Path | None = None
    ) -> None:
        folder = cache_folder().parent / "interpreters" if folder is None else folder
        # What plugins read when they are loaded may be named by a variable.
        variables = {name: value for name, value in os.environ.items() if name.startswith(("ODEBENCH_", "PYTHON"))}
        about = {
            "schema": _SCHEMA,
            "prefix": interpreter.prefix,
            "python": interpreter.python,
            "versions": dict(interpreter.versions),
            "state": interpreter.state,
            "plugins": list(prefixes),
            "files": [[name, _hash_of(Path(name))] for name in local_files],
            "variables": variables,
        }
        self._about = json.dumps(about, sort_keys=True)
        self._file = folder / f"{hashlib.sha256(self._about.encode()).hexdigest()[:32]}.json"
        self._found: dict[str, Any] | None = None
        self._changed = False

    def get(self, question: Mapping[str, Any]) -> Any:
        """The kept answer; None where there is none, since no answer is None."""
        return self._answers().get(_key(question))

    def keep(self, question: Mapping[str, Any], answer: Any) -> None:
        """Keep an answer for the next time, unless it tells of a fault or of the day."""
        if isinstance(answer, dict) and (answer.get("failures") or any(answer.get(name) for name in _OF_TODAY)):
            return
        self._answers()[_key(question)] = answer
        self._changed = True

    def write(self) -> None:
        """Write what is new, whole or not at all."""
        if not self._changed:
            return
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=self._file.parent, suffix=".tmp")
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as stream:
                    json.dump({"about": self._about, "answers": self._answers()}, stream)
                os.replace(temporary, self._file)
            except BaseException:
                os.unlink(temporary)
                raise
            self._changed = False
            _forget_old(self._file.parent)

    def _answers(self) -> dict[str, Any]:
        if self._found is None:
            try:
                data = json.loads(self._file.read_text(encoding="utf-8"))
                self._found = dict(data["answers"]) if data["about"] == self._about else {}
            except (OSError, ValueError, KeyError, TypeError):
                self._found = {}
        return self._found


def _key(question: Mapping[str, Any]) -> str:
    return json.dumps(question, sort_keys=True)


def _hash_of(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        return ""


def _forget_old(folder: Path) -> None:
    files = sorted(folder.glob("*.json"), key=lambda file: file.stat().st_mtime)
    for file in files[:-_MOST_FILES]:
        file.unlink(missing_ok=True)
