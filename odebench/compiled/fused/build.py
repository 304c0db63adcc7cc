"""Machine code from the text of a kernel."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence

from odebench.compiled.fused.expressions import NotByRowError


def built(source: str) -> Callable[[Sequence[int]], None]:
    """The function `run` of a kernel, which takes numbers and addresses; kept on disk by its text, as the compiler's own code is.

    Raises:
        NotByRowError: there is no C++ compiler, or it refuses the text.
    """
    from torch._inductor.codecache import CppCodeCache
    from torch._inductor.exc import CppCompileError, InvalidCxxCompiler

    try:
        run = CppCodeCache.load(source).run
    except (CppCompileError, InvalidCxxCompiler) as cause:
        raise NotByRowError("there is no C++ compiler that takes the kernel") from cause
    run.restype = None

    def call(given: Sequence[int]) -> None:
        run((ctypes.c_int64 * len(given))(*given))

    return call
