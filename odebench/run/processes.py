"""What a supervisor and its children ask of the operating system: to die together, limits, and who descends from whom."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

# From <linux/prctl.h>.
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36

#: Address space beyond the limit in which a part that hit the limit can still write its result.
_RESERVE_BYTES = 512 * 2**20


def die_with(parent: int) -> None:
    """Have the kernel kill this process when `parent`, its parent, dies. Linux only; elsewhere the parent must see to it."""
    if sys.platform != "linux":
        return
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # It died before we asked.
        os.kill(os.getpid(), signal.SIGKILL)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent dies, so that none escapes. Linux only."""
    if sys.platform == "linux":
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def limit_memory(limit_bytes: int) -> Callable[[], None]:
    """Let this process map no more than `limit_bytes` beyond what it has mapped now; torch then raises its allocator's error.

    Returns:
        What gives the process some memory back, for its last words.
    """
    if sys.platform != "linux":  # Others do not enforce it.
        return lambda: None
    soft = mapped_bytes() + limit_bytes
    _, ceiling = resource.getrlimit(resource.RLIMIT_AS)
    hard = soft + _RESERVE_BYTES
    if ceiling != resource.RLIM_INFINITY:
        soft, hard = min(soft, ceiling), min(hard, ceiling)
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    return lambda: resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


def limit_files(limit_bytes: int) -> None:
    """No file that this process writes may grow beyond `limit_bytes`; no core is dumped."""
    for which, limit in ((resource.RLIMIT_FSIZE, limit_bytes), (resource.RLIMIT_CORE, 0)):
        _, ceiling = resource.getrlimit(which)
        limit = limit if ceiling == resource.RLIM_INFINITY else min(limit, ceiling)
        resource.setrlimit(which, (limit, limit))


def mapped_bytes() -> int:
    """Address space of this process in bytes."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


@dataclass(frozen=True)
class Process:
    """A living process: its id, its parent's, and the id of its session's leader."""

    pid: int
    parent: int
    session: int


def descendants(*roots: int) -> list[Process]:
    """Processes below `roots`, of whatever session; empty where the system has no /proc."""
    children: dict[int, list[Process]] = {}
    for process in _living():
        children.setdefault(process.parent, []).append(process)
    found: list[Process] = []
    pending = list(roots)
    while pending:
        below = children.pop(pending.pop(), [])
        found += below
        pending += [process.pid for process in below]
    return found


def has_children_besides(known: Collection[int]) -> bool:
    """Whether this process has a child that is not among `known`; True where the system does not tell quickly."""
    try:
        with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:
            return any(int(pid) not in known for pid in file.read().split())
    except OSError:
        return True


def kill(pid: int, *, group: bool = False) -> None:
    """SIGKILL to a process, or to the group that it leads; one that is gone already is no error."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        (os.killpg if group else os.kill)(pid, signal.SIGKILL)


def _living() -> Iterator[Process]:
    if not os.path.isdir("/proc/self"):
        return
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
                # The name in brackets may hold anything, so the fields are counted from its end.
                state, parent, _, session = file.read().rpartition(b")")[2].split()[:4]
                if state not in (b"Z", b"X"):
                    yield Process(int(name), int(parent), int(session))


def _prctl(option: int, argument: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, argument, 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"prctl({option}): {os.strerror(code)}")
