"""One run at a time per folder and machine."""

from __future__ import annotations

import datetime
import json
import os
import socket
from pathlib import Path
from types import TracebackType
from typing import Self

from odebench.errors import RecordError

try:
    import fcntl
except ImportError:  # Windows reads results, and runs under WSL.
    fcntl = None


class InUseError(RecordError):
    """Another process holds the lock.

    Attributes:
        holder: who, in brackets, with a space before; empty where that is not known.
    """

    def __init__(self, message: str, holder: str = "") -> None:
        self.holder = holder
        super().__init__(message)


class FolderLock:
    """Holds `locks/<machine>.lock` of a result folder until it is released, or its process dies in whatever way.

    The kernel ties the lock to the open file, so a kill leaves no stale one behind. Children do not inherit it: `exec` closes the
    file, and a forked child closes its copy, so that an orphan cannot hold the folder after its parent is gone.
    """

    def __init__(self, folder: Path, machine_id: str) -> None:
        self.path = folder / "locks" / f"{machine_id}.lock"
        self._handle: int | None = None

    def acquire(self) -> None:
        """Take the lock, without waiting.

        Raises:
            InUseError: another run holds it; says which process on which host since when.
            RecordError: the file cannot be made, or the disk has no locks.
        """
        if fcntl is None:
            raise RecordError(
                f"{self.path}: this Python has no file locks, which a run needs. Run under Linux, macOS or WSL."
            )
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise RecordError(
                f"{self.path}: cannot be made: {error.strerror}. Choose a folder that you may write, with --into."
            ) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = _holder(handle)
            os.close(handle)
            raise InUseError(
                f"{self.path.parent.parent}: another run is writing here{holder}. Wait for it, stop it, or choose another folder "
                f"with --into.",
                holder,
            ) from error
        except OSError as error:
            os.close(handle)
            raise RecordError(
                f"{self.path}: cannot be locked: {error.strerror}. Some network disks have no locks: use a local folder, with --into."
            ) from error
        self._handle = handle
        _HELD.add(self)
        since = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": since}).encode(), 0)

    def release(self) -> None:
        """Give the lock back; does nothing where it is not held. The file stays: removing it would let two runs in."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
            _HELD.discard(self)

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._handle is not None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()


# Strong references: a lock that nobody refers to is still held, and its file must be closed in children.
_HELD: set[FolderLock] = set()


def _close_in_child() -> None:
    """A forked child shares the parent's open file, and would keep the lock alive after the parent's death."""
    for lock in list(_HELD):
        lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)


def _holder(handle: int) -> str:
    """Who holds the lock, in brackets; empty where the file does not say (its holder has only just begun)."""
    try:
        told = json.loads(os.pread(handle, 4096, 0))
        return f" (process {told['pid']} on {told['host']}, since {told['since']})"
    except (OSError, ValueError, TypeError, KeyError):
        return ""
