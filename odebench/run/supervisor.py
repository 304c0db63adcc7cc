"""The process between the launcher and the children: it forks them, keeps their limits, and cleans up behind them.

Its own threads, torch operations and prints would be inherited by every child, so it has none: it imports, waits and forks.
Run as `python -m odebench.run.supervisor DESCRIPTOR OPTIONS`, with a socket to the launcher and a JSON object.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import selectors
import shutil
import signal
import socket
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from odebench.run import processes
from odebench.run.output import Output

#: A child may take so long to import plugins and to start an interpreter; its time limit runs from then on.
START_S = 60.0
#: The module that does a part of a run; other launchers name their own.
WORKER = "odebench.run.worker"


@dataclass(kw_only=True)
class _Child:
    """A running part."""

    pid: int
    born: float
    limit_s: float
    deadline: float
    pipe: int
    beginning: int
    output: Output = field(default_factory=Output)
    begun: bool = False
    timed_out: bool = False


class Supervisor:
    """Starts what the launcher asks for, and tells it how that ended.

    Args:
        control: stream socket to the launcher; its end is the order to kill everything and go.
        mode: "fork" runs the worker's `serve` in a fork of this process; "spawn" starts a new interpreter for it.
        scratch: folder of all of the launcher's parts, to be removed where the launcher goes without a word.
        worker: the module that does what a child is asked for.
    """

    def __init__(self, control: socket.socket, mode: str, scratch: Path, worker: str = WORKER) -> None:
        self._control, self._mode, self._scratch, self._worker = control, mode, scratch, worker
        self._dismissed = False
        self._children: dict[int, _Child] = {}
        self._received = bytearray()
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ, self._read_control)
        self._wakeup, self._waker = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK) if hasattr(os, "pipe2") else os.pipe()
        os.set_blocking(self._wakeup, False)
        os.set_blocking(self._waker, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        self._selector.register(self._wakeup, selectors.EVENT_READ, self._read_wakeup)

    def run(self) -> None:
        """Serve until the launcher closes the socket or dies."""
        self._tell({"event": "ready", "threads": _threads()})
        while self._control.fileno() >= 0:
            for key, _ in self._selector.select(self._until_deadline()):
                key.data(key.fd)
            self._enforce_deadlines()
            self._reap()
        for child in self._children.values():
            self._kill(child)
        for process in processes.descendants(os.getpid()):
            processes.kill(process.pid)
        if not self._dismissed:  # The launcher died. Else other supervisors may be at work there.
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _read_control(self, _: int) -> None:
        try:
            data = self._control.recv(65536)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self._selector.unregister(self._control)
            self._control.close()
            return
        self._received += data
        while b"\n" in self._received:
            line, _, rest = bytes(self._received).partition(b"\n")
            self._received = bytearray(rest)
            order = json.loads(line)
            if order["order"] == "start":
                self._start(order)
            else:
                self._dismissed = True

    def _read_wakeup(self, _: int) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.read(self._wakeup, 4096):
                pass

    def _read_output(self, pipe: int) -> None:
        child = next((child for child in self._children.values() if child.pipe == pipe), None)
        # In bounded bites, so that a child that prints without end cannot keep its own deadline from being seen.
        if child is None or not _drain(pipe, child.output, bites=16):
            self._selector.unregister(pipe)

    def _read_beginning(self, pipe: int) -> None:
        """A child says, once, that its work begins now."""
        self._selector.unregister(pipe)
        for child in self._children.values():
            if child.beginning == pipe and os.read(pipe, 1):
                child.begun = True
                child.deadline = time.monotonic() + child.limit_s

    def _start(self, order: dict[str, Any]) -> None:
        read, write = os.pipe()
        beginning, begun = os.pipe()
        os.set_blocking(read, False)
        supervisor = os.getpid()
        born = time.monotonic()
        pid = os.fork()
        if pid == 0:
            self._become_child(order["folder"], supervisor, (read, beginning), write, begun)
        os.close(write)
        os.close(begun)
        self._children[order["id"]] = _Child(
            pid=pid, born=born, limit_s=order["timeout_s"], deadline=born + START_S, pipe=read, beginning=beginning
        )
        self._selector.register(read, selectors.EVENT_READ, self._read_output)
        self._selector.register(beginning, selectors.EVENT_READ, self._read_beginning)

    def _become_child(self, folder: str, supervisor: int, not_mine: tuple[int, ...], write: int, begun: int) -> None:
        """What the child does; it never returns."""
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
            self._selector.close()
            self._control.close()
            others = [pipe for child in self._children.values() for pipe in (child.pipe, child.beginning)]
            for descriptor in (*not_mine, *others, self._wakeup, self._waker):
                os.close(descriptor)
            os.setsid()
            processes.die_with(supervisor)
            nothing = os.open(os.devnull, os.O_RDONLY)
            for source, target in ((nothing, 0), (write, 1), (write, 2)):
                os.dup2(source, target)
            os.close(nothing)
            os.close(write)
            if self._mode == "spawn":
                os.set_inheritable(begun, True)
                os.execv(sys.executable, [sys.executable, "-m", self._worker, folder, str(begun)])
            importlib.import_module(self._worker).serve(Path(folder), begun)
            sys.stdout.flush()
            sys.stderr.flush()
        except BaseException:  # noqa: BLE001 - nothing may reach the supervisor's own loop
            sys.excepthook(*sys.exc_info())
            os._exit(70)
        os._exit(0)

    def _until_deadline(self) -> float | None:
        deadlines = [child.deadline for child in self._children.values() if not child.timed_out]
        return max(0.0, min(deadlines) - time.monotonic()) if deadlines else None

    def _enforce_deadlines(self) -> None:
        now = time.monotonic()
        for child in self._children.values():
            if now >= child.deadline and not child.timed_out:
                child.timed_out = True
                self._kill(child)

    def _kill(self, child: _Child) -> None:
        below = processes.descendants(child.pid)
        processes.kill(child.pid, group=True)
        processes.kill(child.pid)
        for process in below:
            processes.kill(process.pid)

    def _reap(self) -> None:
        """Collect every child that ended, ours and adopted ones."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            number = next((number for number, child in self._children.items() if child.pid == pid), None)
            if number is not None:
                self._end(number, status)

    def _end(self, number: int, status: int) -> None:
        child = self._children.pop(number)
        seconds = time.monotonic() - child.born
        left_behind = self._clean_up(child)
        # What it printed last is still in the pipe. Whoever holds the other end is dead by now, or was killed.
        _drain(child.pipe, child.output, bites=256)
        for pipe in (child.pipe, child.beginning):
            with contextlib.suppress(KeyError):
                self._selector.unregister(pipe)
            os.close(pipe)
        self._tell(
            {
                "event": "ended",
                "id": number,
                "exit_code": os.waitstatus_to_exitcode(status),
                "timed_out": child.timed_out,
                "begun": child.begun,
                "left_behind": left_behind,
                "output": child.output.text(),
                "output_bytes": child.output.size,
                "seconds": seconds,
            }
        )

    def _clean_up(self, child: _Child) -> int:
        """Kill what a dead child left running; returns how many processes it is to blame for."""
        blamed: set[int] = set()
        alive = {other.pid for other in self._children.values()}
        for _ in range(50):  # A process that forks while it is killed needs several attempts.
            if not processes.has_children_besides(alive):
                break
            belongs = {process.pid for process in processes.descendants(*alive)} | alive
            strays = [p for p in processes.descendants(os.getpid()) if p.pid not in belongs]
            if not strays:
                break
            for process in strays:
                processes.kill(process.pid)
                # One that made a session of its own may be another living child's: it goes, and nobody is blamed.
                if process.session == child.pid or not alive:
                    blamed.add(process.pid)
        return len(blamed)

    def _tell(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):
            self._control.sendall(json.dumps(message).encode() + b"\n")


def _drain(pipe: int, output: Output, *, bites: int) -> bool:
    """Move what the pipe holds into `output`; False when its other end is closed."""
    for _ in range(bites):
        try:
            data = os.read(pipe, 65536)
        except BlockingIOError:
            return True
        if not data:
            return False
        output.add(data)
    return True


def _threads() -> int:
    """Threads of this process; 1 where the system does not tell."""
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return 1


def main(arguments: list[str]) -> None:
    """Load what children need, then serve."""
    control = socket.socket(fileno=int(arguments[0]))
    control.set_inheritable(False)
    options = json.loads(arguments[1])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    processes.adopt_orphans()
    if options["mode"] == "fork":
        for module in options["preload"]:
            importlib.import_module(module)
        if options["prefixes"] is not None:
            importlib.import_module(WORKER).load_plugins(tuple(options["prefixes"]), ())
        gc.collect()
        gc.freeze()
    Supervisor(control, options["mode"], Path(options["scratch"]), options.get("worker", WORKER)).run()


if __name__ == "__main__":
    main(sys.argv[1:])
