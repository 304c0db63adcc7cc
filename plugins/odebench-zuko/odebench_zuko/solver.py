"""zuko's solver: Dormand and Prince's method."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import ClassVar

import torch
import zuko.utils
from torch import Tensor

import odebench
from odebench.contract import Field, GridRequest, State
from odebench.errors import GridError, IncompatibleError
from odebench.numerics import ButcherTableau
from odebench.numerics.adapted_request import given_grid, refuse_unhonoured, steps_of
from odebench.numerics.outputs import checked_times, nearest_fitting_count, outputs_by_step
from odebench.solvers import dopri5
from odebench_zuko.attempts import WatchedField

HONOURED = {"rtol", "atol", "max_steps"}


class Dopri5(odebench.OpaqueSolver):
    """`zuko.utils.odeint`: Dormand and Prince's pair of order 5, whose last stage the next step does not take over.

    * zuko gives the state at the end of a span, so that it is called from one output time to the next; each call tries the whole
      span as its first step. `first_step` cannot be chosen.
    * A step is accepted where the largest error of any element meets the tolerance, not the root mean square of all.
    * Steps that are given are calls of their own with an absolute tolerance that everything meets; output times must fall on them.
    * Time is in the state's dtype.
    * zuko never gives up: at a state that is not finite it would shorten its step for ever. Here the length is looked at once in
      32 attempts.
    * Autograd cannot record zuko's loop, which is a function with a backward of its own (`zuko/aca`). Where a graph is wanted
      from the solver itself, as by odebench's `direct`, the steps are found first and then taken again with zuko's step.

    Source: F. Rozet et al., zuko 1.6.0, https://github.com/probabilists/zuko; J. R. Dormand, P. J. Prince, 1980.
    """

    name: ClassVar[str] = "zuko/dopri5"
    tableau: ClassVar[ButcherTableau] = steps_of(dopri5.Dopri5.tableau)
    order = 5
    adaptive = True
    source: ClassVar[str] = "F. Rozet et al., zuko 1.6.0, https://github.com/probabilists/zuko"
    known_failures: ClassVar[dict[str, str]] = {
        "check_grid_is_repeated": "zuko does not tell its step lengths: their differences repeat a solve to 8e-16, not bit for bit",
        "check_empty_states": "RuntimeError: zuko takes the largest error of no elements",
    }

    def solve(
        self,
        field: Field,
        y0: State,
        ts: Sequence[float] | Tensor,
        grid: GridRequest,
        inputs: tuple[Tensor, ...] = (),
    ) -> odebench.Solution:
        """As `odebench.Solver.solve` says."""
        if not torch.is_grad_enabled():
            return self.run(field, y0, ts, grid)
        times = checked_times(ts)
        evaluations = rejected = 0
        if isinstance(grid, odebench.Tolerance):
            with torch.no_grad():
                found = self.run(field, y0, times, grid)
            grid, evaluations, rejected = found.grid, found.stats.evaluations_forward, found.stats.rejected
        lent = WatchedField(field, y0, most=10**9, given=True)
        solution = self._taken(lent, y0, times, grid, recorded=True)
        solution.stats.evaluations_forward += evaluations
        solution.stats.rejected = rejected
        return solution

    def run(
        self,
        field: Field,
        y0: State,
        ts: Sequence[float] | Tensor,
        grid: GridRequest,
        *,
        declared: tuple[Tensor, ...] | None = None,
        gradient: str = "",
    ) -> odebench.Solution:
        """Solve with `zuko.utils.odeint`.

        Args:
            field, y0, ts, grid: as in `solve`.
            declared: tensors that zuko's adjoint gives gradients to.
            gradient: its name.

        Raises:
            DivergedError: the step size fell to nothing, or there were too many steps.
        """
        times = checked_times(ts)
        tolerance = grid if isinstance(grid, odebench.Tolerance) else None
        if tolerance is not None:
            refuse_unhonoured(tolerance, self.name, "zuko", HONOURED)
        if tolerance is None:
            grid = given_grid(grid, times, self.name)
        lent = WatchedField(
            field,
            y0,
            declared=declared,
            method=gradient,
            most=grid.steps if tolerance is None else tolerance.max_steps,
            given=tolerance is None,
        )
        if tolerance is None:
            return self._taken(lent, y0, times, grid, declared=declared or ())
        ys = [lent.packing.pack(y0)]
        for start, end in itertools.pairwise(times):
            ys.append(zuko.utils.odeint(lent, ys[-1], start, end, declared or (), tolerance.atol, tolerance.rtol))
        lent.end_forward()
        grid = lent.told_steps()
        return odebench.Solution(ys=lent.packing.unpack_outputs(torch.stack(ys)), grid=grid, stats=lent.stats)

    def _taken(
        self,
        lent: WatchedField,
        y0: State,
        ts: Sequence[float],
        request: odebench.StepSize | odebench.Grid,
        *,
        recorded: bool = False,
        declared: Sequence[Tensor] = (),
    ) -> odebench.Solution:
        """Exactly these steps."""
        grid = given_grid(request, ts, self.name)
        placed = outputs_by_step(ts, grid.t.tolist(), grid.dt.tolist(), grid.end)
        if any(share not in (0.0, 1.0) for here in placed.values() for _, share in here):
            fitting = nearest_fitting_count(ts, grid.steps)
            advice = f"The nearest number of uniform steps that does is {fitting}." if fitting else "Use other times."
            raise GridError(f"Solver {self.name!r} has no interpolant, so output times must fall on the grid. {advice}")
        y = lent.packing.pack(y0)
        if y.dtype.is_complex:
            raise IncompatibleError(f"Solver {self.name!r} takes real states only.")
        ys = [y]
        points = [*grid.t.tolist(), grid.end]
        of_time = {"dtype": y.dtype, "device": y.device}
        for step, (start, end) in enumerate(itertools.pairwise(points)):
            if recorded:
                y = zuko.utils.dopri45(
                    lent, y, torch.tensor(start, **of_time), torch.tensor(grid.dt[step].item(), **of_time)
                )
            else:
                y = zuko.utils.odeint(lent, y, start, end, declared, math.inf, 0.0)
            ys += [y] * len(placed.get(step, ()))
            if len(ys) == len(ts):
                break
        lent.end_forward()
        lent.stats.accepted = grid.steps
        return odebench.Solution(ys=lent.packing.unpack_outputs(torch.stack(ys)), grid=grid, stats=lent.stats)
