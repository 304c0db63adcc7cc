"""What all solvers of TorchDiffEqPack have in common."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from TorchDiffEqPack import odesolve, odesolve_endtime

import odebench
from odebench.contract import Field, GridRequest, State
from odebench.errors import GridError, IncompatibleError
from odebench.numerics.adapted_request import given_grid, refuse_unhonoured
from odebench.numerics.outputs import checked_times, nearest_fitting_count, outputs_by_step
from odebench_torchdiffeqpack.watched_field import WatchedField

HONOURED = {"rtol", "atol", "max_steps", "first_step"}


class TorchDiffEqPackSolver(odebench.OpaqueSolver):
    """A method of `TorchDiffEqPack.odesolve_endtime`, called from one output time to the next.

    * Time is float32 inside TorchDiffEqPack, whatever the state's dtype: step lengths and the end of a solve are rounded to 6e-8.
      Errors below about 1e-7 cannot be had, and a grid is repeated to that.
    * Its embedded pairs declare the lower order to their controller. An attempt is repeated once it is accepted, with a graph; a
      rejected step that would change by less than a thousandth is accepted.
    * Where a count of steps is reached it takes the rest of the span as one step, without a word, and a state that is not finite
      makes it shorten its step for ever; here both are `DivergedError`.
    * Given steps are handed to it as `predefine_steps`; output times must fall on them.
    * The options that it is given are changed by it, and made anew for each call here.

    Attributes:
        method: TorchDiffEqPack's name.
        stages: evaluations of an attempt.

    Source: J. Zhuang et al., ICML 2020, arXiv:2006.02493; TorchDiffEqPack 1.0.1.
    """

    method: ClassVar[str]
    evaluations: ClassVar[int]
    source: ClassVar[str] = "J. Zhuang et al., ICML 2020, arXiv:2006.02493; TorchDiffEqPack 1.0.1"

    def solve(
        self,
        field: Field,
        y0: State,
        ts: Sequence[float] | Tensor,
        grid: GridRequest,
        inputs: tuple[Tensor, ...] = (),
    ) -> odebench.Solution:
        """As `odebench.Solver.solve` says."""
        times = checked_times(ts)
        tolerance, grid = self.request(grid, times)
        lent = self.lent(field, y0, tolerance)
        ys, points = [lent.packing.pack(y0)], []
        for span in spans(times, grid, self.name):
            options = self.options(span, tolerance)
            walker = odesolve_endtime(lent, ys[-1], options, return_solver=True)
            given = None if grid is None else torch.tensor(span[1:], dtype=torch.float32)
            out, steps = walker.integrate(
                self.begun(lent, ys[-1], span[0]), options["t0"], predefine_steps=given, return_steps=True
            )
            ys.append(out[0] if isinstance(out, tuple) else out)
            points += [span[0], *(float(step) for step in steps[:-1])] if grid is None else []
        lent.end_forward()
        if grid is None:
            starts = torch.tensor(points, dtype=torch.float64)
            following = torch.cat([starts[1:], torch.tensor(times[-1:], dtype=torch.float64)])
            grid = odebench.Grid(t=starts, dt=following - starts, end=times[-1])
            # Each accepted step is taken twice.
            attempts = (lent.stats.evaluations_forward - 2 * (len(times) - 1)) // self.evaluations
            lent.stats.rejected = max(0, attempts - 2 * grid.steps)
        lent.stats.accepted = grid.steps
        return odebench.Solution(ys=lent.packing.unpack_outputs(torch.stack(ys)), grid=grid, stats=lent.stats)

    def begun(self, lent: WatchedField, y: Tensor, t: float) -> Any:
        """What a walk starts from."""
        return y

    def request(self, grid: GridRequest, ts: Sequence[float]) -> tuple[odebench.Tolerance | None, odebench.Grid | None]:
        """The tolerance, or the steps, that are asked for.

        Raises:
            IncompatibleError: this solver cannot divide time so.
        """
        if not isinstance(grid, odebench.Tolerance):
            if not self.takes_grids:
                raise IncompatibleError(f"Solver {self.name!r} chooses its steps itself. Give rtol and atol.")
            return None, given_grid(grid, ts, self.name)
        if not self.adaptive:
            raise IncompatibleError(
                f"Solver {self.name!r} takes fixed steps and cannot follow a tolerance. Give steps or step_size instead."
            )
        refuse_unhonoured(grid, self.name, "TorchDiffEqPack", HONOURED)
        return grid, None

    def lent(self, field: Field, y0: State, tolerance: odebench.Tolerance | None, **more: Any) -> WatchedField:
        """The field for a solve."""
        most = None if tolerance is None else tolerance.max_steps
        return WatchedField(field, y0, stages=self.evaluations, most=most, **more)

    def options(self, span: Sequence[float], tolerance: odebench.Tolerance | None) -> dict[str, Any]:
        """TorchDiffEqPack's options for a call from the first to the last point of a span."""
        length = abs(span[-1] - span[0])
        options: dict[str, Any] = {
            "method": self.method, "t0": span[0], "t1": span[-1], "h": length / (len(span) - 1),
            "rtol": 1e-3, "atol": 1e-3, "print_neval": False, "neval_max": 10**9,
        }  # fmt: skip
        if tolerance is not None:
            first = tolerance.first_step
            options |= {
                "h": None if first is None else min(first, length), "rtol": tolerance.rtol, "atol": tolerance.atol,
            }  # fmt: skip
        return options


class PlainSolver(TorchDiffEqPackSolver):
    """A method of `TorchDiffEqPack.odesolve`, which walks past the end and interpolates there.

    The interpolant is a cubic Hermite polynomial through the two ends of the last step, whose slopes are differences of these two
    states: the error does not follow the tolerance. It takes no steps that it is given, and tells none.
    """

    takes_grids = False

    def solve(
        self,
        field: Field,
        y0: State,
        ts: Sequence[float] | Tensor,
        grid: GridRequest,
        inputs: tuple[Tensor, ...] = (),
    ) -> odebench.Solution:
        """As `odebench.Solver.solve` says."""
        times = checked_times(ts)
        if not isinstance(grid, odebench.Tolerance):
            raise IncompatibleError(f"Solver {self.name!r} chooses its steps itself. Give rtol and atol.")
        tolerance, _ = self.request(grid, times)
        lent = self.lent(field, y0, tolerance)
        y = lent.packing.pack(y0)
        options = self.options([times[0], times[-1]], tolerance) | {"t_eval": times[1:]}
        out = odesolve(lent, y, options)
        ys = torch.cat([y[None], out.reshape(len(times) - 1, *y.shape)])
        lent.end_forward()
        return odebench.Solution(ys=lent.packing.unpack_outputs(ys), grid=None, stats=lent.stats)


def spans(ts: Sequence[float], grid: odebench.Grid | None, name: str) -> list[list[float]]:
    """The points of each call: from one output time to the next, with the grid points between them.

    Raises:
        GridError: an output time lies inside a step.
    """
    if grid is None:
        return [list(pair) for pair in itertools.pairwise(ts)]
    placed = outputs_by_step(ts, grid.t.tolist(), grid.dt.tolist(), grid.end)
    if any(share not in (0.0, 1.0) for here in placed.values() for _, share in here):
        fitting = nearest_fitting_count(ts, grid.steps)
        advice = f"The nearest number of uniform steps that does is {fitting}." if fitting else "Use other times."
        raise GridError(f"Solver {name!r} has no interpolant, so output times must fall on the grid. {advice}")
    points = [*grid.t.tolist(), grid.end]
    found, first = [], 0
    for step in sorted(placed):
        found.append(points[first : step + 2])
        first = step + 1
    return found
