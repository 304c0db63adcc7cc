"""The memory part: bytes that a cell holds beyond its inputs, in a process that does nothing else."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from odebench.contract import Answer, State
from odebench.numerics.storage_tracker import StorageTracker
from odebench.run.answers import grid_bytes
from odebench.run.bench import Bench
from odebench.run.memory_profile import profile_memory
from odebench.run.opaque import opaque
from odebench.run.request import Request


@dataclass(frozen=True, kw_only=True)
class MemoryUse:
    """Bytes beyond the initial state and the parameters.

    Attributes:
        peak_bytes: the most that was alive at once.
        forward_bytes: alive after the forward pass: the answer, and what the backward pass needs.
        left_bytes: made meanwhile and alive at the end, beyond the answer, its grid and the gradients: a leak. None for compiled programs.
        grid_bytes: of the steps' own data, as far as it is counted in the first two; None where the solver does not tell its steps.
        method: "dispatch-tracker", "profiler" for torch's compiled loops, "cuda-allocator", or the analysis of a compiler, whose programs torch's allocator knows nothing of.
    """

    peak_bytes: int
    forward_bytes: int
    left_bytes: int | None
    grid_bytes: int | None
    method: str


def measure(request: Request, bench: Bench, folder: Path) -> dict[str, Any]:
    """Run the cell once in this process and follow its memory: the first call, before any cache is warm."""
    use = memory_use(bench)
    values = {
        "memory_peak_bytes": use.peak_bytes,
        "memory_forward_bytes": use.forward_bytes,
        "memory_left_bytes": use.left_bytes,
        "memory_grid_bytes": use.grid_bytes,
        "memory_method": use.method,
    }
    reasons = {} if use.grid_bytes is not None else {"memory_grid_bytes": "The solver does not tell its steps."}
    if use.left_bytes is None:
        reasons["memory_left_bytes"] = "The memory is that of compiled programs, which torch's tracker cannot see."
    return {"outcome": "ok", "reason": None, "traceback": None, "values": values, "reasons": reasons}


def memory_use(bench: Bench) -> MemoryUse:
    """Memory of one forward and backward pass of the cell's task."""
    y0 = bench.start(0)
    forward, backward = passes(bench, y0)
    bench.prepare(bench.setting(opaque))
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()  # What only the collector can free is alive until then, at a moment that nobody can foretell.
    try:
        if bench.device.type == "cuda":
            return _by_allocator(bench, forward, backward)
        if bench.engine is not None:
            return by_profiler(bench, forward, backward)
        leaves = y0 if isinstance(y0, tuple) else (y0,)
        return _by_tracker(bench, leaves, forward, backward)
    finally:
        if collecting:
            gc.enable()


def passes(bench: Bench, y0: State) -> tuple[Callable[[], Answer], Callable[[Answer], None]]:
    """The cell's forward and backward pass from `y0`, with nothing between them and the plugin that counts or watches."""
    setting = bench.setting(opaque)
    bench.forget_gradients()
    torch.manual_seed(bench.cell.seed)

    def forward() -> Answer:
        return bench.task.forward(setting, y0)

    def backward(answer: Answer) -> None:
        if answer.backward is not None:
            answer.backward()
        answer.backward = None

    return forward, backward


def _by_tracker(
    bench: Bench, leaves: tuple[Tensor, ...], forward: Callable[[], Answer], backward: Callable[[Answer], None]
) -> MemoryUse:
    with StorageTracker([*leaves, *bench.constants]) as tracker:
        answer = forward()
        after_forward = tracker.live_bytes
        backward(answer)
        left = tracker.left_bytes(_given(bench, answer))
    if programs := [stats.memory for stats in answer.stats if stats.memory is not None]:
        # Torch's own part, which is the loss, is left out: what it holds are the programs' outputs, that would be counted twice.
        return MemoryUse(
            peak_bytes=sum(program.peak_bytes for program in programs),
            forward_bytes=sum(program.forward_bytes for program in programs),
            left_bytes=None,
            # Programs have room for as many steps as there may be, however many there are.
            grid_bytes=None if answer.grid is None else 0,
            method=programs[0].method,
        )
    return MemoryUse(
        peak_bytes=tracker.peak_bytes,
        forward_bytes=after_forward,
        left_bytes=left,
        grid_bytes=grid_bytes(answer.grid),
        method="dispatch-tracker",
    )


def by_profiler(bench: Bench, forward: Callable[[], Answer], backward: Callable[[Answer], None]) -> MemoryUse:
    """What torch's profiler sees of the allocator: compiled loops call no operator that a tracker could follow.

    The passes run twice: what is alive between them is what the first alone leaves. A grid that is the same in both was there before.
    """
    answers: list[Answer] = []

    def there() -> Answer:
        answers.append(forward())
        return answers[-1]

    def there_and_back() -> Answer:
        backward(there())
        return answers[-1]

    after_forward = profile_memory(there).end_bytes
    first = _storages(_steps(answers[0]))
    bench.forget_gradients()
    profiled = profile_memory(there_and_back)
    made = {key: size for key, size in _storages(_given(bench, answers[1])).items() if key not in first}
    steps = [size for key, size in _storages(_steps(answers[1])).items() if key in made]
    return MemoryUse(
        peak_bytes=profiled.peak_bytes,
        forward_bytes=after_forward,
        left_bytes=profiled.end_bytes - sum(made.values()),
        grid_bytes=None if answers[1].grid is None else sum(steps),
        method="profiler",
    )


def _storages(tensors: list[Tensor]) -> dict[int, int]:
    """Bytes of the storages of these tensors."""
    return {t.untyped_storage()._cdata: t.untyped_storage().nbytes() for t in tensors}


def _steps(answer: Answer) -> list[Tensor]:
    return [] if answer.grid is None else [answer.grid.t, answer.grid.dt]


def _given(bench: Bench, answer: Answer) -> list[Tensor]:
    """Tensors that are not there for nothing when all is over: the answer, its grid and the gradients of the loss."""
    given = list(answer.states.values()) + _steps(answer)
    return given + [parameter.grad for parameter in bench.loss_parameters if parameter.grad is not None]


def _by_allocator(bench: Bench, forward: Callable[[], Answer], backward: Callable[[Answer], None]) -> MemoryUse:
    """What the allocator of a CUDA device counts; a first pass loads the libraries' kernels and workspaces."""
    device = bench.device
    backward(forward())
    bench.forget_gradients()
    gc.collect()
    bench.synchronise()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    base = torch.cuda.memory_allocated(device)
    answer = forward()
    bench.synchronise()
    after_forward = torch.cuda.memory_allocated(device)
    backward(answer)
    bench.synchronise()
    peak = torch.cuda.max_memory_allocated(device) - base
    grid = grid_bytes(answer.grid)
    answer.grid = None
    answer.states.clear()
    bench.forget_gradients()
    return MemoryUse(
        peak_bytes=peak,
        forward_bytes=after_forward - base,
        left_bytes=torch.cuda.memory_allocated(device) - base,
        grid_bytes=grid,
        method="cuda-allocator",
    )
