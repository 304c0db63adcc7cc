"""What a command says in another interpreter, where the plugin that it is about lives."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from odebench.errors import InterpreterError

#: Characters of what the command said that stand in a message, from its end.
_SHOWN = 1500
_LIMIT_S = 600.0


def said_there(path: str, *words: str, local_files: tuple[Path, ...] = ()) -> Any:
    """What `odebench WORDS --json` says in the interpreter at `path`.

    Raises:
        InterpreterError: it fails there; the message is what it said.
    """
    from odebench.interpreters.interpreter import foreign_variables

    plugins = [part for file in local_files for part in ("--plugin", str(file.resolve()))]
    command = [path, "-m", "odebench", *words, *plugins, "--json"]
    with tempfile.TemporaryDirectory(prefix="odebench-") as folder:  # Where nothing can be taken for a module.
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=_LIMIT_S, env=foreign_variables(), cwd=folder, check=False
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise InterpreterError(
                f"interpreter {path}: `odebench {' '.join(words)}` took over {_LIMIT_S:g} s."
            ) from error
    try:
        return json.loads(done.stdout)
    except ValueError as error:
        said = (done.stderr or done.stdout).strip()[-_SHOWN:]
        raise InterpreterError(f"interpreter {path}: `odebench {' '.join(words)}` failed there: {said}") from error
