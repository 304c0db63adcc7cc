"""What stays in memory: nothing without a graph, nothing after the backward pass, and at the peak what is claimed."""

from __future__ import annotations

import gc
import itertools
import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from odebench.conformance.failure import Failure
from odebench.conformance.gradients import companions
from odebench.conformance.gradients.companions import Companion
from odebench.conformance.gradients.problems import SmoothField, WideField, loss_of, start
from odebench.conformance.gradients.trial import TIMES, sources_of
from odebench.contract import GradientMethod, Solution, StepSize
from odebench.numerics.storage_tracker import StorageTracker

_SOLVE = StepSize(steps=40)
_STEPS = (12, 36, 108)
_ROWS = 16
_SLACK = 2.0
"""States by which a peak may grow where the claim says that it does not: an odd number of slots, a list of outputs."""


def check_without_a_graph(method: GradientMethod) -> None:
    """Under `torch.no_grad` it is a plain solve: the same states, no graph, and nothing kept but them."""
    companion = companions.companion_of(method)
    field, y0 = SmoothField(), start()
    expected = method.solve(companion.solver, field, y0, TIMES, _SOLVE).ys.detach().clone()
    for _ in range(2):  # torch itself keeps something the first time that operations are watched
        with without_collector(), torch.no_grad(), StorageTracker([y0, *field.parameters()]) as tracker:
            solution = method.solve(companion.solver, field, y0, TIMES, _SOLVE)
            left = tracker.left_bytes(_tensors_of(solution))
    if solution.ys.requires_grad or left or not torch.equal(solution.ys, expected):
        raise Failure(
            expected="the plain solution under `torch.no_grad`, and nothing kept for a backward that cannot come",
            measured=f"{left} bytes kept, requires_grad={solution.ys.requires_grad}, "
            f"a largest difference of {(solution.ys - expected).abs().max().item():.1e}",
            cause="the method records, or stores checkpoints, without asking `torch.is_grad_enabled()`",
            look="the beginning of `solve`",
        )


def check_nothing_is_left_alive(method: GradientMethod) -> str:
    """After the backward pass no byte is left but the outputs, the grid and the gradients; without one, none is either."""
    companion = companions.companion_of(method)
    for goes_back in (True, False):
        _left(method, companion, goes_back)  # torch itself keeps something the first time that it is watched
        left = _left(method, companion, goes_back)
        if left:
            raise Failure(
                expected="no bytes left beyond the outputs, the grid and the gradients"
                if goes_back
                else "no bytes left once a solution is dropped that nobody went back through",
                measured=f"{left} bytes, {left / (start().numel() * 8):.3g} times a state",
                cause="tensors are kept outside of autograd's reach, or a reference cycle keeps them",
                look="what is stored on `ctx` without `ctx.save_for_backward`, in closures, and in attributes of the method",
            )
    return "0 bytes"


def _left(method: GradientMethod, companion: Companion, goes_back: bool) -> int:
    """Bytes that are alive after a solve, with or without its backward pass, beyond what it gave."""
    field, y0 = SmoothField(), start()
    with without_collector(), StorageTracker([y0, *field.parameters()]) as tracker:
        solution = method.solve(companion.solver, field, y0, TIMES, _SOLVE)
        if not goes_back:
            del solution
            return tracker.live_bytes
        found = torch.autograd.grad(loss_of(solution.ys), tuple(sources_of(field, y0).values()))
        return tracker.left_bytes([*_tensors_of(solution), *found])


def check_memory_grows_as_claimed(method: GradientMethod) -> str:
    """Over 12, 36 and 108 steps, and with more stages, the peak grows as `memory` says: no faster, and no slower."""
    growth = _growth_of(method.memory)
    state = _ROWS * WideField.size * 8
    told, units = [], []
    tried = companions.thrifty(method)
    for companion in tried:
        stages = companion.solver.stages or 1
        counts = _STEPS if stages > 1 or len(tried) == 1 else _STEPS[:2]
        peaks = [_peak(method, companion, steps) for steps in counts]
        sizes = [growth(steps, stages) for steps in counts]
        added = [(after - before) / state for before, after in itertools.pairwise(peaks)]
        grown = [after - before for before, after in itertools.pairwise(sizes)]
        figures = ", ".join(f"{peak / state:.1f}" for peak in peaks)
        measured = f"peaks of {figures} states at {', '.join(map(str, counts))} steps of {stages} stage(s)"
        told.append(figures)
        if not grown[-1]:
            if added[-1] > _SLACK:
                _fail(method, "a peak that does not grow with the number of steps", measured, too_much=True)
            continue
        each = [more / unit for more, unit in zip(added, grown, strict=True)]
        if added[-1] > _SLACK + 1.3 * max(each[0], 0.0) * grown[-1]:
            _fail(method, f"a peak that grows no faster than {method.memory}", measured, too_much=True)
        if each[-1] < 0.4:
            _fail(
                method,
                f"a peak that grows like {method.memory}, by a state for each unit or more",
                measured,
                too_much=False,
            )
        units.append(each[-1])
    if len(units) > 1 and units[-1] > 1.6 * units[0] + 0.1:
        _fail(
            method,
            f"a peak that grows like {method.memory}, whatever the number of stages",
            f"{units[0]:.1f} states for each unit with one stage and {units[-1]:.1f} with three",
            too_much=True,
        )
    return "peaks in states: " + "; ".join(told)


def _growth_of(claim: str) -> Callable[[int, int], float]:
    """The function of N and s inside "O(…)"; a word that is none of both, such as "slots", is a constant.

    Raises:
        Failure: it cannot be read.
    """
    inside = re.fullmatch(r"O\((.+)\)", claim.strip()) if isinstance(claim, str) else None
    terms = [] if inside is None else re.split(r"\s*\+\s*", inside[1])
    factor = re.compile(r"(sqrt|log)?\s*\(?\s*([A-Za-z]+|1)\s*\)?(?:\^(\d+))?[\s·*]*")
    read = []
    for term in terms:
        factors, position = [], 0
        while position < len(term) and (found := factor.match(term, position)) is not None and found.end() > position:
            factors.append(found.groups())
            position = found.end()
        if position < len(term):
            read = []
            break
        read.append(factors)
    if not read:
        raise Failure(
            expected='how the peak grows with the number of steps N and of stages s, such as "O(N s)", "O(sqrt N)" or "O(1)"',
            measured=f"`memory` = {claim!r}",
            cause="a figure in other words",
            look="the attribute `memory` of the class",
        )

    def growth(steps: int, stages: int) -> float:
        def value(kind: str | None, name: str, power: str | None) -> float:
            base = {"N": steps, "s": stages}.get(name, 1)
            base = math.sqrt(base) if kind == "sqrt" else math.log2(base) if kind == "log" and base > 1 else base
            return float(base) ** int(power or 1)

        return sum(math.prod(value(*each) for each in factors) for factors in read)

    return growth


def _peak(method: GradientMethod, companion: Companion, steps: int) -> int:
    """Bytes at the peak, beyond inputs, outputs, the record of the grid, and the gradients.

    What a compiled program allocates torch does not see; the compiler's own analysis of it counts, as it does in records.
    """
    field = WideField()
    y0 = torch.linspace(-1, 1, _ROWS * WideField.size, dtype=torch.float64).reshape(_ROWS, -1).requires_grad_()
    with without_collector(), StorageTracker([y0, *field.parameters()]) as tracker:
        solution = method.solve(companion.solver, field, y0, (0.0, 1.0), StepSize(steps=steps))
        found = torch.autograd.grad(solution.ys[-1].square().sum(), (y0, *field.parameters()))
    grid = [] if solution.grid is None else [solution.grid.t, solution.grid.dt]
    program = solution.stats.memory
    peak = tracker.peak_bytes if program is None else program.peak_bytes
    return peak - sum(map(_bytes, (solution.ys, *grid, *found)))


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _fail(method: GradientMethod, expected: str, measured: str, *, too_much: bool) -> None:
    raise Failure(
        expected=f"{expected} (`memory` = {method.memory!r})",
        measured=measured,
        cause="more is kept alive than is meant to be: a graph over several steps, or states that are not dropped once they served"
        if too_much
        else "the method is thriftier than it says",
        look="what is alive while the backward pass goes on; a step at a time needs a graph of one step"
        if too_much
        else "the attribute `memory`: claim what is measured",
    )


def _tensors_of(solution: Solution) -> list[Tensor]:
    grid = [] if solution.grid is None else [solution.grid.t, solution.grid.dt]
    return [*(solution.ys if isinstance(solution.ys, tuple) else (solution.ys,)), *grid]


@contextmanager
def without_collector() -> Iterator[None]:
    """What only the garbage collector can free is alive until it runs, at a moment that nobody can foretell."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
