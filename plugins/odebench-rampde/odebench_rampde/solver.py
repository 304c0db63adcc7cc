"""rampde's solvers."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import ClassVar

import torch
from torch import Tensor

import odebench
from odebench.contract import Field, GridRequest, State
from odebench.errors import IncompatibleError
from odebench.numerics import ButcherTableau
from odebench.numerics.adapted_request import given_grid, outputs_on_points, steps_of
from odebench.numerics.lent_field import LentField
from odebench.numerics.outputs import checked_times
from odebench.research_code import ResearchCode, ResearchSolver
from odebench.solvers import euler, rk4
from odebench_rampde.code import RAMPDE, SOURCE

# What `autocast` may be, and the dtype that it stands for.
LOW = {"float16": torch.float16, "bfloat16": torch.bfloat16}


class RampdeSolver(ResearchSolver):
    """A method of `rampde.odeint`.

    * Its steps are the intervals between the times that it is given: those of the grid are given, and the states at all of them
      are stored. Output times must fall on them.
    * rampde knows the autocast of CUDA only. With it the field is evaluated in the lower precision, the state is advanced in its own,
      and each state that is told is rounded to the lower one; it is given back in its own here.
    * rampde's loop has a backward of its own (`rampde/adjoint`) and cannot be recorded by autograd. Where a graph is wanted from
      the solver itself, as by odebench's `direct`, the steps are taken with rampde's increments.
    * A tuple is packed flat, where rampde would join tensors along their last dimension, which takes vectors only.

    Args:
        autocast: "float16" or "bfloat16", on CUDA; None computes in the state's own precision.
        source: folder of a clone of https://github.com/EmoryMLIP/rampde; None takes that in ODEBENCH_RAMPDE_SOURCE.

    Attributes:
        method: rampde's name.
        increment: its class of increments.
    """

    method: ClassVar[str]
    increment: ClassVar[str]
    code: ClassVar[ResearchCode] = RAMPDE
    source: ClassVar[str] = SOURCE

    def __init__(self, *, autocast: str | None = None, source: str | None = None) -> None:
        super().__init__(source=source)
        if autocast is not None and autocast not in LOW:
            raise IncompatibleError(f"{self.name}: autocast is {autocast!r}; it must be one of {', '.join(LOW)}.")
        self.autocast = autocast

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
        points, places, grid = self._steps(ts, grid)
        lent = LentField(field, y0)
        y = lent.packing.pack(y0)
        increment, t = getattr(self.library, self.increment)(), _times(points, y)
        ys = [y]
        with self._precision(y) as low:
            for step in range(len(points) - 1):
                dt = t[step + 1] - t[step]
                slope = increment(lent, y, t[step], dt)
                with torch.autocast("cuda", enabled=False) if low else nullcontext():
                    y = y + dt * slope
                ys.append(y if low is None else y.to(low).to(y.dtype))
        return self._solution(lent, torch.stack(ys), places, grid)

    def run(
        self,
        field: Field,
        y0: State,
        ts: Sequence[float] | Tensor,
        grid: GridRequest,
        *,
        scaler: str = "auto",
        declared: tuple[Tensor, ...] | None = None,
        gradient: str = "",
    ) -> odebench.Solution:
        """Solve with `rampde.odeint`.

        Args:
            field, y0, ts, grid: as in `solve`.
            scaler: as that of `Adjoint`.
            declared: tensors that rampde's backward gives gradients to.
            gradient: its name.
        """
        points, places, grid = self._steps(ts, grid)
        lent = LentField(field, y0, declared=declared, method=gradient)
        y = lent.packing.pack(y0)
        with self._precision(y) as low:
            chosen = None if scaler == "auto" else False
            if scaler == "dynamic":
                chosen = self.library.DynamicScaler(dtype_low=low or y.dtype)
            ys = self.library.odeint(lent, y, _times(points, y), method=self.method, loss_scaler=chosen)
        lent.end_forward()
        return self._solution(lent, ys.to(y.dtype), places, grid)

    def _steps(self, ts: Sequence[float] | Tensor, grid: GridRequest) -> tuple[list[float], list[int], odebench.Grid]:
        """The grid, its points, and which of them the output times are."""
        times = checked_times(ts)
        if isinstance(grid, odebench.Tolerance):
            raise IncompatibleError(
                f"Solver {self.name!r} takes fixed steps and cannot follow a tolerance. Give steps or step_size instead."
            )
        grid = given_grid(grid, times, self.name)
        return *outputs_on_points(times, grid, self.name), grid

    @contextmanager
    def _precision(self, y: Tensor) -> Iterator[torch.dtype | None]:
        """rampde's surroundings; gives the lower precision.

        Raises:
            IncompatibleError: the state does not lie on CUDA, or is of another precision than autocast lowers.
        """
        low = None if self.autocast is None else LOW[self.autocast]
        if low is not None and (y.device.type != "cuda" or y.dtype != torch.float32):
            raise IncompatibleError(
                f"{self.name}: autocast={self.autocast!r} lowers float32 on CUDA, and the state is {y.dtype} on {y.device}."
            )
        with warnings.catch_warnings():
            # rampde enters the autocast of CUDA at each step, also where there is none to be had.
            warnings.filterwarnings("ignore", "CUDA is not available or torch_xla is imported", UserWarning)
            warnings.filterwarnings("ignore", "User provided device_type of 'cuda'", UserWarning)
            warnings.filterwarnings("ignore", "In CUDA autocast, but the target dtype is not supported", UserWarning)
            with nullcontext() if low is None else torch.autocast("cuda", dtype=low):
                yield low

    def _solution(self, lent: LentField, ys: Tensor, places: Sequence[int], grid: odebench.Grid) -> odebench.Solution:
        lent.stats.accepted = grid.steps
        # A copy of the states that are asked for: rampde's backward writes to the gradient that it is given.
        return odebench.Solution(ys=lent.packing.unpack_outputs(ys[places]), grid=grid, stats=lent.stats)


def _times(points: Sequence[float], y: Tensor) -> Tensor:
    return torch.tensor(points, dtype=torch.float64, device=y.device)


class Euler(RampdeSolver):
    """Euler's method, order 1; 1 stage."""

    name: ClassVar[str] = "rampde/euler"
    tableau: ClassVar[ButcherTableau] = steps_of(euler.Euler.tableau)
    method: ClassVar[str] = "euler"
    increment: ClassVar[str] = "Euler"
    order = 1
    stages = 1


class Rk4(RampdeSolver):
    """The classical method, order 4; 4 stages."""

    name: ClassVar[str] = "rampde/rk4"
    tableau: ClassVar[ButcherTableau] = steps_of(rk4.Rk4.tableau)
    method: ClassVar[str] = "rk4"
    increment: ClassVar[str] = "RK4"
    order = 4
    stages = 4


SOLVERS = (Euler, Rk4)
