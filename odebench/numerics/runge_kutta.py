"""Explicit Runge-Kutta methods: a tableau, interpreted."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, ClassVar

import torch
from torch import Tensor

from odebench.contract import Step
from odebench.errors import IncompatibleError
from odebench.numerics.interpolation import Hermite, StagePolynomial, nonzero_terms, weighted_sum
from odebench.numerics.one_step import OneStepSolver
from odebench.numerics.tableau import ButcherTableau
from odebench.numerics.timed_field import TimedField
from odebench.numerics.written_out import written_out

_PREPARED = ("_fsal", "_rows", "_b", "_b_error", "_written_out")


class ExplicitRungeKutta(OneStepSolver):
    """Give `name` and `tableau`, and the method is complete.

    Adaptive where the tableau has an embedded method. Between the ends of a step it uses the tableau's own continuous
    extension, or else the cubic Hermite polynomial.

    Args:
        adaptive: False makes a method with an error estimate take fixed steps; None takes what the tableau offers.

    Attributes:
        odeint_name: what `odebench.odeint` calls this method, as torchdiffeq does; None where torchdiffeq has no such one.
        odeint_midpoint: weights of the state in the middle of a step, for the interpolant of `odebench.odeint`; None makes
            the method one of fixed steps there.
        odeint_b_error: weights of the error estimate there, where they are not the tableau's.

    Source: E. Hairer, S. P. Nørsett, G. Wanner, "Solving ODEs I", 2nd ed., Definition II.1.1.
    """

    tableau: ClassVar[ButcherTableau]
    carry_is = "cache"
    accepts_rows = True
    has_compiled_form = True
    odeint_name: ClassVar[str | None] = None
    odeint_midpoint: ClassVar[tuple[Fraction, ...] | None] = None
    odeint_b_error: ClassVar[tuple[Fraction, ...] | None] = None

    def __init__(self, *, adaptive: bool | None = None) -> None:
        tableau = self.tableau
        if adaptive and tableau.b_error is None:
            raise IncompatibleError(f"Solver {self.name!r} has no error estimate and cannot be adaptive.")
        self.adaptive = tableau.b_error is not None if adaptive is None else adaptive
        self.order = tableau.order
        # The evaluation at the end of a first-same-as-last step is the next step's first: it is counted once.
        self.stages = tableau.stages - tableau.fsal
        self.nodes = tuple(dict.fromkeys(tableau.c_floats))
        self.error_order = 0 if tableau.embedded_order is None else min(tableau.order, tableau.embedded_order) + 1
        self.interpolant_order = 3 if tableau.dense is None else tableau.dense_order
        self._prepare()

    def _prepare(self) -> None:
        self._fsal, self._rows, self._b, self._b_error, self._written_out = _prepared(self.tableau)

    def __getstate__(self) -> dict[str, Any]:
        """All but what is made of the tableau, functions among it, which no pickle takes."""
        return {name: value for name, value in vars(self).items() if name not in _PREPARED}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._prepare()

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
        """One step; the stage at the end of a first-same-as-last method is evaluated only where it is asked for."""
        function, times = field.function, field.times
        if carry is None:
            field.evaluations += 1
            carry = function(times[t], y)
        if type(dt) is float:
            y1, k = self._written_out.stages(function, times, t, dt, y, carry)
        else:
            k = [carry]
            for c, row in self._rows:
                k.append(function(times[t + c * dt], weighted_sum(y, k, dt, row)))
            y1 = weighted_sum(y, k, dt, self._b)
        field.evaluations += len(self._rows)
        if not (error or dense):
            return Step(y1)
        end = None
        if self._fsal or (dense and self.tableau.dense is None):
            end = field(t + dt, y1)
            if self._fsal:
                k.append(end)
        return Step(
            y1,
            self._error(dt, k) if error else None,
            end,
            self._dense(dt, y, y1, k, end) if dense else None,
        )

    def advance(
        self, field: TimedField, spans: Sequence[tuple[float, float]], y: Tensor, carry: Any = None
    ) -> tuple[Tensor, Any]:
        """As `OneStepSolver.advance` says."""
        while spans and field.watched:  # until the field has been looked at, which ends at a step's end
            step = self.step(field, *spans[0], y, carry)
            y, carry, spans = step.y1, None, spans[1:]
        y = self._written_out.steps(field.function, field.times, spans, y, carry)
        field.evaluations += len(spans) * (1 + len(self._rows)) - (carry is not None)
        return y, None

    def interpolate(self, dense: Hermite | StagePolynomial, theta: float) -> Tensor:
        """The state at the share `theta` of the step."""
        if type(theta) is float and isinstance(dense, StagePolynomial):
            return self._written_out.inside(theta, dense.dt, dense.y0, dense.stages)
        return dense.at(theta)

    def _error(self, dt: float | Tensor, k: list[Tensor]) -> Tensor:
        if torch.is_grad_enabled():  # step sizes are constants: nothing differentiates the estimate
            k = [stage.detach() for stage in k]
        if type(dt) is float:
            return self._written_out.estimate(dt, k)
        index, coefficient = self._b_error[0]
        start = torch.mul(k[index], dt * coefficient)
        return weighted_sum(start, k, dt, self._b_error[1:])

    def _dense(self, dt: float, y: Tensor, y1: Tensor, k: list[Tensor], end: Tensor | None) -> Any:
        if self.tableau.dense is None:
            return Hermite(y, y1, k[0], end, dt)
        return StagePolynomial(y, k, self.tableau.dense_floats, dt)


_prepared_tableaus: dict[int, tuple[ButcherTableau, tuple[Any, ...]]] = {}


def _prepared(tableau: ButcherTableau) -> tuple[Any, ...]:
    """What steps take of a tableau, in the order of `_PREPARED`; made once for each, as solvers are made for every solve."""
    known = _prepared_tableaus.get(id(tableau))
    if known is None:
        rows = tuple(zip(tableau.c_floats, map(nonzero_terms, tableau.a_floats), strict=True))[1:]
        rows = rows[:-1] if tableau.fsal else rows
        b, b_error = nonzero_terms(tableau.b_floats), nonzero_terms(tableau.b_error_floats or ())
        # For lengths that are floats. Tensors of lengths, one for each row, go through the terms.
        functions = written_out(rows, b, b_error, tableau.dense_floats or ())
        # With the tableau itself, so that no other one takes its place in memory.
        known = _prepared_tableaus[id(tableau)] = tableau, (tableau.fsal, rows, b, b_error, functions)
    return known[1]
