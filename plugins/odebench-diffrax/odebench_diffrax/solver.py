"""What all solvers of diffrax have in common. JAX is imported when one of them solves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

import odebench
from odebench.contract import Field, GridRequest, State
from odebench.errors import IncompatibleError
from odebench.numerics.adapted_request import refuse_unhonoured
from odebench.numerics.lent_field import wanted_tensors
from odebench.numerics.march_rows import refuse_rows
from odebench.numerics.outputs import CLOSE, checked_times, outputs_by_step
from odebench.numerics.uniform import uniform_grid
from odebench_diffrax.plan import RECURSIVE_CHECKPOINT, Plan
from odebench_diffrax.solve import Adjoint, Solve
from odebench_diffrax.tableau import coefficients_of

HONOURED = {"rtol", "atol", "per-sample", "first_step", "min_step", "max_steps", "safety", "min_factor", "max_factor"}
# Accepted steps are told where the array of all attempts that are allowed takes no more than this: it is filled in each solve.
_TOLD_BYTES = 2**20


class DiffraxSolver(odebench.OpaqueSolver):
    """A solver of diffrax, compiled by JAX with the whole solve.

    * The field is the model's `jax_field`. A field without one, which odebench measures with no solver of diffrax, is called back
      from the compiled program: right, for trying things out, and slow.
    * A program is compiled for each field, shape, dtype and number of steps, in the first call; numbers such as tolerances and
      times do not need a new one.
    * States are float32 or float64, and times have the state's dtype, as diffrax wants it; half types are computed in float32,
      and the field sees them in their own. All is computed on CPU.
    * Given steps are `StepTo`; with a tolerance `PIDController` with diffrax's own coefficients, integral control, chooses them.
    * diffrax 0.7.2 begins with a step of 0.01 where none is given: it has a rule for the first step, and does not use it, since it
      sees its own wrapping in the place of an `ODETerm`.
    * `batch="per-sample"` is `jax.vmap` over rows: the loop goes on until the last row has arrived, and each attempt evaluates all rows.
    * `max_steps` bounds the attempts, and what reverse differentiation allocates; diffrax's default is 4096.
    * Evaluations are counted from diffrax's count of steps, which is all that it tells: its loop takes a fixed number for each
      attempt of an explicit method. Those of implicit methods are counted by the host.

    Args:
        adaptive: False for a method that can follow a tolerance and shall take the steps of a suite; None leaves it as it is.
        max_steps: attempts of a solve with a tolerance.
        pcoeff, icoeff, dcoeff: of `PIDController`.
        newton: tolerance of the equations of an implicit method's step where steps are given, by Newton's method; None takes 1e-12
            in float64 and 1e-6 in float32. With error control diffrax solves them to the tolerance of the steps.

    Source: P. Kidger, "On neural differential equations", 2022, arXiv:2202.02435; diffrax 0.7.2.
    """

    fields_in = "jax"
    accepts_rows = True
    diffrax_name: ClassVar[str]
    evaluations_of_attempt: ClassVar[int | None] = None
    evaluations_at_start: ClassVar[int] = 0
    source: ClassVar[str] = "P. Kidger, On neural differential equations, arXiv:2202.02435; diffrax 0.7.2"

    def __init__(
        self,
        *,
        adaptive: bool | None = None,
        max_steps: int = 4096,
        pcoeff: float = 0.0,
        icoeff: float = 1.0,
        dcoeff: float = 0.0,
        newton: float | None = None,
    ) -> None:
        if adaptive and not type(self).adaptive:
            raise IncompatibleError(f"Solver {self.name!r} has no error estimate and cannot be adaptive.")
        if adaptive is not None:
            self.adaptive = adaptive
        if max_steps < 1:
            raise IncompatibleError(f"Solver {self.name!r}: max_steps is {max_steps!r}; it must be at least 1.")
        if newton is not None and not newton > 0:
            raise IncompatibleError(f"Solver {self.name!r}: newton is {newton!r}; it must be positive.")
        self.max_steps, self.newton = max_steps, newton
        self.coefficients = (float(pcoeff), float(icoeff), float(dcoeff))

    @property
    def tableau(self) -> Any:
        """diffrax's coefficients, by which the host replays a grid; None where the method has no tableau."""
        return coefficients_of(self.diffrax_name)

    def solve(
        self,
        field: Field,
        y0: State,
        ts: Sequence[float] | Tensor,
        grid: GridRequest,
        inputs: tuple[Tensor, ...] = (),
    ) -> odebench.Solution:
        """As `odebench.Solver.solve` says; where gradients are enabled, by diffrax's default adjoint."""
        if not torch.is_grad_enabled():
            return self.run(field, y0, ts, grid)
        wanted = wanted_tensors(field, inputs, self.name)
        return self.run(field, y0, ts, grid, Adjoint(method=self.name, kind=RECURSIVE_CHECKPOINT, wanted=wanted))

    def run(
        self,
        field: Field,
        y0: State,
        ts: Sequence[float] | Tensor,
        grid: GridRequest,
        adjoint: Adjoint | None = None,
    ) -> odebench.Solution:
        """Solve; with an `adjoint` differentiably in y0 and in what that one names.

        Raises:
            DivergedError: diffrax gave up.
        """
        times = checked_times(ts)
        leaves = y0 if isinstance(y0, tuple) else (y0,)
        if any(leaf.device.type != "cpu" for leaf in leaves):
            raise IncompatibleError(f"Solver {self.name!r} computes on CPU; the state is on {leaves[0].device}.")
        if any(leaf.is_complex() for leaf in leaves):
            raise IncompatibleError(
                f"Solver {self.name!r} takes real states only. Give real and imaginary parts apart."
            )
        if not isinstance(grid, odebench.Tolerance | odebench.Grid):
            grid = uniform_grid(grid, times[0], times[-1])
        solve = Solve(self, field, y0, adjoint)
        if self._has_rows(grid):
            if isinstance(y0, tuple):
                raise IncompatibleError(
                    f"Solver {self.name!r} has steps by row for a state of one tensor only. Use batch='joint'."
                )
            refuse_rows(self, field, y0, times[0])
        if isinstance(grid, odebench.Tolerance):
            plan, control = self._controlled(solve, grid, times)
        else:
            plan, control, times = self._given(solve, grid, times)
        return solve(plan, times, control, None if isinstance(grid, odebench.Tolerance) else grid)

    def _has_rows(self, grid: odebench.Tolerance | odebench.Grid) -> bool:
        return grid.batch == "per-sample" if isinstance(grid, odebench.Tolerance) else grid.per_sample

    def _controlled(
        self, solve: Solve, tolerance: odebench.Tolerance, ts: Sequence[float]
    ) -> tuple[Plan, dict[str, np.ndarray]]:
        if not self.adaptive:
            raise IncompatibleError(
                f"Solver {self.name!r} takes fixed steps and cannot follow a tolerance. Give steps or step_size instead."
            )
        refuse_unhonoured(tolerance, self.name, "diffrax", HONOURED)
        names = ("rtol", "atol", "safety", "min_factor", "max_factor", "min_step", "first_step")
        numbers = {name: getattr(tolerance, name) for name in names if getattr(tolerance, name) is not None}
        # diffrax has no least step of its own: where the field gives no number, it would go on until a count is reached.
        numbers.setdefault("min_step", 16 * 2.2e-16 * max(abs(ts[0]), abs(ts[-1])))
        if "first_step" in numbers:
            numbers["first_step"] = min(numbers["first_step"], abs(ts[-1] - ts[0]))
        per_sample = tolerance.batch == "per-sample"
        most = min(tolerance.max_steps, self.max_steps)
        rows = solve.rows if per_sample else 1
        plan = solve.plan(
            control="adaptive",
            max_steps=most,
            per_sample=per_sample,
            tells_steps=solve.may_tell_steps and most * rows * solve.number.itemsize <= _TOLD_BYTES,
            coefficients=self.coefficients,
        )
        return plan, {name: np.asarray(value, solve.number) for name, value in numbers.items()}

    def _given(
        self, solve: Solve, grid: odebench.Grid, ts: Sequence[float]
    ) -> tuple[Plan, dict[str, np.ndarray], list[float]]:
        """The plan for steps that are given, their ends, and the output times, where rounding took them off an end of a step put there."""
        if grid.per_sample:
            rows = [_points_of_row(grid, row) for row in range(grid.t.shape[1])]
            length = max(map(len, rows), default=2)
            points = np.array([row + [grid.end] * (length - len(row)) for row in rows]).reshape(len(rows), length)
        else:
            starts, lengths = grid.t.tolist(), grid.dt.tolist()
            outputs_by_step(ts, starts, lengths, grid.end)  # refuses a grid that does not fit the times
            points = np.array([*starts, grid.end])
            close = CLOSE * np.abs(lengths).max()
            nearest = points[np.abs(np.subtract.outer(np.array(ts), points)).argmin(axis=1)]
            ts = np.where(np.abs(nearest - ts) <= close, nearest, ts).tolist()
        steps = points.shape[-1] - 1
        of_torch = grid.per_sample or solve.twin is None
        if of_torch and not grid.per_sample:
            # One program serves for many numbers of steps; the last point is repeated.
            steps = max(64, 1 << (steps - 1).bit_length())
            points = np.concatenate([points, np.full(steps + 1 - len(points), points[-1])])
        points = points.astype(solve.number)
        plan = solve.plan(
            control="given" if of_torch else "points",
            max_steps=steps,
            per_sample=grid.per_sample,
            newton=(self.newton or (1e-12 if solve.number == np.float64 else 1e-6)) if self.implicit else None,
        )
        return plan, {"points": points}, ts


def _points_of_row(grid: odebench.Grid, row: int) -> list[float]:
    """The ends of the steps of a row, its start among them."""
    moves = grid.dt[:, row] != 0
    return [*grid.t[moves, row].tolist(), grid.end]
