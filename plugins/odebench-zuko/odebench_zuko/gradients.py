"""zuko's way to a gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

import odebench
from odebench.contract import Field, GridRequest, Solver, State
from odebench.numerics.lent_field import wanted_tensors
from odebench_zuko.solver import Dopri5


class Aca(odebench.GradientMethod):
    """The adjoint of `zuko.utils.odeint`, which zuko calls adaptive checkpoint adjoint (ACA).

    The state after each accepted step is kept. The backward takes each step once, with -dt, on the adjoint equation from the state
    at its end; Zhuang et al. differentiate the forward step itself. So it is not exact for the discretisation, and needs no
    step control on the way back. The field is evaluated six times a step.

    Source: J. Zhuang et al., "Adaptive checkpoint adjoint method for gradient estimation in neural ODE", ICML 2020,
    arXiv:2006.02493; zuko 1.6.0.
    """

    name: ClassVar[str] = "zuko/aca"
    exact_for_discretisation = False
    memory = "O(N)"
    known_failures: ClassVar[dict[str, str]] = {
        "check_gap_falls_at_the_solvers_order": "gaps of 4.1e-5, 2.9e-7, 2.1e-9, 1.1e-10 at 8 to 64 steps: orders 7.1, 7.1, 4.2",
        "check_unused_frozen_and_shared_parameters": "RuntimeError: zuko asks for gradients without allow_unused",
        "check_nothing_is_left_alive": "4480 bytes of 40 steps: zuko keeps its checkpoints as long as the solution is held",
        "check_solution_is_the_solvers": "zuko cannot be told its first step, which this check chooses",
        "check_batch_statistics_are_updated_once": "zuko cannot be told its first step, which this check chooses",
        "check_autocast_is_repeated": "the way back is outside of autocast, in float32: a gradient in y0 that is 1.3e-3 off",
    }
    source: ClassVar[str] = "J. Zhuang et al., ICML 2020, arXiv:2006.02493; zuko 1.6.0"

    def supports(self, solver: Solver) -> str | None:
        """zuko's own solver only."""
        if not isinstance(solver, Dopri5):
            return (
                f"It calls zuko, which solves with its own method; {solver.name!r} is another. Use it with zuko/dopri5."
            )
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
            return solver.run(field, y0, ts, grid)
        return solver.run(field, y0, ts, grid, declared=wanted_tensors(field, inputs, self.name), gradient=self.name)
