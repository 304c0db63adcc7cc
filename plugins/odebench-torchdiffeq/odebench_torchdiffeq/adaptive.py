"""Runge-Kutta pairs with error control."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

import odebench
from odebench.contract import GridRequest, State
from odebench_torchdiffeq.grids import given_grid, points_of, refuse_what_is_not_honoured, takes_tolerance
from odebench_torchdiffeq.solver import Request, TorchdiffeqSolver


class AdaptiveSolver(TorchdiffeqSolver):
    """An embedded pair under torchdiffeq's step control.

    * The controller is purely integral; the norm of a tuple is the largest of its tensors'. The last step passes the end, where
      a quartic through the middle of the step is evaluated: the grid that is returned ends beyond the last output time.
    * Every pair is treated as first-same-as-last, also `adaptive_heun` and `fehlberg2`, whose last stage is not the derivative
      at the end of the step.
    * torchdiffeq differentiates its choice of the first step. Here a norm that no gradient passes makes it the constant that
      odebench wants; no number of the solution changes. The gradient method `torchdiffeq/direct` leaves it as it is.
    * A grid is repeated, and uniform steps are taken, with torchdiffeq's `step_t` and an error that is never too large.
    * An empty batch has no error norm, and no solution: torchdiffeq divides by its size.

    Source: torchdiffeq 0.2.5, `rk_common.py`.
    """

    adaptive = True
    source: ClassVar[str] = "R. T. Q. Chen, torchdiffeq 0.2.5, https://github.com/rtqichen/torchdiffeq"
    known_failures: ClassVar[dict[str, str]] = {
        "check_grid_is_repeated": "torchdiffeq takes the length of a given step from its ends, where that of a chosen one is not "
        "rounded so: repeated, a solve differs by up to 1.5e-15, relative.",
        "check_empty_states": "torchdiffeq divides by the size of the state: 'underflow in dt 0.0' for shape (0, 2).",
    }

    def request(self, y0: State, ts: Sequence[float], grid: GridRequest, constant_steps: bool) -> Request:
        """As `TorchdiffeqSolver.request` says."""
        if not takes_tolerance(grid):
            return self._repeat(given_grid(grid, ts, self.name), ts)
        refuse_what_is_not_honoured(grid, self.name)
        options: dict[str, Any] = {"safety": grid.safety, "dfactor": grid.min_factor, "ifactor": grid.max_factor}
        if grid.first_step is not None:
            options["first_step"] = grid.first_step
        adjoint_options = dict(options)
        if grid.norm_elements is not None:
            options["norm"] = _norm_of_first(grid.norm_elements)
        elif constant_steps and torch.is_grad_enabled():
            options["norm"] = _largest_root_mean_square if isinstance(y0, tuple) else _root_mean_square
        return Request(rtol=grid.rtol, atol=grid.atol, options=options, adjoint_options=adjoint_options, tolerance=grid)

    def _repeat(self, grid: odebench.Grid, ts: Sequence[float]) -> Request:
        """Steps that reach for more than the whole grid, are accepted whatever their error, and are cut at its points."""
        points = points_of(grid)
        far = 2.0 * abs(grid.end - grid.t[0].item())
        reach = {"first_step": far, "max_step": far, "ifactor": math.inf}
        return Request(
            rtol=0.0,
            atol=math.inf,
            options=reach | {"step_t": points},
            # The adjoint is solved in time as torchdiffeq turned it: rising.
            adjoint_options=reach | {"step_t": points if ts[-1] > ts[0] else -points},
            grid=grid,
        )


def _root_mean_square(tensor: Tensor) -> Tensor:
    """torchdiffeq's norm of a tensor, a constant to autograd."""
    return tensor.detach().abs().pow(2).mean().sqrt()


def _largest_root_mean_square(state: tuple[Tensor, ...]) -> Tensor:
    """torchdiffeq's norm of a tuple, a constant to autograd."""
    return max(map(_root_mean_square, state))


def _norm_of_first(elements: int) -> Callable[[State], Tensor]:
    """The root mean square of the first elements of a state."""

    def norm(state: State) -> Tensor:
        leaves = state if isinstance(state, tuple) else (state,)
        return _root_mean_square(torch.cat([leaf.detach().reshape(-1) for leaf in leaves])[:elements])

    return norm


class AdaptiveHeun(AdaptiveSolver):
    """Heun's method with Euler's embedded, order 2."""

    name: ClassVar[str] = "torchdiffeq/adaptive-heun"
    method: ClassVar[str] = "adaptive_heun"
    order = 2


class Fehlberg2(AdaptiveSolver):
    """Fehlberg's 1(2) pair, continued with order 2."""

    name: ClassVar[str] = "torchdiffeq/fehlberg2"
    method: ClassVar[str] = "fehlberg2"
    order = 2


class Bosh3(AdaptiveSolver):
    """Bogacki and Shampine's 3(2) pair, order 3; between the ends of a step it is of order 2 only."""

    name: ClassVar[str] = "torchdiffeq/bosh3"
    method: ClassVar[str] = "bosh3"
    order = 3


class Dopri5(AdaptiveSolver):
    """Dormand and Prince's pair of order 5, with Shampine's other embedded method: its error estimate is two thirds of theirs."""

    name: ClassVar[str] = "torchdiffeq/dopri5"
    method: ClassVar[str] = "dopri5"
    order = 5


class Dopri8(AdaptiveSolver):
    """Prince and Dormand's 8(7) pair, order 8; between the ends of a step it is of order 4 only."""

    name: ClassVar[str] = "torchdiffeq/dopri8"
    method: ClassVar[str] = "dopri8"
    order = 8
    known_failures: ClassVar[dict[str, str]] = AdaptiveSolver.known_failures | {
        "check_tolerance_proportionality": "The last step passes the end, where the state is interpolated with order 4: the error "
        "falls with the power 0.72 of the tolerance.",
    }
