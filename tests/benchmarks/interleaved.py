"""Ratios of times on a shared machine: the calls are interleaved, so that drift hits all alike."""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """The median over rounds of a quantity, with a 95 % interval from a bootstrap over rounds."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.3f} [{self.low:.3f}, {self.high:.3f}]"


class Interleaved:
    """Times several calls, one of each a round, in an order shuffled anew.

    Counted is the time of the processor, which on one thread is the time that passes, less what other processes take.

    Args:
        calls: what to time, by name.
        rounds: number of rounds after one that is not counted, at least.
        seconds: how long to go on, at least.
    """

    def __init__(self, calls: Mapping[str, Callable[[], object]], rounds: int = 25, seconds: float = 0.0) -> None:
        self.samples: dict[str, list[float]] = {name: [] for name in calls}
        order = random.Random(0)
        for call in calls.values():
            call()
        enabled = gc.isenabled()
        gc.disable()
        end = time.monotonic() + seconds
        try:
            while rounds > 0 or time.monotonic() < end:
                rounds -= 1
                for name in order.sample(list(calls), len(calls)):
                    start = time.process_time_ns()
                    calls[name]()
                    self.samples[name].append((time.process_time_ns() - start) * 1e-9)
                gc.collect()
        finally:
            if enabled:
                gc.enable()

    def of(self, quantity: Callable[[dict[str, float]], float]) -> Ratio:
        """The median of `quantity` over rounds, from the times in seconds by name; what is compared is of one round, and met the same."""
        rounds = len(next(iter(self.samples.values())))
        values = np.array([quantity({name: times[n] for name, times in self.samples.items()}) for n in range(rounds)])
        drawn = np.median(np.random.default_rng(0).choice(values, (1000, rounds)), axis=1)
        low, high = np.quantile(drawn, [0.025, 0.975])
        return Ratio(median=float(np.median(values)), low=float(low), high=float(high))

    def least(self, quantity: Callable[[dict[str, float]], float]) -> float:
        """`quantity` of the least time of each call: what is left when nothing disturbs."""
        return quantity({name: min(times) for name, times in self.samples.items()})
