"""Runge-Kutta methods of fixed steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from odebench.contract import GridRequest, State
from odebench.errors import GridError, IncompatibleError
from odebench.numerics.outputs import nearest_fitting_count, outputs_by_step
from odebench_torchdiffeq.grids import GridPoints, given_grid, points_of, takes_tolerance
from odebench_torchdiffeq.solver import Request, TorchdiffeqSolver


class FixedSolver(TorchdiffeqSolver):
    """Steps on a grid that is handed to torchdiffeq point by point, so that it takes exactly these.

    Left to itself torchdiffeq takes one step from each output time to the next, and with `step_size` a sliver of a step where
    the division rounds; neither can happen here.

    Output times inside a step are interpolated as far as torchdiffeq can: linearly for orders up to 2, by the cubic Hermite
    polynomial, one evaluation for each output time, for orders up to 4. For higher orders they must fall on the grid.

    Source: torchdiffeq 0.2.5, `fixed_grid.py`, `solvers.py`.
    """

    source: ClassVar[str] = "R. T. Q. Chen, torchdiffeq 0.2.5, https://github.com/rtqichen/torchdiffeq"

    def request(self, y0: State, ts: Sequence[float], grid: GridRequest, constant_steps: bool) -> Request:
        """As `TorchdiffeqSolver.request` says."""
        if takes_tolerance(grid):
            raise IncompatibleError(
                f"Solver {self.name!r} takes fixed steps and cannot follow a tolerance. Give steps or step_size instead."
            )
        steps = given_grid(grid, ts, self.name)
        placed = outputs_by_step(ts, steps.t.tolist(), steps.dt.tolist(), steps.end)
        off_grid = any(share not in (0.0, 1.0) for here in placed.values() for _, share in here)
        if off_grid and self.order > 4:
            fitting = nearest_fitting_count(ts, steps.steps)
            advice = f"The nearest number of uniform steps that does is {fitting}." if fitting else "Use other times."
            raise GridError(
                f"Solver {self.name!r} has no interpolant of its order, so output times must fall on the grid. {advice}"
            )
        interp = "cubic" if off_grid and self.order > 2 else "linear"
        points = points_of(steps)
        return Request(
            **self.tolerances(),
            options=self.options() | {"grid_constructor": GridPoints(points), "interp": interp},
            # The adjoint is solved in time as torchdiffeq turned it: rising.
            adjoint_options=self.options() | {"grid_constructor": GridPoints(points if ts[-1] > ts[0] else -points)},
            grid=steps,
            # torchdiffeq demands that the grid end with the last output time.
            beyond=steps.end if abs(steps.end - ts[-1]) > 1e-9 * abs(steps.dt[-1].item()) else None,
        )

    def options(self) -> dict[str, object]:
        """Further options of the method."""
        return {}

    def tolerances(self) -> dict[str, float]:
        """rtol and atol of the call, where they mean something."""
        return {}


class Euler(FixedSolver):
    """Euler's method, order 1; 1 stage."""

    name: ClassVar[str] = "torchdiffeq/euler"
    method: ClassVar[str] = "euler"
    order = 1
    stages = 1


class Midpoint(FixedSolver):
    """The explicit midpoint rule, order 2; 2 stages."""

    name: ClassVar[str] = "torchdiffeq/midpoint"
    method: ClassVar[str] = "midpoint"
    order = 2
    stages = 2


class Heun2(FixedSolver):
    """Heun's method of order 2, the explicit trapezoidal rule; 2 stages."""

    name: ClassVar[str] = "torchdiffeq/heun2"
    method: ClassVar[str] = "heun2"
    order = 2
    stages = 2


class Heun3(FixedSolver):
    """Heun's method of order 3; 3 stages."""

    name: ClassVar[str] = "torchdiffeq/heun3"
    method: ClassVar[str] = "heun3"
    order = 3
    stages = 3


class Rk4(FixedSolver):
    """Kutta's 3/8 rule, order 4; 4 stages. It is not the classical method that others call rk4."""

    name: ClassVar[str] = "torchdiffeq/rk4"
    method: ClassVar[str] = "rk4"
    order = 4
    stages = 4
