"""The timing part: one round, in a process that times one cell and nothing else."""

from __future__ import annotations

import gc
import glob
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from odebench.contract import Answer, Setting, State
from odebench.errors import MeasurementError
from odebench.run.answers import check_tensors
from odebench.run.bench import Bench
from odebench.run.engine import compile_s
from odebench.run.fingerprint import Fingerprint, fingerprint_of, mismatch
from odebench.run.opaque import opaque
from odebench.run.request import Request

#: More CPU time than this many threads had, beyond those that the cell is given, is a thread behind our back.
_THREADS_TOO_MANY = 0.1
#: Share of the time in which this process wanted a core and had none, beyond which a round is spoilt.
_WAITED_TOO_LONG = 0.1
#: Tensors of each pass that are looked at while the clock runs: an answer that is still being made must be waited for.
_CONSUMED = 2
#: The largest block after whose release glibc changes what it keeps is 32 MiB.
_HELD_BYTES = 31 * 2**20


@dataclass(kw_only=True)
class _Clock:
    """What timed regions took; all times in nanoseconds. `elsewhere` is CPU time of other threads than the caller's."""

    wall: int = 0
    cpu: int = 0
    elsewhere: int = 0
    waited: int = 0
    samples: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, nanoseconds: int) -> None:
        """Keep one sample, in seconds."""
        self.samples.setdefault(f"time_{name}_s", []).append(nanoseconds * 1e-9)

    def take(self, other: _Clock) -> None:
        """Add what another one holds."""
        for name in ("wall", "cpu", "elsewhere", "waited"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name, samples in other.samples.items():
            self.samples.setdefault(name, []).extend(samples)


def measure(request: Request, bench: Bench, folder: Path) -> dict[str, Any]:
    """One timing round: a first call, and `repeats` timed ones, each from an initial state of its own.

    What a compiled cell has compiled is told apart, and a call in which it was is no sample. The first round compiles from nothing;
    in the others torch's cache, which other programs fill too, would make that time a matter of luck: they do not tell it.

    Raises:
        MeasurementError: an answer is not the one that the quality part got for the same initial state.
    """
    hold_memory()
    if bench.engine is not None and request.round == 0:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(Path.cwd() / "inductor")
    setting = bench.setting(opaque)
    starts = [bench.start(index) for index in range(request.repeats + 1)]
    first, clock, compiling_s, first_compiling_s = _Clock(), _Clock(), 0.0, 0.0
    gc.collect()
    gc.freeze()
    gc.disable()
    seen: list[Fingerprint] = []
    for index, y0 in enumerate(starts):
        # The first call pays for everything that is done once: it is no sample.
        trial = first if index == 0 else _Clock()
        answer = _timed(bench, setting, y0, trial)
        compiling_s += compile_s(answer.stats)
        first_compiling_s = compiling_s if index == 0 else first_compiling_s
        if index and compile_s(answer.stats):
            trial = _Clock()
            answer = _timed(bench, setting, y0, trial)
        if index:
            clock.take(trial)
        _check(bench, answer, request, seen)
        del answer
        gc.collect()
    return {
        "round": request.round,
        "outcome": "ok",
        "reason": None,
        "traceback": None,
        "samples": clock.samples,
        "time_first_s": first.samples["time_total_s"][0] - first_compiling_s,
        "time_prepare_s": compiling_s if bench.engine is not None and request.round == 0 else None,
        "cpu_over_wall": clock.cpu / clock.wall,
        "waited_share": clock.waited / clock.wall,
    } | _validity(clock, request.cell.threads, bench.device, bench.solver.fields_in == "jax")


def hold_memory() -> None:
    """Free a large block once: from then on glibc keeps what is freed, as in every process that has met large tensors.

    Until then it gives blocks of a megabyte back to the system and asks for them again, and the page faults of that fall on the bare
    field and on solves as chance has it.
    """
    torch.empty(_HELD_BYTES, dtype=torch.uint8)


def _timed(bench: Bench, setting: Setting, y0: State, clock: _Clock) -> Answer:
    """One call under the clock, forward and backward apart; the device is idle before, between and after."""
    bench.forget_gradients()
    torch.manual_seed(bench.cell.seed)
    bench.synchronise()
    compiled = bench.solver.fields_in == "jax"
    waited, cpu, own = _waited_ns(compiled), time.process_time_ns(), time.thread_time_ns()
    start = time.perf_counter_ns()
    answer = bench.task.forward(setting, y0)
    _consume(answer.states, skip=0)
    bench.synchronise()
    middle = end = time.perf_counter_ns()
    if answer.backward is not None:
        before = len(answer.states)
        answer.backward()
        _consume(answer.states, skip=before)
        bench.synchronise()
        end = time.perf_counter_ns()
    spent, own = time.process_time_ns() - cpu, time.thread_time_ns() - own
    clock.cpu += spent
    clock.elsewhere += spent - own
    clock.waited += _waited_ns(compiled) - waited
    clock.wall += end - start
    clock.add("forward", middle - start)
    if answer.backward is not None:
        clock.add("backward", end - middle)
    clock.add("total", end - start)
    answer.backward = None
    return answer


def _consume(states: dict[str, Tensor], *, skip: int) -> None:
    """Have a number that depends on every element of the first tensors that came in this pass."""
    for tensor in list(states.values())[skip : skip + _CONSUMED]:
        tensor.sum().item()


def _check(bench: Bench, answer: Answer, request: Request, seen: list[Fingerprint]) -> None:
    """Compare with what the quality part got from the same initial state, and with the answers before this one.

    Args:
        seen: fingerprints of those, by the index of the initial state; this one's is added.
    """
    check_tensors(answer, bench.device, bench.leaves[0].dtype)
    got, index, prints = fingerprint_of(answer.states), len(seen), request.fingerprints
    eps = torch.finfo(bench.leaves[0].dtype).eps
    wrong = mismatch(got, prints[str(index)], prints["0"], eps) if str(index) in prints else None
    if wrong is not None:
        raise MeasurementError(
            f"Under the clock it gave another answer than before, from the same initial state (number {index}): {wrong}."
        )
    if prints.get("0") != prints.get("1") and got in seen:
        raise MeasurementError(
            f"Under the clock it gave the same answer to two initial states (numbers {seen.index(got)} and {index})."
        )
    seen.append(got)


def _validity(clock: _Clock, threads: int, device: torch.device, compiled: bool = False) -> dict[str, Any]:
    used, waited, elsewhere = clock.cpu / clock.wall, clock.waited / clock.wall, clock.elsewhere / max(clock.cpu, 1)
    given = f"with {threads} thread{'s' * (threads > 1)} given"
    if used > threads + _THREADS_TOO_MANY:
        reason = f"It used {used:.2f} seconds of CPU a second, {given}."
    # On a busy machine threads get little of a second each. Accelerators have threads of autograd's own, and a program that XLA
    # compiled has some of its work done by a pool, which has as many threads as the cell, while the caller waits.
    elif device.type == "cpu" and not compiled and elsewhere > (threads - 1) / threads + _THREADS_TOO_MANY:
        reason = f"It spent {elsewhere:.0%} of its CPU time in other threads than the caller's, {given}."
    elif waited > _WAITED_TOO_LONG:
        reason = f"The machine was busy: it waited for a core {waited:.0%} of the time."
    else:
        return {"valid": True, "reason_invalid": None}
    return {"valid": False, "reason_invalid": reason}


def _waited_ns(all_threads: bool = False) -> int:
    """Nanoseconds that this thread, or all together, were ready to run and had no core; 0 where the system does not tell."""
    total = 0
    for place in glob.glob("/proc/self/task/*") if all_threads else ["/proc/thread-self"]:
        try:
            with open(f"{place}/schedstat", encoding="ascii") as file:
                total += int(file.read().split()[1])
        except (OSError, IndexError, ValueError):
            continue
    return total
