"""Asking the plugins of another interpreter: a short-lived child there, a line of JSON each way."""

from __future__ import annotations

import contextlib
import json
import selectors
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from odebench.errors import InterpreterError, PluginError
from odebench.interpreters.answers import KeptAnswers
from odebench.interpreters.interpreter import Interpreter, foreign_variables

#: Loading plugins, and each answer, may take so many seconds.
ANSWER_LIMIT_S = 120.0
#: The module that answers.
ANSWERING = "odebench.interpreters.answering"
#: Characters of what the child printed that stand in a message, from its end.
_SHOWN = 1500


class Asking:
    """Questions to the plugins of one interpreter; its child is started by the first one that no kept answer settles.

    Args:
        interpreter: where they live.
        prefixes: the plugins.
        local_files: local plugin files, for those that a plugin there is combined with.
        kept: answers of earlier times; None takes the user's cache.

    Attributes:
        fault: why the child could not answer, if it could not once. Whoever asks a plugin takes what is raised for the plugin's own
            fault, which this is not: look here afterwards.
    """

    def __init__(
        self,
        interpreter: Interpreter,
        prefixes: Sequence[str],
        local_files: Sequence[Path | str] = (),
        kept: KeptAnswers | None = None,
    ) -> None:
        self.interpreter, self.prefixes = interpreter, tuple(sorted(prefixes))
        self._files = [str(Path(file).resolve()) for file in local_files]
        self._kept = KeptAnswers(interpreter, self.prefixes, self._files) if kept is None else kept
        self._child: _Child | None = None
        self.fault: InterpreterError | None = None

    def expect(self, question: Mapping[str, Any]) -> None:
        """Start the child now, if it will be needed for this question: several start sooner side by side.

        Raises:
            InterpreterError: it does not start.
        """
        if self._child is None and self._kept.get(question) is None:
            self._child = _Child(self.interpreter, {"prefixes": self.prefixes, "local_files": self._files})

    def ask(self, question: Mapping[str, Any]) -> Any:
        """The answer.

        Raises:
            InterpreterError: the child does not start, hangs or dies.
            Exception: what the plugin raised, as near to it as can be had here: an `OdebenchError` where it was one, else an
                exception of the same name and text.
        """
        answer = self._kept.get(question)
        if answer is not None:
            return answer
        if self.fault is not None:
            raise self.fault
        self.expect(question)
        try:
            reply = self._child.ask(question)
        except InterpreterError as error:
            self.fault = error
            self._child.close()
            self._child = None
            raise
        if "raised" in reply:
            raise raised(reply["raised"])
        self._kept.keep(question, reply["answer"])
        return reply["answer"]

    def close(self) -> None:
        """End the child, and keep what it said."""
        if self._child is not None:
            self._child.close()
            self._child = None
        self._kept.write()


def raised(told: Mapping[str, Any]) -> Exception:
    """An exception that was raised elsewhere: it says the same, by the same name."""
    base = PluginError if told["ours"] else Exception
    return type(told["type"], (base,), {"__repr__": lambda self: told["repr"]})(told["text"])


class _Child:
    """A process that answers."""

    def __init__(self, interpreter: Interpreter, request: Mapping[str, Any]) -> None:
        self._path = interpreter.path
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the child, and `close` closes it
        self._folder = tempfile.TemporaryDirectory(prefix="odebench-")
        self._received = bytearray()
        try:
            self._process = subprocess.Popen(
                [str(self._path), "-m", ANSWERING, json.dumps(request)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                env=foreign_variables(),
                cwd=self._folder.name,
            )
        except OSError as error:
            self._clear()
            raise InterpreterError(f"interpreter {self._path}: it cannot be started: {error.strerror}.") from error

    def ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        with contextlib.suppress(OSError):  # Where it died, the end of its answers tells.
            self._process.stdin.write(json.dumps(question).encode() + b"\n")
            self._process.stdin.flush()
        return json.loads(self._line(question))

    def _line(self, question: Mapping[str, Any]) -> bytes:
        until = time.monotonic() + ANSWER_LIMIT_S
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._received:
                if not selector.select(max(0.0, until - time.monotonic())):
                    raise InterpreterError(
                        f"interpreter {self._path}: it gave no answer in {ANSWER_LIMIT_S:g} s: loading a plugin there, or asking it, "
                        f"hangs.{self._said()}"
                    )
                data = self._process.stdout.read1(65536)
                if not data:
                    code = self._process.wait()
                    raise InterpreterError(
                        f"interpreter {self._path}: it ended, with exit code {code}, when its plugins were asked what they are."
                        f"{self._said()} Try: {self._path} -c 'import {ANSWERING}'"
                    )
                self._received += data
        line, _, rest = bytes(self._received).partition(b"\n")
        self._received = bytearray(rest)
        return line

    def _said(self) -> str:
        self._log.seek(0)
        text = self._log.read().decode(errors="replace").strip()
        return f" It said:\n{text[-_SHOWN:]}\n" if text else ""

    def close(self) -> None:
        """End it: it holds nothing, and taking its libraries down in order would take a second."""
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._process.terminate()
        try:
            self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._clear()

    def _clear(self) -> None:
        self._log.close()
        self._folder.cleanup()
