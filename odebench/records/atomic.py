"""Writing a file so that a reader, a kill or a full disk never meets half of it."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
from pathlib import Path

from odebench.errors import RecordError

_SERIAL = itertools.count()
_WAYS_OUT = {
    errno.ENOSPC: "Free some space on that disk and run again; finished parts are kept.",
    errno.EDQUOT: "Your quota there is used up: free some of it and run again; finished parts are kept.",
    errno.EROFS: "That disk is read-only: choose another folder with --into.",
    errno.EACCES: "You may not write there: choose another folder with --into.",
    errno.EPERM: "You may not write there: choose another folder with --into.",
}


def write_atomic(path: Path, content: bytes, owner: str) -> None:
    """Replace `path` by `content`: all of it or, whatever happens, nothing.

    A temporary file in the same folder is written, flushed to the disk, renamed, and the folder is flushed too, so that a finished
    write survives even a power failure. A kill in between leaves the temporary file, which `remove_temporaries` takes away.

    Args:
        path: the file; its folder must exist.
        content: all of it.
        owner: who writes, part of the temporary file's name: its leftovers can be told from other writers' files in use.

    Raises:
        RecordError: the disk is full, read-only or failing; the file that was there is untouched.
    """
    temporary = path.parent / f".{path.name}.{owner}.{os.getpid()}-{next(_SERIAL)}.tmp"
    try:
        try:
            _write(temporary, content)
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        flush_folder(path.parent)
    except OSError as error:
        way_out = _WAYS_OUT.get(error.errno or 0, "Check that disk, or choose another folder with --into.")
        raise RecordError(
            f"{path}: could not be written: {os.strerror(error.errno or errno.EIO)}. {way_out}"
        ) from error


def remove_temporaries(folder: Path, owner: str) -> int:
    """Remove what kills left of `owner`'s writes in `folder`; returns how many files. Only the holder of the lock may."""
    leftovers = list(folder.glob(f".*.{owner}.*.tmp"))
    for leftover in leftovers:
        leftover.unlink(missing_ok=True)
    return len(leftovers)


def flush_folder(folder: Path) -> None:
    """Make renames in `folder` durable. Systems that cannot open a folder (Windows) have no way to, and nothing is done."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write(path: Path, content: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o644)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(handle, rest) :]
        os.fsync(handle)
    finally:
        os.close(handle)
