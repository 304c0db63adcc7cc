"""What all methods of `solve_ivp` have in common: the walk through the steps of a `scipy.integrate.OdeSolver`."""

from __future__ import annotations

import dataclasses
import itertools
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar

import numpy as np
import torch
from scipy import integrate
from torch import Tensor

import odebench
from odebench.contract import Field, GridRequest, State
from odebench.errors import DivergedError, IncompatibleError
from odebench.numerics.outputs import checked_times
from odebench.numerics.packing import Packing
from odebench.numerics.timed_field import time_dtype

# What SciPy lets the caller choose of a Tolerance. `norm_elements` is taken, and has no effect.
HONOURED = {"rtol", "atol", "batch", "first_step", "max_steps", "norm_elements"}


class ScipySolver(odebench.OpaqueSolver):
    """A method of `scipy.integrate.solve_ivp`; the states cross to NumPy, so that autograd cannot pass it.

    The steps are taken by the class that `solve_ivp` itself walks through, one `step()` after the other, and the results are
    those of `solve_ivp` to the last bit; walking here tells the accepted steps, which `solve_ivp` does not where output times are
    given.

    * SciPy computes in float64, whatever the state's dtype: the field is called in that of the state.
    * The batch is one system, and the error norm that of all its elements, also where only the first of them are to count.
    * Implicit methods take the Jacobian matrix by finite differences, an evaluation for each element of the state. SciPy's own
      count, `nfev`, leaves these out; here they are counted.
    * Rejected steps are known of Runge-Kutta methods only, and are 0 for the others.
    * A relative tolerance below 100 units of rounding is raised to that by SciPy.
    * It takes no steps that it is given.

    Gradients: odebench's `continuous-adjoint`, which only asks for solves, works on it.

    Attributes:
        method: SciPy's class.
        evaluations_of_attempt: evaluations for a step that is tried, where that is fixed.
        shortens_for_nan: whether it tries a shorter step where the field's value is not finite; otherwise the solve ends there.
    """

    adaptive = True
    differentiable = False
    takes_grids = False
    method: ClassVar[type[integrate.OdeSolver]]
    evaluations_of_attempt: ClassVar[int | None] = None
    shortens_for_nan: ClassVar[bool] = True

    def solve(
        self,
        field: Field,
        y0: State,
        ts: Sequence[float] | Tensor,
        grid: GridRequest,
        inputs: tuple[Tensor, ...] = (),
    ) -> odebench.Solution:
        """As `odebench.Solver.solve` says; nothing is recorded by autograd."""
        times = checked_times(ts)
        self._refuse(grid)
        packing = Packing(y0)
        state = packing.pack(y0).detach()
        if state.is_complex():
            raise IncompatibleError(
                f"Solver {self.name!r} takes real states only. Give real and imaginary parts as two tensors."
            )
        stats = odebench.Stats()
        flat = self._flat_field(packing.field(field), state, stats)
        # Values that are not finite are told as DivergedError, not as warnings.
        with warnings.catch_warnings(), np.errstate(invalid="ignore", over="ignore"), torch.no_grad():
            warnings.filterwarnings("ignore", "At least one element of `rtol` is too small", UserWarning)
            warnings.filterwarnings("ignore", "lsoda: ", UserWarning)  # the failure is told as DivergedError
            outputs, points = self._walk(flat, state.reshape(-1).double().cpu().numpy(), times, grid, stats)
        ys = torch.from_numpy(outputs).to(state).reshape(len(times), *state.shape)
        starts = torch.tensor(points, dtype=torch.float64)
        steps = odebench.Grid(t=starts[:-1], dt=starts.diff(), end=points[-1])
        return odebench.Solution(ys=packing.unpack_outputs(ys), grid=steps, stats=stats)

    def _walk(
        self,
        flat: Callable[[float, np.ndarray], np.ndarray],
        y0: np.ndarray,
        ts: Sequence[float],
        tolerance: odebench.Tolerance,
        stats: odebench.Stats,
    ) -> tuple[np.ndarray, list[float]]:
        """The states at `ts`, and the times between steps."""
        direction = 1.0 if ts[-1] > ts[0] else -1.0
        first = {} if tolerance.first_step is None else {"first_step": min(tolerance.first_step, abs(ts[-1] - ts[0]))}
        with self._as_diverged(ts[0], ts):
            walker = self.method(flat, ts[0], y0, ts[-1], rtol=tolerance.rtol, atol=tolerance.atol, **first)
        outputs, points = [y0], [ts[0]]
        while walker.status == "running":
            before = stats.evaluations_forward
            with self._as_diverged(walker.t, ts):
                complaint = walker.step()
            if walker.status == "failed":
                raise self._ended_early(walker.t, ts, complaint)
            stats.accepted += 1
            if self.evaluations_of_attempt is not None:
                stats.rejected += (stats.evaluations_forward - before) // self.evaluations_of_attempt - 1
            points.append(float(walker.t))
            reached = list(itertools.takewhile(lambda t: direction * (t - walker.t) <= 0.0, ts[len(outputs) :]))
            if reached:
                dense = walker.dense_output()
                outputs += [dense(t) for t in reached]
            if walker.status == "running" and stats.accepted + stats.rejected >= tolerance.max_steps:
                raise self._ended_early(walker.t, ts, f"{tolerance.max_steps} steps were not enough")
        return np.stack(outputs), points

    def _refuse(self, grid: GridRequest) -> None:
        """Refuse what SciPy would not do.

        Raises:
            IncompatibleError: naming it.
        """
        if not isinstance(grid, odebench.Tolerance):
            raise IncompatibleError(
                f"Solver {self.name!r} chooses its steps itself and takes none that it is given. Give rtol and atol."
            )
        if grid.batch != "joint":
            raise IncompatibleError(
                f"Solver {self.name!r} has one step size for the whole batch; batch must be 'joint'."
            )
        for item in dataclasses.fields(grid):
            if item.name not in HONOURED and getattr(grid, item.name) != item.default:
                raise IncompatibleError(
                    f"Solver {self.name!r} cannot honour {item.name}={getattr(grid, item.name)!r}: SciPy controls steps in its "
                    "own way. Leave it out."
                )

    def _flat_field(
        self, field: Field, like: Tensor, stats: odebench.Stats
    ) -> Callable[[float, np.ndarray], np.ndarray]:
        """The field on vectors of float64, counted."""
        dtype = time_dtype(like.dtype)

        def flat(t: float, y: np.ndarray) -> np.ndarray:
            stats.evaluations_forward += 1
            time = torch.tensor(t, dtype=dtype, device=like.device)
            derivative = field(time, torch.from_numpy(np.array(y)).to(like).reshape(like.shape))
            found = derivative.reshape(-1).double().cpu().numpy()
            if not self.shortens_for_nan and not np.isfinite(found).all():
                raise DivergedError(
                    f"Solver {self.name!r} ended at t = {t:.6g}: the field's value there is not finite."
                )
            return found

        return flat

    @contextmanager
    def _as_diverged(self, t: float, ts: Sequence[float]) -> Iterator[None]:
        """Say what SciPy's linear algebra says of a matrix that is not finite as odebench says it."""
        try:
            yield
        except ValueError as cause:
            if "must not contain infs or NaNs" not in str(cause):
                raise
            raise self._ended_early(t, ts, str(cause)) from cause

    def _ended_early(self, t: float, ts: Sequence[float], why: str | None) -> DivergedError:
        return DivergedError(
            f"Solver {self.name!r} ended at t = {float(t):.6g} on the way from {ts[0]!r} to {ts[-1]!r}: SciPy says "
            f"{(why or 'nothing')[:200]!r}. Try an implicit method (scipy/radau, scipy/bdf) or a looser tolerance."
        )
