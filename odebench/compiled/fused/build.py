"""Machine code from the text of a kernel."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Sequence

from odebench.compiled.watch import Watch


def built(source: str) -> Callable[[Sequence[int]], None]:
    """The function `run` of a kernel, which takes numbers and addresses; kept on disk by its text, as the compiler's own code is.

    Raises:
        RuntimeError: there is no C++ compiler, or it refuses the text.
    """
    from torch._inductor.codecache import CppCodeCache

    before = time.perf_counter()
    run = CppCodeCache.load(source).run
    run.restype = None
    Watch.seconds += time.perf_counter() - before

    def call(given: Sequence[int]) -> None:
        run((ctypes.c_int64 * len(given))(*given))

    return call
