"""The solves inside a model's forward, and how each can be done again with another solver or with finer steps."""

from __future__ import annotations

import copy
import functools
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from odebench.contract import Field, Grid, GridRequest, Solver, State, StepSize, Tolerance
from odebench.numerics.odeint_adaptive import OdeintAdaptive
from odebench.numerics.outputs import CLOSE
from odebench.numerics.uniform import uniform_grid

# A method of adaptive steps is made finer by a tenth of the tolerance for each doubling.
_TENTH_A_DOUBLING = math.log2(10.0)
# Below so many units in the last place an error estimate is rounding, and a solve at a relative tolerance like that goes astray.
_LEAST_RTOL = 4.0
# What takes more attempts than this gives nothing that is worth waiting for.
_MOST_STEPS = 10_000


@dataclass(frozen=True, kw_only=True, eq=False)
class Call:
    """One solve that a model asks for.

    Attributes:
        field: the vector field.
        y0: the state at ts[0].
        ts: times at which states are asked for, the first and the last among them.
        solver: the model's own.
        request: how the model divides time: a `Grid` of steps, or a `Tolerance`.
        said: what the model calls its method, where that is not our name of it.
        original: does what the model asked somebody else's library for, with a field that stands for its own; None where `solver`
            does just that.
    """

    field: Field
    y0: State
    ts: tuple[float, ...]
    solver: Solver
    request: Grid | Tolerance
    said: str | None = None
    original: Callable[[Field], State] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Solved:
    """What one solve gave.

    Attributes:
        ys: states at all times of the call, `(times, *state)`.
        evaluations: calls of the field.
    """

    ys: State
    evaluations: int

    @property
    def after_start(self) -> State:
        """The states at all times but the first, which is given."""
        return tuple(y[1:] for y in self.ys) if isinstance(self.ys, tuple) else self.ys[1:]

    @property
    def y1(self) -> State:
        """The state at the last time."""
        return tuple(y[-1] for y in self.ys) if isinstance(self.ys, tuple) else self.ys[-1]


@dataclass(frozen=True, kw_only=True, eq=False)
class Scheme:
    """How to solve instead.

    Attributes:
        solver: which to use; None means the model's own.
        finer: into so many each step is divided; for a tolerance, a tenth of it for each doubling.
        tolerance: instead of what the model asks for; None keeps that.
    """

    solver: Solver | None = None
    finer: int = 1
    tolerance: Tolerance | None = None

    @property
    def is_own(self) -> bool:
        """Whether it changes nothing."""
        return self.solver is None and self.finer == 1 and self.tolerance is None

    def means(self, call: Call) -> tuple[Solver, Grid | Tolerance]:
        """The solver and the division of time for one call."""
        if self.tolerance is not None:
            return self.solver or call.solver, self.tolerance
        if isinstance(call.request, Grid):
            return self.solver or call.solver, finer_grid(call.request, call.ts, self.finer)
        if self.is_own:
            return call.solver, call.request
        asked, share = call.request, self.finer**-_TENTH_A_DOUBLING
        least = _LEAST_RTOL * torch.finfo(_dtype_of(call.y0)).eps
        tolerance = replace(
            asked,
            rtol=max(asked.rtol * share, least) if asked.rtol else 0.0,
            atol=asked.atol * share,
            max_steps=min(asked.max_steps, _MOST_STEPS),
        )
        return self.solver or _tightened(call.solver, share), tolerance

    def refines(self, call: Call) -> bool:
        """Whether it does something that another solver or a looser tolerance does not do already: a dtype has its limits."""
        if self.finer == 1 or isinstance(call.request, Grid):
            return True
        coarser = replace(self, finer=1).means(call)[1]
        return self.means(call)[1].rtol < coarser.rtol or (coarser.rtol == 0.0 and coarser.atol > 0.0)

    def solve(self, call: Call) -> Solved:
        """Solve a call in this way.

        Raises:
            DivergedError: it cannot go on.
        """
        if not (self.is_own and call.original is not None):
            solver, request = self.means(call)
            solution = solver.solve(call.field, call.y0, call.ts, request)
            return Solved(ys=solution.ys, evaluations=solution.stats.evaluations_forward)
        count, field, done = _counted(call.field)
        try:
            ys = call.original(field)
        finally:
            done()
        return Solved(ys=ys, evaluations=count[0])


OWN = Scheme()


def division_of(request: GridRequest, ts: Sequence[float]) -> Grid | Tolerance:
    """A request as a `Grid` or a `Tolerance`."""
    return uniform_grid(request, ts[0], ts[-1]) if isinstance(request, StepSize) else request


def finer_grid(grid: Grid, ts: Sequence[float], times: int) -> Grid:
    """The grid with each step divided into so many; steps also end at output times, so that nothing is interpolated."""
    edges = [*grid.t.tolist(), grid.end]
    points = edges[:1]
    direction = 1.0 if edges[-1] > edges[0] else -1.0
    inner = sorted(ts[1:-1], key=lambda t: direction * t)
    for start, end in itertools.pairwise(edges):
        close = CLOSE * abs(end - start)
        part = [start + (end - start) * k / times for k in range(1, times)] + [end]
        while inner and direction * (inner[0] - end) < close:
            time = inner.pop(0)
            if all(abs(time - point) > close for point in [start, *part]):
                part.append(time)
        points += sorted(part, key=lambda t: direction * t)
    starts = torch.tensor(points, dtype=torch.float64)
    return Grid(t=starts[:-1], dt=starts[1:] - starts[:-1], end=points[-1])


def _dtype_of(state: State) -> torch.dtype:
    return (state[0] if isinstance(state, tuple) else state).dtype


def _tightened(solver: Solver, share: float) -> Solver:
    """A solver of `odeint` whose own tolerances, those of single elements, shrink too; any other as it is."""
    if not isinstance(solver, OdeintAdaptive):
        return solver
    solver = copy.copy(solver)
    rules = solver.rules
    solver.rules = replace(
        rules,
        rtol=None if rules.rtol is None else rules.rtol * share,
        atol=None if rules.atol is None else rules.atol * share,
    )
    return solver


def _counted(field: Field) -> tuple[list[int], Field, Callable[[], None]]:
    """A counter of a field's calls, the field to use, and what ends the counting. A module stays the module that it is."""
    count = [0]
    if isinstance(field, nn.Module):

        def one_more(*_: object) -> None:
            count[0] += 1

        return count, field, field.register_forward_pre_hook(one_more).remove

    @functools.wraps(field)
    def counting(t: object, y: State) -> State:
        count[0] += 1
        return field(t, y)

    return count, counting, lambda: None
