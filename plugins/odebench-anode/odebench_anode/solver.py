"""ANODE's solvers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

import odebench
from odebench.contract import Field, GridRequest, State
from odebench.errors import IncompatibleError
from odebench.numerics import ButcherTableau
from odebench.numerics.adapted_request import given_grid, outputs_on_points, steps_of
from odebench.numerics.lent_field import LentField
from odebench.numerics.outputs import checked_times
from odebench.research_code import ResearchCode, ResearchSolver
from odebench.solvers import euler, midpoint, rk4
from odebench_anode.code import ANODE, SOURCE

# Steps of one call may differ by so much of their length, as sums of step lengths round.
EQUAL = 1e-9


class AnodeSolver(ResearchSolver):
    """A method of `anode.odesolver`.

    * ANODE always solves from 0 to 1 in a number of equal steps, and gives the state at the end: here it is called from one output
      time to the next, with the field scaled by the length of the call. Steps of different lengths are calls of their own.
    * Output times must fall on the steps.
    * It takes one tensor: a tuple is packed.

    Args:
        source: folder of a clone of https://github.com/amirgholami/anode; None takes that in ODEBENCH_ANODE_SOURCE.

    Attributes:
        method: ANODE's name.
    """

    method: ClassVar[str]
    code: ClassVar[ResearchCode] = ANODE
    source: ClassVar[str] = SOURCE

    def solve(
        self,
        field: Field,
        y0: State,
        ts: Sequence[float] | Tensor,
        grid: GridRequest,
        inputs: tuple[Tensor, ...] = (),
    ) -> odebench.Solution:
        """As `odebench.Solver.solve` says."""
        return self.run(field, y0, ts, grid, self.library.odesolver)

    def run(
        self,
        field: Field,
        y0: State,
        ts: Sequence[float] | Tensor,
        grid: GridRequest,
        function: Callable[[nn.Module, Tensor, dict[str, Any]], Tensor],
        *,
        declared: tuple[Tensor, ...] | None = None,
        gradient: str = "",
    ) -> odebench.Solution:
        """Solve with a function of ANODE.

        Args:
            field, y0, ts, grid: as in `solve`.
            function: `odesolver` or `odesolver_adjoint`.
            declared: tensors that ANODE's adjoint gives gradients to.
            gradient: its name.
        """
        times = checked_times(ts)
        if isinstance(grid, odebench.Tolerance):
            raise IncompatibleError(
                f"Solver {self.name!r} takes fixed steps and cannot follow a tolerance. Give steps or step_size instead."
            )
        grid = given_grid(grid, times, self.name)
        points, places = outputs_on_points(times, grid, self.name)
        lent = LentField(field, y0, declared=declared, method=gradient)
        if declared == ():  # ANODE asks autograd for the gradients of all parameters, and none is an error
            lent.register_parameter("none", nn.Parameter(torch.zeros(1, dtype=lent.time_dtype, device=lent.device)))
        ys = [lent.packing.pack(y0)]
        for first, last in itertools.pairwise(places):
            y = ys[-1]
            for start, end, steps in equal_steps(points[first : last + 1]):
                y = function(_OnUnitTime(lent, start, end), y, {"Nt": steps, "method": self.method})
            ys.append(y)
        lent.end_forward()
        lent.stats.accepted = grid.steps
        return odebench.Solution(ys=lent.packing.unpack_outputs(torch.stack(ys)), grid=grid, stats=lent.stats)


class _OnUnitTime(nn.Module):
    """The lent field between two times as ANODE sees it: over [0, 1], in its own unit of time."""

    def __init__(self, lent: LentField, start: float, end: float) -> None:
        super().__init__()
        self.lent = lent
        self._start, self._length = start, end - start

    def forward(self, s: float, y: Tensor) -> Tensor:
        return self._length * self.lent(self._start + s * self._length, y)


def equal_steps(points: Sequence[float]) -> Iterator[tuple[float, float, int]]:
    """Start, end and number of the steps of each run of equal ones.

    >>> list(equal_steps([0.0, 1.0, 2.0, 2.5]))
    [(0.0, 2.0, 2), (2.0, 2.5, 1)]
    """
    first = 0
    for last in range(1, len(points)):
        length = points[first + 1] - points[first]
        following = points[last + 1] - points[last] if last + 1 < len(points) else None
        if following is None or abs(following - length) > EQUAL * abs(length):
            yield points[first], points[last], last - first
            first = last


class Euler(AnodeSolver):
    """Euler's method, order 1; 1 stage."""

    name: ClassVar[str] = "anode/euler"
    tableau: ClassVar[ButcherTableau] = steps_of(euler.Euler.tableau)
    method: ClassVar[str] = "Euler"
    order = 1
    stages = 1


class Rk2(AnodeSolver):
    """The explicit midpoint rule, order 2; 2 stages."""

    name: ClassVar[str] = "anode/rk2"
    tableau: ClassVar[ButcherTableau] = steps_of(midpoint.Midpoint.tableau)
    method: ClassVar[str] = "RK2"
    order = 2
    stages = 2


class Rk4(AnodeSolver):
    """The classical method, order 4; 4 stages."""

    name: ClassVar[str] = "anode/rk4"
    tableau: ClassVar[ButcherTableau] = steps_of(rk4.Rk4.tableau)
    method: ClassVar[str] = "RK4"
    order = 4
    stages = 4


SOLVERS = (Euler, Rk2, Rk4)
