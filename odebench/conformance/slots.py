"""Processes that run one job after the other, each in a child of its own: the launcher's side. Nothing here needs torch."""

from __future__ import annotations

import itertools
import json
import os
import selectors
import shutil
import sys
import tempfile
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from odebench.run.connection import Connection
from odebench.run.executors import Environment, ExecutorError

CHILD = "odebench.conformance.child"
MOST_SLOTS = 4


@dataclass(kw_only=True)
class Job:
    """One request to a child.

    Attributes:
        request: JSON values.
        limit_s: after so many seconds the child is killed.
        label: whatever the caller knows it by.
        interpreter: path of another interpreter in which it is to be done; None for this one.
        folder: where the child reads and writes.
        message: how the supervisor says that it ended; None where the supervisor itself was lost.
    """

    request: dict[str, Any]
    limit_s: float
    label: Any = None
    interpreter: str | None = None
    folder: Path = field(default_factory=Path)
    message: dict[str, Any] | None = None

    def read(self, name: str) -> str:
        """A file that the child left, as text; empty where there is none."""
        try:
            return (self.folder / name).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""


@dataclass(eq=False, kw_only=True)
class _Slot:
    """A supervisor, which has one child at a time: whoever takes it along is known."""

    connection: Connection
    mode: str
    interpreter: str | None
    ready: bool = False
    job: Job | None = None


class Slots:
    """Runs jobs, as many at once as there are cores; use as a context manager.

    Args:
        most: jobs at once; None takes the cores that this process may use, up to `MOST_SLOTS`.
    """

    def __init__(self, most: int | None = None) -> None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self._most = most or min(cores, MOST_SLOTS)
        self._scratch = Path(tempfile.mkdtemp(prefix="odebench-"))
        self._numbers = itertools.count()
        self._waiting: deque[Job] = deque()
        self._slots: list[_Slot] = []
        self._selector = selectors.DefaultSelector()

    def __enter__(self) -> Slots:
        return self

    def __exit__(self, *_: object) -> None:
        for slot in list(self._slots):
            self._dismiss(slot)
        self._selector.close()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def run(self, jobs: list[Job], most: int | None = None) -> Iterator[Job]:
        """Each job when it is over; its folder lives until the next one is asked for.

        Args:
            jobs: what is to be done.
            most: jobs at once, where that is to be less.

        Raises:
            ExecutorError: no process can be started.
        """
        self._waiting.extend(jobs)
        running = len(jobs)
        while running:
            self._fill(self._most if most is None else min(most, self._most))
            for key, _ in self._selector.select():
                for job in self._hear(key.data):
                    running -= 1
                    yield job
                    shutil.rmtree(job.folder, ignore_errors=True)

    def _fill(self, most: int) -> None:
        """Give waiting jobs to idle slots, and open slots for the rest."""
        for slot in [slot for slot in self._slots if slot.job is None]:
            if self._waiting:
                job = next((job for job in self._waiting if job.interpreter == slot.interpreter), None)
                if job is None:  # All that waits is for other interpreters.
                    self._dismiss(slot)
                else:
                    self._waiting.remove(job)
                    self._give(slot, job)
        while self._waiting and len(self._slots) < most:
            job = self._waiting.popleft()
            self._give(self._open("fork", job.interpreter), job)

    def _give(self, slot: _Slot, job: Job) -> None:
        number = next(self._numbers)
        job.folder = self._scratch / str(number)
        (job.folder / "work").mkdir(parents=True)
        (job.folder / "request.json").write_text(json.dumps(job.request), encoding="utf-8")
        slot.job = job
        slot.connection.start(number, job.folder, job.limit_s)

    def _open(self, mode: str, interpreter: str | None) -> _Slot:
        environment = Environment(interpreter=interpreter)
        if environment.ways()[0]["mode"] != "fork":
            mode = "spawn"
        preload = [CHILD] if mode == "fork" else []
        options = {"mode": mode, "preload": preload, "prefixes": None, "scratch": str(self._scratch), "worker": CHILD}
        log = self._scratch / f"supervisor-{next(self._numbers)}.log"
        try:
            connection = Connection(
                options, environment.variables(), scratch=self._scratch, log=log, interpreter=interpreter
            )
        except OSError as error:
            raise ExecutorError(
                f"No process can be started to run checks in: {interpreter}: {error.strerror}."
            ) from error
        slot = _Slot(connection=connection, mode=mode, interpreter=interpreter)
        self._slots.append(slot)
        self._selector.register(connection.control, selectors.EVENT_READ, slot)
        return slot

    def _hear(self, slot: _Slot) -> list[Job]:
        """What a supervisor tells: the job that is over, if one is."""
        messages = slot.connection.hear()
        if messages is None:
            return self._lost(slot)
        over = []
        for message in messages:
            if message["event"] == "ready":
                slot.ready = True
                if message["threads"] > 1 and slot.mode == "fork":  # its forks would lack them, and may hang
                    self._give_another(slot)
                    return over
            elif slot.job is not None:
                slot.job.message = message
                over.append(slot.job)
                slot.job = None
        return over

    def _give_another(self, slot: _Slot) -> None:
        job = slot.job
        self._dismiss(slot)
        replacement = self._open("spawn", slot.interpreter)
        if job is not None:
            self._give(replacement, job)

    def _lost(self, slot: _Slot) -> list[Job]:
        """A supervisor died: its one child took it along, or it never came up."""
        told = slot.connection.printed(2000)
        self._dismiss(slot)
        if not slot.ready:
            who = slot.interpreter or sys.executable
            raise ExecutorError(f"No process can be started to run checks in: {who} said:\n{told}")
        return [] if slot.job is None else [slot.job]

    def _dismiss(self, slot: _Slot) -> None:
        """End a supervisor: the end of its socket makes it kill its child and go."""
        self._slots.remove(slot)
        self._selector.unregister(slot.connection.control)
        slot.connection.dismiss()
