"""How long compilation takes, and what has run."""

from __future__ import annotations

import time
from typing import ClassVar


class Watch:
    """Counts the seconds of what is compiled while it is open, in `Watch.seconds`; what only runs costs none.

    Programs add to `Watch.forms` what they run as.
    """

    seconds: ClassVar[float] = 0.0
    forms: ClassVar[set[str]] = set()

    def __enter__(self) -> None:
        self._graphs, self._start = _graphs(), time.perf_counter()

    def __exit__(self, *_: object) -> None:
        if _graphs() != self._graphs:
            Watch.seconds += time.perf_counter() - self._start


def _graphs() -> int:
    """How many graphs TorchDynamo has made in this process."""
    from torch._dynamo.utils import counters

    return counters["stats"]["unique_graphs"]
