"""How long compilation takes."""

from __future__ import annotations

import time
from typing import ClassVar

from torch._dynamo.utils import counters


class Watch:
    """Counts the seconds of what is compiled while it is open, in `Watch.seconds`; what only runs costs none."""

    seconds: ClassVar[float] = 0.0

    def __enter__(self) -> None:
        self._graphs, self._start = counters["stats"]["unique_graphs"], time.perf_counter()

    def __exit__(self, *_: object) -> None:
        if counters["stats"]["unique_graphs"] != self._graphs:
            Watch.seconds += time.perf_counter() - self._start
