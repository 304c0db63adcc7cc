"""Live bytes as torch's profiler sees them: slower than the tracker and without its blind spots, to check it by.

The profiler is told of every allocation of torch's allocator, operators' own workspaces included.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import torch

_MEMORY = "[memory]"


@dataclass(frozen=True, kw_only=True)
class ProfiledMemory:
    """What the allocator did while something ran.

    Attributes:
        peak_bytes: the most that was alive at once, beyond what was alive before.
        end_bytes: alive at the end, beyond what was alive before.
        peak_operator: the operator that was running when the peak was reached; None between operators.
        workspaces: by operator, the most bytes that one call allocated and freed again before it returned.
        undispatched: by what was running, bytes allocated outside any operator, where no dispatch mode can see them (a generator's
            state, for example); what was freed again is not taken off.
    """

    peak_bytes: int
    end_bytes: int
    peak_operator: str | None
    workspaces: dict[str, int]
    undispatched: dict[str, int]


@dataclass(kw_only=True)
class _Operator:
    name: str
    end: int
    live: int = 0
    peak: int = 0


def profile_memory(work: Callable[[], object]) -> ProfiledMemory:
    """Run `work` on CPU under the profiler. What it returns is kept alive until the profiler has stopped."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as profiler:
        kept = work()
    del kept
    events = profiler.profiler.kineto_results.events()
    operators = sorted((e for e in events if e.name() != _MEMORY), key=lambda e: (e.start_ns(), -e.duration_ns()))
    memory = sorted((e for e in events if e.name() == _MEMORY), key=lambda e: e.start_ns())
    live = peak = 0
    peak_operator: str | None = None
    workspaces: Counter[str] = Counter()
    undispatched: Counter[str] = Counter()
    running: list[_Operator] = []
    position = 0
    for event in memory:
        now, size = event.start_ns(), event.nbytes()
        while position < len(operators) and operators[position].start_ns() <= now:
            operator = operators[position]
            _leave(running, operator.start_ns(), workspaces)
            running.append(_Operator(name=operator.name(), end=operator.start_ns() + operator.duration_ns()))
            position += 1
        _leave(running, now, workspaces)
        live += size
        if size > 0 and not any(one.name.startswith("aten::") for one in running):
            undispatched[running[-1].name if running else "outside of all operators"] += size
        for one in running:
            one.live += size
            one.peak = max(one.peak, one.live)
        if live > peak:
            peak, peak_operator = live, running[-1].name if running else None
    _leave(running, None, workspaces)
    return ProfiledMemory(
        peak_bytes=peak,
        end_bytes=live,
        peak_operator=peak_operator,
        workspaces=dict(workspaces.most_common()),
        undispatched=dict(undispatched.most_common()),
    )


def _leave(running: list[_Operator], now: int | None, workspaces: Counter[str]) -> None:
    """Take the operators that ended before `now` off the stack; None takes all."""
    while running and (now is None or running[-1].end < now):
        operator = running.pop()
        extra = operator.peak - max(operator.live, 0)
        if extra > 0:
            workspaces[operator.name] = max(workspaces[operator.name], extra)
