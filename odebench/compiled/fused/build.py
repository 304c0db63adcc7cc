"""Machine code from the text of a kernel."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path

from odebench.compiled.fused.expressions import NotByRowError


class Kernel:
    """The function `run` of a shared library, which takes numbers and addresses.

    Attributes:
        file: the library.
        source: its C++ text; None where only the library is known.

    Raises:
        OSError: the library cannot be opened.
        AttributeError: there is no such function in it.
    """

    def __init__(self, file: str | Path, source: str | None = None) -> None:
        self.file, self.source = Path(file), source
        self._run = ctypes.CDLL(str(file)).run
        self._run.restype = None

    def __call__(self, given: Sequence[int]) -> None:
        self._run((ctypes.c_int64 * len(given))(*given))


def built(source: str) -> Kernel:
    """The kernel of this text; kept on disk by its text, as the compiler's own code is.

    Raises:
        NotByRowError: there is no C++ compiler, or it refuses the text.
    """
    from torch._inductor.codecache import CppCodeCache
    from torch._inductor.exc import CppCompileError, InvalidCxxCompiler

    try:
        library = CppCodeCache.load(source)
    except (CppCompileError, InvalidCxxCompiler) as cause:
        raise NotByRowError("there is no C++ compiler that takes the kernel") from cause
    # A `ctypes.CDLL` is named as its file; opened again, it is the same library.
    return Kernel(library._name, source)
