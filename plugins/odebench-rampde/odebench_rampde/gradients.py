"""rampde's way to a gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

import odebench
from odebench.contract import Field, GridRequest, Solver, State
from odebench.errors import IncompatibleError
from odebench.numerics.lent_field import wanted_tensors
from odebench_rampde.code import SOURCE
from odebench_rampde.solver import RampdeSolver

SCALERS = ("auto", "dynamic", "off")


class Adjoint(odebench.GradientMethod):
    """The backward of `rampde.odeint`: states after steps are kept, and each step is computed again and differentiated by itself.

    In mixed precision the adjoint is kept in the state's own precision, and what goes through the field can be scaled by a power of
    two that follows it, so that float16 neither overflows nor flushes to zero.

    Args:
        scaler: "auto", as rampde has it: dynamic under autocast to float16, and none otherwise; "dynamic"; or "off".

    Source: rampde, arXiv:2510.23498; https://github.com/EmoryMLIP/rampde at baecec7 (0.1.0.post1).
    """

    name: ClassVar[str] = "rampde/adjoint"
    exact_for_discretisation = True
    memory = "O(N)"
    known_failures: ClassVar[dict[str, str]] = {
        "check_nothing_is_left_alive": "328 bytes: the points of a grid of 40 steps are kept as long as the outputs are",
        "check_memory_grows_as_claimed": (
            "72.1, 120.2, 320.4 states at 12, 36, 108 steps: all states are told, and their gradients come for all of them"
        ),
        "check_autocast_is_repeated": "rampde knows CUDA's autocast only: on CPU the way back is in float32, and 1.2e-3 off",
        "check_gradients_of_gradients": (
            "the backward is not recorded and does not say so: a second derivative of -77.4 where finite differences give -499"
        ),
    }
    source: ClassVar[str] = SOURCE

    def __init__(self, *, scaler: str = "auto") -> None:
        if scaler not in SCALERS:
            raise IncompatibleError(f"{self.name}: scaler is {scaler!r}; it must be one of {', '.join(SCALERS)}.")
        self.scaler = scaler

    def supports(self, solver: Solver) -> str | None:
        """rampde's own solvers only."""
        if not isinstance(solver, RampdeSolver):
            return f"It calls rampde, which solves with its own methods; {solver.name!r} is none of them. Use it with rampde/… solvers."
        return None

    def solve(
        self,
        solver: Solver,
        field: Field,
        y0: State,
        ts: Sequence[float],
        grid: GridRequest,
        inputs: tuple[Tensor, ...] = (),
    ) -> odebench.Solution:
        """As `odebench.GradientMethod.solve` says.

        Raises:
            IncompatibleError: a tensor would get no gradient, or the field draws random numbers.
        """
        if not torch.is_grad_enabled():
            return solver.solve(field, y0, ts, grid)
        declared = wanted_tensors(field, inputs, self.name)
        return solver.run(field, y0, ts, grid, scaler=self.scaler, declared=declared, gradient=self.name)
