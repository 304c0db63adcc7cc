"""How long compilation takes, and what has run."""

from __future__ import annotations

import time
from typing import ClassVar

from odebench.contract import Stats


class Watch:
    """Counts the seconds of what is compiled while it is open, in `Watch.seconds`; what only runs costs none.

    Programs add to `Watch.forms` what they run as.
    """

    seconds: ClassVar[float] = 0.0
    forms: ClassVar[set[str]] = set()

    @classmethod
    def tell(cls, stats: Stats, before: float) -> None:
        """Note in `stats` what ran, and the seconds of compilation since there were `before`."""
        forms = {*cls.forms, *(stats.compiled_as or "").split(" and ")} - {""}
        stats.compiled, stats.compiled_as = True, " and ".join(sorted(forms))
        stats.compile_s += cls.seconds - before

    def __enter__(self) -> None:
        self._graphs, self._start = _graphs(), time.perf_counter()

    def __exit__(self, *_: object) -> None:
        if _graphs() != self._graphs:
            Watch.seconds += time.perf_counter() - self._start


def _graphs() -> int:
    """How many graphs TorchDynamo has made in this process."""
    from torch._dynamo.utils import counters

    return counters["stats"]["unique_graphs"]
