"""Diagonally implicit Runge-Kutta methods with an explicit first stage: a tableau, interpreted."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from odebench.contract import Step
from odebench.errors import DivergedError, IncompatibleError
from odebench.numerics.interpolation import Hermite, nonzero_terms, weighted_sum
from odebench.numerics.newton import Linearisation, solve_stage
from odebench.numerics.one_step import OneStepSolver
from odebench.numerics.tableau import ButcherTableau
from odebench.numerics.timed_field import TimedField


class DiagonallyImplicitRungeKutta(OneStepSolver):
    """Give `name` and `tableau` (explicit first stage, one value on the diagonal, stiffly accurate), and the method is complete.

    Every stage equation is solved to rounding, so that the gradient of the discrete solution is exact; one Jacobian a step
    serves all stages. The error estimate is damped by (I - dt·γ·J)⁻¹, without which it would be far too large on stiff
    components. No derivative is carried over: that of the last stage equals f(t + dt, y1) only up to rounding times the
    stiffness, and a repeated step must give the same bits.

    Args:
        adaptive: False makes the method take fixed steps.

    Source: E. Hairer, G. Wanner, "Solving ODEs II", 2nd ed., sections IV.6 and IV.8.
    """

    tableau: ClassVar[ButcherTableau]
    implicit = True
    carry_is = "none"
    interpolant_order = 3
    odeint_name: ClassVar[str | None] = None

    def __init__(self, *, adaptive: bool | None = None) -> None:
        tableau = self.tableau
        diagonal = {row[i] for i, row in enumerate(tableau.a) if i > 0}
        if tableau.a[0][0] != 0 or len(diagonal) != 1 or not tableau.stiffly_accurate or tableau.b_error is None:
            raise IncompatibleError(
                f"Solver {self.name!r}: the tableau must have an explicit first stage, one value on the rest of its diagonal, "
                "b as its last row, and an embedded method."
            )
        self.adaptive = True if adaptive is None else adaptive
        self.order = tableau.order
        self.stages = None  # Newton's method takes as many evaluations as it needs
        self.error_order = min(tableau.order, tableau.embedded_order) + 1
        self._gamma = float(diagonal.pop())
        lower = [nonzero_terms(row[:i]) for i, row in enumerate(tableau.a_floats)]
        self._stages = tuple(zip(tableau.c_floats, lower, strict=True))[1:]
        self._b_error = nonzero_terms(tableau.b_error_floats)

    def step(
        self,
        field: TimedField,
        t: float,
        dt: float,
        y: Tensor,
        carry: Any = None,
        *,
        error: bool = False,
        dense: bool = False,
    ) -> Step:
        """One step. Where Newton's method fails, the estimated error is infinite, so that step control tries a shorter step.

        Raises:
            DivergedError: Newton's method fails and no error is asked for: the grid is given and cannot be refined.
        """
        shift = dt * self._gamma
        linear = Linearisation(field, t, y, shift)
        k = [linear.value]
        stage = y
        for c, row in self._stages:
            base = weighted_sum(y, k, dt, row)
            guess = torch.add(base.detach(), k[-1].detach(), alpha=shift)
            stage = solve_stage(field, t + c * dt, base, shift, guess, linear)
            if stage is None and error:
                return Step(y, torch.full_like(y, float("inf")).detach())
            if stage is None:
                raise DivergedError(
                    f"Solver {self.name!r}: the equations of the step from t = {t!r} with dt = {dt!r} were not solved by "
                    "Newton's method. Take shorter steps, or a tolerance so that they are chosen."
                )
            k.append((stage - base) / shift)
        return Step(
            stage,
            linear.solve(self._error(dt, k)) if error else None,
            None,
            Hermite(y, stage, k[0], k[-1], dt) if dense else None,
        )

    def interpolate(self, dense: Hermite, theta: float) -> Tensor:
        """The state at the share `theta` of the step."""
        return dense.at(theta)

    def _error(self, dt: float, k: list[Tensor]) -> Tensor:
        stages = [stage.detach() for stage in k]
        index, coefficient = self._b_error[0]
        return weighted_sum(torch.mul(stages[index], dt * coefficient), stages, dt, self._b_error[1:])
