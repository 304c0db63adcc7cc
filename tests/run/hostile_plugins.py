"""Solvers that break every rule of a benchmark, each one, and a healthy one beside them. A local plugin file."""

from __future__ import annotations

import ctypes
import gc
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import torch
from torch import nn

from odebench import Grid, Solution, Solver, Stats, hookimpl


def euler(field, y0, ts, grid, each=lambda y: y):
    """What an honest solver does."""
    outputs, y, ys, times = len(ts) - 1, y0, [y0], []
    for index in range(outputs):
        start, end = float(ts[index]), float(ts[index + 1])
        count = max(1, grid.steps // outputs)
        h = (end - start) / count
        for step in range(count):
            y = each(y + h * field(torch.full((), start + step * h, dtype=y.dtype), y))
            times.append((start + step * h, h))
        ys.append(y)
    table = torch.tensor(times, dtype=torch.float64)
    taken = Grid(t=table[:, 0].contiguous(), dt=table[:, 1].contiguous(), end=float(ts[-1]))
    return Solution(ys=torch.stack(ys), grid=taken, stats=Stats(evaluations_forward=len(times), accepted=len(times)))


class Honest(Solver):
    name = "honest"
    order = 1

    def solve(self, field, y0, ts, grid, inputs=()):
        return euler(field, y0, ts, grid)


class Raises(Honest):
    name = "raises"

    def solve(self, field, y0, ts, grid, inputs=()):
        raise ValueError("I never liked this field.")


class NotANumber(Honest):
    name = "not-a-number"

    def solve(self, field, y0, ts, grid, inputs=()):
        return euler(field, y0, ts, grid, each=lambda y: y * float("nan"))


class Endless(Honest):
    name = "endless"

    def solve(self, field, y0, ts, grid, inputs=()):
        while True:
            field(torch.zeros((), dtype=y0.dtype), y0)


class EndlessDeaf(Honest):
    """Ignores every signal that can be ignored."""

    name = "endless-deaf"

    def solve(self, field, y0, ts, grid, inputs=()):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        while True:
            time.sleep(1.0)


class EatsMemory(Honest):
    name = "eats-memory"

    def solve(self, field, y0, ts, grid, inputs=()):
        kept = []
        while True:
            kept.append(torch.ones(2**26, dtype=torch.uint8))


class EatsPythonMemory(Honest):
    name = "eats-python-memory"

    def solve(self, field, y0, ts, grid, inputs=()):
        kept = []
        while True:
            kept.append(bytearray(2**24))


class Leaves(Honest):
    name = "leaves"

    def solve(self, field, y0, ts, grid, inputs=()):
        os._exit(0)


class SegmentationFault(Honest):
    name = "segmentation-fault"

    def solve(self, field, y0, ts, grid, inputs=()):
        ctypes.string_at(0)


class Aborts(Honest):
    name = "aborts"

    def solve(self, field, y0, ts, grid, inputs=()):
        os.abort()


class Prints(Honest):
    name = "prints"

    def solve(self, field, y0, ts, grid, inputs=()):
        for text in ("the beginning\n", *["x" * 2**20] * 8, "\nthe end\n"):
            sys.stdout.write(text)
        return euler(field, y0, ts, grid)


class ChangesState(Honest):
    name = "changes-state"

    def solve(self, field, y0, ts, grid, inputs=()):
        solution = euler(field, y0, ts, grid)
        torch.set_default_dtype(torch.float64 if y0.dtype == torch.float32 else torch.float32)
        torch.set_flush_denormal(True)
        os.environ["HOSTILE"] = "1"
        return solution


class Patches(Honest):
    """Makes every later sum free."""

    name = "patches"

    def solve(self, field, y0, ts, grid, inputs=()):
        torch.Tensor.sum = lambda self, *a, **k: torch.zeros(())
        return euler(field, y0, ts, grid)


class Remembers(Honest):
    """Answers every question with the answer to the first."""

    name = "remembers"
    _answer = None

    def solve(self, field, y0, ts, grid, inputs=()):
        if Remembers._answer is None:
            Remembers._answer = euler(field, y0, ts, grid)
        return Remembers._answer


class RemembersByState(Honest):
    """Keeps answers by the initial state: the weights are forgotten."""

    name = "remembers-by-state"
    _answers = {}  # noqa: RUF012 - a cache that outlives the instance is the point

    def solve(self, field, y0, ts, grid, inputs=()):
        key = y0.numpy().tobytes()
        if key not in self._answers:
            self._answers[key] = euler(field, y0, ts, grid)
        return self._answers[key]


class HonestUntilTimed(Honest):
    """Solves whenever it is watched, and answers from memory under the clock, which it knows by the collector that is off."""

    name = "honest-until-timed"
    _answer = None

    def solve(self, field, y0, ts, grid, inputs=()):
        if not gc.isenabled() and not torch._C._len_torch_dispatch_stack():
            if HonestUntilTimed._answer is None:
                HonestUntilTimed._answer = euler(field, y0, ts, grid)
            return HonestUntilTimed._answer
        return euler(field, y0, ts, grid)


class UnwrapsByClosure(Honest):
    """Looks into the callable's code for the module, and calls that."""

    name = "unwraps-by-closure"

    def solve(self, field, y0, ts, grid, inputs=()):
        pending, seen = [type(field).__call__], set()
        while pending:
            item = pending.pop()
            if id(item) in seen:
                continue
            seen.add(id(item))
            if isinstance(item, nn.Module):
                return euler(item, y0, ts, grid)
            cells = getattr(item, "__closure__", None) or ()
            pending += [cell.cell_contents for cell in cells]
            pending += list(getattr(item, "__dict__", {}).values())
        raise LookupError("no module found")


class UnwrapsByCollector(Honest):
    """Asks the garbage collector for the module that owns the parameters, and calls its forward alone."""

    name = "unwraps-by-collector"

    def solve(self, field, y0, ts, grid, inputs=()):
        wanted = {id(parameter) for parameter in field.parameters()}
        for item in gc.get_objects():
            if isinstance(item, nn.Module) and any(id(p) in wanted for p in item.parameters(recurse=False)):
                return euler(item.forward, y0, ts, grid)
        raise LookupError("no module found")


class UnwrapsBlindly(UnwrapsByCollector):
    """Takes the profiler away while it does so, and puts it back."""

    name = "unwraps-blindly"

    def solve(self, field, y0, ts, grid, inputs=()):
        profiler = sys.getprofile()
        sys.setprofile(None)
        try:
            return super().solve(field, y0, ts, grid, inputs)
        finally:
            sys.setprofile(profiler)


class LazyTensor(torch.Tensor):
    """Would compute when it is looked at."""


class Lazy(Honest):
    name = "lazy"

    def solve(self, field, y0, ts, grid, inputs=()):
        solution = euler(field, y0, ts, grid)
        return Solution(ys=solution.ys.as_subclass(LazyTensor), grid=solution.grid, stats=solution.stats)


class LeavesThread(Honest):
    name = "leaves-thread"

    def solve(self, field, y0, ts, grid, inputs=()):
        threading.Thread(target=time.sleep, args=(30.0,), daemon=True).start()
        return euler(field, y0, ts, grid)


class UsesThreads(Honest):
    """Burns a second core behind the back of the clock, and cleans up."""

    name = "uses-threads"

    def solve(self, field, y0, ts, grid, inputs=()):
        workers = [threading.Thread(target=burn) for _ in range(2)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return euler(field, y0, ts, grid)


def burn():
    """Matrix products, which let other threads run."""
    a = torch.ones(384, 384)
    for _ in range(60):
        a = (a @ a).clamp(max=1.0)


class MutatesState(Honest):
    name = "mutates-state"

    def solve(self, field, y0, ts, grid, inputs=()):
        solution = euler(field, y0, ts, grid)
        y0.zero_()
        return solution


class MutatesParameters(Honest):
    name = "mutates-parameters"

    def solve(self, field, y0, ts, grid, inputs=()):
        solution = euler(field, y0, ts, grid)
        with torch.no_grad():
            for parameter in field.parameters():
                parameter.mul_(2.0)
        return solution


class Quits(Honest):
    name = "quits"

    def solve(self, field, y0, ts, grid, inputs=()):
        sys.exit("enough")


class Interrupts(Honest):
    name = "interrupts"

    def solve(self, field, y0, ts, grid, inputs=()):
        raise KeyboardInterrupt


class Survives(Honest):
    """Starts a process in a session of its own that outlives the cell."""

    name = "survives"

    def solve(self, field, y0, ts, grid, inputs=()):
        subprocess.Popen(["sleep", "4711"], start_new_session=True)
        return euler(field, y0, ts, grid)


class KillsItsParent(Honest):
    name = "kills-its-parent"

    def solve(self, field, y0, ts, grid, inputs=()):
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(30.0)


class DeletesFiles(Honest):
    name = "deletes-files"

    def solve(self, field, y0, ts, grid, inputs=()):
        solution = euler(field, y0, ts, grid)
        shutil.rmtree(os.getcwd())
        return solution


class FillsTheDisk(Honest):
    name = "fills-the-disk"

    def solve(self, field, y0, ts, grid, inputs=()):
        with open("large", "wb") as file:
            file.truncate(2**40)
        return euler(field, y0, ts, grid)


class WrongShape(Honest):
    name = "wrong-shape"

    def solve(self, field, y0, ts, grid, inputs=()):
        solution = euler(field, y0, ts, grid)
        return Solution(ys=solution.ys[:, :1], grid=solution.grid, stats=solution.stats)


class WrongType(Honest):
    name = "wrong-type"

    def solve(self, field, y0, ts, grid, inputs=()):
        return 42


@hookimpl
def odebench_register_solvers(register):
    for solver in [Honest, *Honest.__subclasses__(), UnwrapsBlindly]:
        register(solver)
