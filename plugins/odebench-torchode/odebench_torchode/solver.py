"""What all solvers of torchode have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
import torchode
from torch import Tensor, nn

import odebench
from odebench.contract import Field, GridRequest, State
from odebench.errors import DivergedError, IncompatibleError
from odebench.numerics.adapted_request import refuse_unhonoured
from odebench.numerics.march_rows import refuse_rows
from odebench.numerics.outputs import checked_times, outputs_by_step
from odebench.numerics.uniform import uniform_grid
from odebench_torchode.controllers import GivenSteps, Watch, WatchedIntegral, WatchedPid
from odebench_torchode.term import TorchodeField

HONOURED = {
    "rtol", "atol", "per-sample", "first_step", "min_step", "max_steps", "safety", "min_factor", "max_factor", "norm_elements",
}  # fmt: skip

# Called with the term, the step method and the controller; gives what has `solve`.
Adjoint = Callable[[torchode.ODETerm, nn.Module, nn.Module], Any]


class TorchodeSolver(odebench.OpaqueSolver):
    """A method of torchode under its step control.

    * `batch="joint"` hands torchode the whole state as a single instance, `batch="per-sample"` one instance for each row, with
      the steps that are its own. States of any shape are flattened to the `[batch, features]` that torchode takes.
    * Time is float64 inside torchode, whatever the state's dtype, but for its adjoints, which want that of the state; the field
      gets it in the state's.
    * The controller is torchode's integral one, unless coefficients for its PID controller are given. It stores the tolerances
      in float32.
    * Given steps are handed to it point by point. Its own `FixedStepController` adds lengths up, and takes 101 steps of a
      hundredth of the span where the sum falls short by a unit of rounding.
    * torchode has no least step: near a singularity it would go on until a count of steps is reached. Here the length is looked
      at once in 64 attempts, or in each where `min_step` is given. Its own `dt_min` would end a batch once a row has arrived.
    * Its statistics are not used: `n_f_evals` counts a call for each row.

    Args:
        pcoeff, icoeff, dcoeff: of torchode's `PIDController`; all None for its `IntegralController`.

    Source: M. Lienen, S. Günnemann, "torchode: A Parallel ODE Solver for PyTorch", 2022, arXiv:2210.12375.
    """

    adaptive = True
    accepts_rows = True
    method: ClassVar[type[nn.Module]]
    source: ClassVar[str] = "M. Lienen, S. Günnemann, arXiv:2210.12375; torchode 1.0.1"

    def __init__(
        self, *, pcoeff: float | None = None, icoeff: float | None = None, dcoeff: float | None = None
    ) -> None:
        given = [coefficient for coefficient in (pcoeff, icoeff, dcoeff) if coefficient is not None]
        self.coefficients = (pcoeff or 0.0, 1.0 if icoeff is None else icoeff, dcoeff or 0.0) if given else None

    def solve(
        self,
        field: Field,
        y0: State,
        ts: Sequence[float] | Tensor,
        grid: GridRequest,
        inputs: tuple[Tensor, ...] = (),
    ) -> odebench.Solution:
        """As `odebench.Solver.solve` says: step sizes are constants to autograd."""
        return self.run(field, y0, ts, grid)

    def run(
        self,
        field: Field,
        y0: State,
        ts: Sequence[float] | Tensor,
        grid: GridRequest,
        *,
        through_step_sizes: bool = False,
        adjoint: Adjoint | None = None,
        declared: tuple[Tensor, ...] | None = None,
        gradient: str = "",
    ) -> odebench.Solution:
        """Solve with torchode's `AutoDiffAdjoint`, or with what `adjoint` makes.

        Args:
            field, y0, ts, grid: as in `solve`.
            through_step_sizes: whether autograd passes the step control.
            adjoint: makes another of torchode's adjoints.
            declared: tensors that an adjoint gives gradients to.
            gradient: its name.

        Raises:
            DivergedError: torchode gave up.
        """
        times = checked_times(ts)
        if not isinstance(grid, odebench.Tolerance) and not isinstance(grid, odebench.Grid):
            grid = uniform_grid(grid, times[0], times[-1])
        rows = self._rows(field, y0, times, grid, gradient)
        lent = TorchodeField(field, y0, rows=rows, declared=declared, method=gradient)
        packed = lent.packing.pack(y0)
        state = packed.reshape(1 if rows is None else rows, -1)
        term = torchode.ODETerm(lent, with_stats=False)
        method = self.method(term=term)
        # torchode's adjoints put the times among the state, which would take their dtype.
        of_time = {"dtype": torch.float64 if adjoint is None else lent.time_dtype, "device": state.device}
        t_eval = torch.tensor([times], **of_time).expand(len(state), -1)
        dt0 = None
        if isinstance(grid, odebench.Tolerance):
            watch, controller = self._controlled(grid, term, times)
            t_start, t_end = t_eval[:, 0], t_eval[:, -1]
            if grid.first_step is not None:
                length = min(grid.first_step, abs(times[-1] - times[0]))
                dt0 = torch.full((len(state),), length if times[-1] > times[0] else -length, **of_time)
        else:
            watch, (controller, t_eval, t_start, t_end) = None, _given(grid, times, t_eval)
        loop = (
            torchode.AutoDiffAdjoint(method, controller, backprop_through_step_size_control=through_step_sizes)
            if adjoint is None
            else adjoint(term, method, controller)
        )
        problem = torchode.InitialValueProblem(state, t_start=t_start, t_end=t_end, t_eval=t_eval)
        found = loop.solve(problem, dt0=dt0)
        self._refuse_failure(found.status, times)
        lent.end_forward()
        stats = lent.stats
        if watch is not None:
            grid = watch.end(stats, rows is not None)
        else:
            stats.accepted = grid.steps
        ys = found.ys.transpose(0, 1).reshape(len(times), *lent.shape)
        return odebench.Solution(ys=lent.packing.unpack_outputs(ys), grid=grid, stats=stats)

    def _rows(
        self, field: Field, y0: State, ts: Sequence[float], grid: odebench.Tolerance | odebench.Grid, gradient: str
    ) -> int | None:
        """The number of rows with steps of their own; None where the steps are those of the batch."""
        if isinstance(grid, odebench.Tolerance):
            if not self.adaptive:
                raise IncompatibleError(
                    f"Solver {self.name!r} takes fixed steps and cannot follow a tolerance. Give steps or step_size instead."
                )
            refuse_unhonoured(grid, self.name, "torchode", HONOURED)
            apart = grid.batch == "per-sample"
        else:
            apart = grid.per_sample
        if not apart:
            return None
        if isinstance(y0, tuple):
            raise IncompatibleError(
                f"Solver {self.name!r} has steps by row for a state of one tensor only. Use batch='joint'."
            )
        refuse_rows(self, field, y0, ts[0])
        return y0.shape[0]

    def _controlled(
        self, tolerance: odebench.Tolerance, term: torchode.ODETerm, ts: Sequence[float]
    ) -> tuple[Watch, nn.Module]:
        watch = Watch(tolerance, 16 * 2.2e-16 * max(abs(ts[0]), abs(ts[-1])))
        arguments: dict[str, Any] = {
            "atol": tolerance.atol, "rtol": tolerance.rtol, "term": term, "safety": tolerance.safety,
            "factor_min": tolerance.min_factor, "factor_max": tolerance.max_factor,
        }  # fmt: skip
        if (count := tolerance.norm_elements) is not None:
            if tolerance.batch != "joint":
                raise IncompatibleError("norm_elements counts elements of the whole state: batch must be 'joint'.")
            arguments["norm"] = lambda y: torchode.step_size_controllers.rms_norm(y[:, :count])
        if self.coefficients is None:
            return watch, WatchedIntegral(watch, **arguments)
        pcoeff, icoeff, dcoeff = self.coefficients
        return watch, WatchedPid(watch, pcoeff=pcoeff, icoeff=icoeff, dcoeff=dcoeff, **arguments)

    def _refuse_failure(self, status: Tensor, ts: Sequence[float]) -> None:
        if (status != 0).any():
            word = torchode.status_codes.Status(int(status.max())).name
            raise DivergedError(
                f"Solver {self.name!r} stopped between {ts[0]!r} and {ts[-1]!r}: torchode says {word}. The problem is stiff, its "
                "solution ends there, or the tolerance is below the rounding of the state's dtype."
            )


def _given(grid: odebench.Grid, ts: Sequence[float], t_eval: Tensor) -> tuple[GivenSteps, Tensor, Tensor, Tensor]:
    """The controller, output times, start and end that make torchode take exactly these steps."""
    steps = GivenSteps(grid.t.numpy(), grid.dt.numpy(), grid.end)
    if grid.per_sample:
        return steps, t_eval, t_eval[:, 0], t_eval[:, -1]
    outputs_by_step(ts, grid.t.tolist(), grid.dt.tolist(), grid.end)  # refuses a grid that does not fit the times
    points = [*grid.t.tolist(), grid.end]
    _, reached = steps.between(points[0], grid.end, t_eval.dtype)
    # Where rounding misses a point, so must the output time that is meant.
    close = 1e-9 * abs(points[-1] - points[0]) / len(points)
    nearest = np.abs(np.subtract.outer(np.array(ts), np.array(points))).argmin(axis=1)
    outputs = [reached[n] if abs(points[n] - t) <= close else t for n, t in zip(nearest, ts, strict=True)]
    t_eval = torch.tensor([outputs], dtype=t_eval.dtype, device=t_eval.device).expand(len(t_eval), -1)
    t_end = torch.full_like(t_eval[:, 0], float(reached[-1]))
    return steps, t_eval, t_eval[:, 0], t_end
