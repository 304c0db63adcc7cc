"""Starting parts in fresh processes, and hearing how they ended. The launcher's side; nothing here needs torch.

Single-threaded: `wait` sleeps until a supervisor has something to tell. Whatever a child does, this process goes on.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import selectors
import shutil
import signal
import sys
import sysconfig
import tempfile
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import odebench
from odebench.errors import OdebenchError
from odebench.interpreters.interpreter import foreign_variables
from odebench.outcome import Outcome
from odebench.run.connection import Connection
from odebench.run.request import RESULT_FILE, Request, read_progress

#: What a child may print before that alone makes its part an error: it fills disks, and takes time that is not the method's.
OUTPUT_LIMIT_BYTES = 2**20
#: A supervisor in another interpreter that has not come up after so many seconds hangs: loading libraries there takes its time.
FOREIGN_START_LIMIT_S = 180.0
#: A larger result is no result.
_LARGEST_RESULT_BYTES = 2**26
#: Characters of what a supervisor printed that stand in a reason, from its end.
_SAID = 400
#: Modules that a supervisor has loaded when it forks. None of them may run a torch operation or start a thread.
_PRELOAD, _JUDGE, _COMPILER = "odebench.run.worker", "odebench.run.judge", "torch._inductor.compile_fx"


class ExecutorError(OdebenchError):
    """No process can be started to measure in."""


@dataclass(frozen=True, kw_only=True)
class Environment:
    """What all parts that one supervisor forks have in common: what is set before an interpreter starts, and what it loads.

    Attributes:
        device: the cell's.
        threads: the cell's.
        prefixes: installed plugins that are loaded besides the built-in ones.
        compiled: whether cells ask for the compiled engine: what is compiled in a process slows what is not.
        judging: whether it judges answers, and so loads what knows them.
        interpreter: path of another interpreter, which runs them; None for this one.
    """

    device: str = "cpu"
    threads: int = 1
    prefixes: tuple[str, ...] = ()
    compiled: bool = False
    judging: bool = False
    interpreter: str | None = None

    @classmethod
    def of(cls, request: Request) -> Environment:
        """The environment in which `request` is to be done."""
        shared = {"prefixes": request.prefixes, "interpreter": request.interpreter}
        if request.part == "judge":
            return cls(judging=True, **shared)
        cell = request.cell
        return cls(device=cell.device, threads=cell.threads, compiled=cell.compile is not False, **shared)

    def variables(self) -> dict[str, str]:
        """Environment variables of its processes. Those of threads are read when a library is loaded, and never again."""
        variables = dict(os.environ) if self.interpreter is None else foreign_variables()
        variables |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(self.threads))
        # Numpy's own library would start its threads when it is imported, in a process that must have none.
        variables |= dict.fromkeys(
            ("OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "TORCHINDUCTOR_COMPILE_THREADS"), "1"
        )
        variables["PYTHONHASHSEED"] = "0"
        root = str(Path(odebench.__file__).resolve().parent.parent)
        # Another interpreter has an odebench of its own, and nothing of what else lies beside this one.
        if self.interpreter is None and root not in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib")):
            variables["PYTHONPATH"] = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        return variables

    def ways(self) -> list[dict[str, Any]]:
        """Options of supervisors for it, best first: each is tried where the one before did not come up clean."""
        spawn = {"mode": "spawn", "preload": [], "prefixes": None}
        if (
            sys.platform != "linux" or self.device != "cpu"
        ):  # A fork of a process with an accelerator, or on macOS, may hang.
            return [spawn]
        fork = {"mode": "fork", "preload": self._preload(), "prefixes": list(self.prefixes)}
        return [fork, fork | {"prefixes": None}, spawn] if self.prefixes else [fork, spawn]

    def _preload(self) -> list[str]:
        return [_PRELOAD, *([_JUDGE] if self.judging else ()), *([_COMPILER] if self.compiled else ())]


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A part that is over.

    Attributes:
        number: as `submit` gave it.
        request: what was asked.
        folder: the part's folder; it is the caller's to remove, with `Executors.forget`.
        result: the part as JSON values, `outcome` and `reason` always among them.
        seconds: wall time from the child's birth to its end.
        waited_s: wall time from `submit` to the end, the start of a supervisor included.
    """

    number: int
    request: Request
    folder: Path
    result: dict[str, Any]
    seconds: float
    waited_s: float


@dataclass(kw_only=True)
class _Job:
    number: int
    request: Request
    folder: Path
    limit_s: float
    given: float
    suspected: bool = False


@dataclass(kw_only=True, eq=False)
class _Server:
    environment: Environment
    connection: Connection
    way: int
    exclusive: bool
    born: float
    ready: bool = False
    jobs: dict[int, _Job] = field(default_factory=dict)

    @property
    def deadline(self) -> float:
        """When it hangs if it is not ready. This interpreter starts its own, however long that takes."""
        return math.inf if self.ready or self.environment.interpreter is None else self.born + FOREIGN_START_LIMIT_S


class Executors:
    """All supervisors of a run; use as a context manager.

    Args:
        mode: "spawn" starts a new interpreter for each part, as CUDA needs; None takes the best that works.
    """

    def __init__(self, mode: str | None = None) -> None:
        self._mode = mode
        self._scratch = Path(tempfile.mkdtemp(prefix="odebench-"))
        self._numbers = itertools.count()
        self._servers: list[_Server] = []
        self._selector = selectors.DefaultSelector()
        self._over: deque[Ended] = deque()
        self._unusable: dict[str, str] = {}

    def __enter__(self) -> Executors:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def submit(self, request: Request, limit_s: float) -> int:
        """Have `request` done in a fresh process; `limit_s` seconds after its plugins are loaded it is killed."""
        number = next(self._numbers)
        folder = self._scratch / str(number)
        request.write(folder)
        self._give(_Job(number=number, request=request, folder=folder, limit_s=limit_s, given=time.monotonic()))
        return number

    def wait(self, limit_s: float | None = None) -> list[Ended]:
        """The parts that ended; sleeps until there is one, or until `limit_s` seconds are over."""
        until = None if limit_s is None else time.monotonic() + limit_s
        while not self._over:
            due = min([server.deadline for server in self._servers] + [math.inf if until is None else until])
            events = self._selector.select(None if due == math.inf else max(0.0, due - time.monotonic()))
            if not events and until is not None and time.monotonic() >= until:
                break
            for key, _ in events:
                self._hear(key.data)
            for server in [server for server in self._servers if time.monotonic() >= server.deadline]:
                self._give_up(server, f"did not come up in {FOREIGN_START_LIMIT_S:g} s")
        ended, self._over = list(self._over), deque()
        return ended

    def progress_of(self, number: int) -> dict[str, Any] | None:
        """How far a running part says it is: `done`, `total`, `loss`; None where it does not say."""
        return read_progress(self._scratch / str(number))

    def forget(self, folder: Path) -> None:
        """Remove the folder of a part that is over."""
        shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Kill everything, and remove all folders."""
        for server in list(self._servers):
            self._dismiss(server)
        self._selector.close()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _give(self, job: _Job) -> None:
        environment = Environment.of(job.request)
        if environment.interpreter in self._unusable:
            self._refuse([job], self._unusable[environment.interpreter])
            return
        server = None
        if not job.suspected:
            alike = (s for s in self._servers if s.environment == environment and not s.exclusive)
            server = next(alike, None)
        server = server or self._open(environment, way=0, exclusive=job.suspected)
        if server is None:
            self._refuse([job], self._unusable[environment.interpreter])
        else:
            self._hand(job, server)

    def _hand(self, job: _Job, server: _Server) -> None:
        server.jobs[job.number] = job
        server.connection.start(job.number, job.folder, job.limit_s)

    def _open(self, environment: Environment, *, way: int, exclusive: bool) -> _Server | None:
        """A new supervisor; None where the other interpreter is not there any more."""
        ways = environment.ways()
        if self._mode is not None:
            ways = [options for options in ways if options["mode"] == self._mode]
        log = self._scratch / f"supervisor-{next(self._numbers)}.log"
        options, interpreter = ways[way] | {"scratch": str(self._scratch)}, environment.interpreter
        try:
            connection = Connection(
                options, environment.variables(), scratch=self._scratch, log=log, interpreter=interpreter
            )
        except OSError as error:
            if interpreter is None:
                raise
            self._unusable[interpreter] = f"The interpreter {interpreter} cannot be started: {error.strerror}."
            return None
        server = _Server(
            environment=environment, connection=connection, way=way, exclusive=exclusive, born=time.monotonic()
        )
        self._servers.append(server)
        self._selector.register(connection.control, selectors.EVENT_READ, server)
        return server

    def _hear(self, server: _Server) -> None:
        messages = server.connection.hear()
        if messages is None:
            self._lost(server)
            return
        for message in messages:
            if message["event"] == "ready":
                server.ready = True
                if message["threads"] > 1 and self._another_way(server):
                    return
            else:
                self._end(server, message)

    def _end(self, server: _Server, message: dict[str, Any]) -> None:
        job = server.jobs.pop(message["id"])
        result = result_of(message, job.folder, job.limit_s)
        self._finish(job, result, message["seconds"])
        if server.exclusive:
            self._dismiss(server)

    def _lost(self, server: _Server) -> None:
        """A supervisor died: before it was ready, another way is tried; later, one of its children killed it."""
        if not server.ready and self._another_way(server):
            return
        foreign = server.environment.interpreter
        if not server.ready and foreign is not None:
            self._give_up(server, "ended at once")
            return
        told = server.connection.printed(4000)
        self._dismiss(server)
        if not server.ready:
            raise ExecutorError(
                f"No process can be started to measure in: {sys.executable} -m odebench.run.supervisor ended at once. It said:\n{told}"
            )
        jobs = list(server.jobs.values())
        for job in jobs:
            # Which one it was shows when each is alone with a supervisor. Another interpreter may have been ended by somebody.
            if (len(jobs) > 1 or foreign is not None) and not job.suspected:
                job.suspected = True
                shutil.rmtree(job.folder, ignore_errors=True)
                job.request.write(job.folder)
                self._give(job)
                continue
            where = "" if foreign is None else f" It was done in the interpreter {foreign}, and tried twice."
            failed = _failed(Outcome.CRASHED, f"It took the process along that supervises it.{where}", told)
            self._finish(job, failed, time.monotonic() - job.given)

    def _give_up(self, server: _Server, what: str) -> None:
        """Another interpreter does not measure: that costs the cells that need it, which the next run asks again."""
        interpreter = server.environment.interpreter
        told = server.connection.printed(4000)
        self._dismiss(server, at_once=True)
        said = f" It said: {' '.join(told.split())[-_SAID:]}" if told.strip() else ""
        reason = f"The interpreter {interpreter} {what} when it was started to measure.{said} Try: {interpreter} -c 'import odebench.run.worker'"
        self._unusable[interpreter] = reason
        self._refuse(list(server.jobs.values()), reason)

    def _refuse(self, jobs: list[_Job], reason: str) -> None:
        for job in jobs:
            failed = _failed(Outcome.ERROR, reason, None) | {"curable": True}
            self._finish(job, failed, time.monotonic() - job.given)

    def _finish(self, job: _Job, result: dict[str, Any], seconds: float) -> None:
        self._over.append(
            Ended(
                number=job.number,
                request=job.request,
                folder=job.folder,
                result=result,
                seconds=seconds,
                waited_s=time.monotonic() - job.given,
            )
        )

    def _another_way(self, server: _Server) -> bool:
        """Replace a supervisor that did not come up, or came up with threads that its children would lack."""
        ways = server.environment.ways()
        if self._mode is not None or server.way + 1 >= len(ways):
            return False
        self._dismiss(server)
        other = self._open(server.environment, way=server.way + 1, exclusive=server.exclusive)
        if other is None:
            self._refuse(list(server.jobs.values()), self._unusable[server.environment.interpreter])
            return True
        for job in server.jobs.values():
            shutil.rmtree(job.folder, ignore_errors=True)
            job.request.write(job.folder)
            self._hand(job, other)
        return True

    def _dismiss(self, server: _Server, *, at_once: bool = False) -> None:
        """End a supervisor: the end of its socket makes it kill its children and go, unless it is to be killed `at_once`."""
        self._servers.remove(server)
        self._selector.unregister(server.connection.control)
        server.connection.dismiss(at_once=at_once)


def result_of(message: dict[str, Any], folder: Path, limit_s: float) -> dict[str, Any]:
    """What a part gave: what its child wrote, unless the way it ended says otherwise."""
    code, output = message["exit_code"], message["output"]
    if message["timed_out"]:
        if not message["begun"]:
            return _failed(Outcome.TIMEOUT, "Its plugins did not load in a minute.", output)
        return _failed(Outcome.TIMEOUT, f"It was stopped after {limit_s:g} s, the limit of the suite.", output)
    if code < 0:
        if code == -signal.SIGABRT and "bad_alloc" in output:
            return _failed(Outcome.OUT_OF_MEMORY, "The C++ library found no memory and ended the process.", output)
        name = signal.Signals(-code).name if -code in signal.valid_signals() else f"signal {-code}"
        hint = " Perhaps the system had no memory left." if code == -signal.SIGKILL else ""
        return _failed(Outcome.CRASHED, f"Its process was killed by {name}.{hint}", output)
    result = _read_result(folder)
    if result is None:
        return _failed(Outcome.CRASHED, f"Its process left with exit code {code} and without a result.", output)
    if result["outcome"] == Outcome.OK.word and message["left_behind"]:
        count = message["left_behind"]
        found = f"{count} process{'es' * (count > 1)}"
        return result | _failed(Outcome.ERROR, f"It left {found} running, which had to be killed.", None)
    if result["outcome"] == Outcome.OK.word and message["output_bytes"] > OUTPUT_LIMIT_BYTES:
        size = message["output_bytes"] / 2**20
        said = f"It printed {size:.1f} MiB; the limit is {OUTPUT_LIMIT_BYTES // 2**20} MiB."
        return result | _failed(Outcome.ERROR, said, output)
    return result


def _read_result(folder: Path) -> dict[str, Any] | None:
    file = folder / RESULT_FILE
    try:
        if file.stat().st_size > _LARGEST_RESULT_BYTES:
            return None
        result = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return result if isinstance(result, dict) and "outcome" in result else None


def _failed(outcome: Outcome, reason: str, output: str | None) -> dict[str, Any]:
    return {"outcome": outcome.word, "reason": reason, "traceback": output or None}
