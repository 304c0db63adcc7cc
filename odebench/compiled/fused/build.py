"""Machine code from the text of a kernel."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence


def built(source: str) -> Callable[[Sequence[int]], None]:
    """The function `run` of a kernel, which takes numbers and addresses; kept on disk by its text, as the compiler's own code is.

    Raises:
        RuntimeError: there is no C++ compiler, or it refuses the text.
    """
    from torch._inductor.codecache import CppCodeCache

    run = CppCodeCache.load(source).run
    run.restype = None

    def call(given: Sequence[int]) -> None:
        run((ctypes.c_int64 * len(given))(*given))

    return call
