"""What all solvers of torchdiffeq have in common: the call of `odeint`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
import torchdiffeq
from torch import Tensor

import odebench
from odebench.contract import Field, GridRequest, State
from odebench.errors import DivergedError
from odebench.numerics.outputs import checked_times
from odebench_torchdiffeq.watched_field import CountedField, WatchedField

# How torchdiffeq's assertions about a solve begin. Any other assertion is somebody else's.
DIVERGED = ("underflow in dt", "max_num_steps exceeded", "non-finite values in state")


@dataclass(frozen=True, kw_only=True)
class Request:
    """What torchdiffeq is asked for.

    Attributes:
        rtol, atol, options: arguments of `odeint`.
        adjoint_options: those that make the adjoint's solve follow the same wish.
        grid: the steps, where they are given and not chosen.
        tolerance: the tolerance, where the steps are chosen.
        beyond: a time after the last output time up to which to solve besides; None without.
    """

    rtol: float = 1e-7
    atol: float = 1e-9
    options: dict[str, Any] = field(default_factory=dict)
    adjoint_options: dict[str, Any] = field(default_factory=dict)
    grid: odebench.Grid | None = None
    tolerance: odebench.Tolerance | None = None
    beyond: float | None = None


class TorchdiffeqSolver(odebench.OpaqueSolver):
    """One method of `torchdiffeq.odeint`.

    Its field gets times in the state's dtype; of half precision ones too, so that they are rounded to 3 digits.

    Attributes:
        method: torchdiffeq's name.
    """

    method: ClassVar[str]

    @abstractmethod
    def request(self, y0: State, ts: Sequence[float], grid: GridRequest, constant_steps: bool) -> Request:
        """What to ask for.

        Args:
            y0: the initial state.
            ts: checked output times.
            grid: how time is divided.
            constant_steps: whether to keep gradients from passing through the choice of steps.

        Raises:
            IncompatibleError: this solver cannot divide time so.
            GridError: an output time cannot be met.
        """

    def solve(
        self,
        field: Field,
        y0: State,
        ts: Sequence[float] | Tensor,
        grid: GridRequest,
        inputs: tuple[Tensor, ...] = (),
    ) -> odebench.Solution:
        """As `odebench.Solver.solve` says: step sizes are constants to autograd, the first one too."""
        return self.run(field, y0, ts, grid, constant_steps=True)

    def run(
        self,
        field: Field,
        y0: State,
        ts: Sequence[float] | Tensor,
        grid: GridRequest,
        *,
        constant_steps: bool = False,
        declared: tuple[Tensor, ...] | None = None,
        gradient: str = "",
        call: Callable[[Request], tuple[Callable[..., State], dict[str, Any]]] | None = None,
    ) -> odebench.Solution:
        """Solve with `odeint`, or with the function and the further arguments that `call` gives for the request.

        Args:
            field, y0, ts, grid: as in `solve`.
            constant_steps: as in `request`.
            declared: tensors that an adjoint gives gradients to.
            gradient: its name.
            call: chooses another function of torchdiffeq.

        Raises:
            DivergedError: torchdiffeq gave up.
        """
        times = checked_times(ts)
        request = self.request(y0, times, grid, constant_steps)
        function, arguments = (torchdiffeq.odeint, {}) if call is None else call(request)
        if request.tolerance is None:
            watched = CountedField(field, declared, gradient)
        else:
            tolerance = request.tolerance
            watched = WatchedField(
                field, declared, gradient, max_steps=tolerance.max_steps, min_step=tolerance.min_step
            )
        first = y0[0] if isinstance(y0, tuple) else y0
        asked = times if request.beyond is None else [*times, request.beyond]
        t = torch.tensor(asked, dtype=torch.float64, device=first.device)
        with _as_diverged(self, times):
            ys = function(
                watched,
                y0,
                t,
                rtol=request.rtol,
                atol=request.atol,
                method=self.method,
                options=request.options,
                **arguments,
            )
        if request.beyond is not None:
            ys = tuple(y[:-1] for y in ys) if isinstance(ys, tuple) else ys[:-1]
        return odebench.Solution(ys=ys, grid=self.steps_taken(request, watched, times), stats=_closed(watched, request))

    def steps_taken(self, request: Request, watched: CountedField, ts: Sequence[float]) -> odebench.Grid | None:
        """The grid of a solve that is over."""
        if isinstance(watched, WatchedField):
            return watched.grid(1.0 if ts[-1] > ts[0] else -1.0)
        return request.grid


def _closed(watched: CountedField, request: Request) -> odebench.Stats:
    watched.forward_is_over = True
    if request.grid is not None:
        watched.stats.accepted = request.grid.steps
    return watched.stats


@contextmanager
def _as_diverged(solver: TorchdiffeqSolver, ts: Sequence[float]) -> Iterator[None]:
    try:
        yield
    except AssertionError as cause:
        if not str(cause).startswith(DIVERGED):
            raise
        raise DivergedError(
            f"Solver {solver.name!r} stopped between {ts[0]!r} and {ts[-1]!r}: torchdiffeq says {str(cause)[:200]!r}. "
            "The problem is stiff, its solution ends there, or the tolerance is below the rounding of the state's dtype."
        ) from cause
