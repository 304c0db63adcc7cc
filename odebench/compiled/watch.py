"""How long compilation takes, and what has run."""

from __future__ import annotations

import threading
import time
from typing import ClassVar

from odebench.contract import Stats


class Watch:
    """Counts the seconds of what is compiled while it is open, in `Watch.seconds`; what only runs costs none."""

    seconds: ClassVar[float] = 0.0
    _here: ClassVar[threading.local] = threading.local()

    @classmethod
    def begin(cls) -> float:
        """A solve, or its way back, begins in this thread: what ran before is not its own. The seconds until now."""
        cls._here.forms = set()
        return cls.seconds

    @classmethod
    def ran(cls, form: str) -> None:
        """A program says what it ran as."""
        if hasattr(cls._here, "forms"):
            cls._here.forms.add(form)

    @classmethod
    def tell(cls, stats: Stats, before: float) -> None:
        """Note in `stats` what ran, and the seconds of compilation since there were `before`."""
        forms = {*cls._here.forms, *(stats.compiled_as or "").split(" and ")} - {""}
        stats.compiled, stats.compiled_as = True, " and ".join(sorted(forms)) or None
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
