"""Steps with error control by the rules of torchdiffeq's `odeint`, with the coefficients of a built-in method."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from odebench.contract import State, Step, Tolerance
from odebench.numerics.edges import just_inside
from odebench.numerics.interpolation import nonzero_terms, weighted_sum
from odebench.numerics.odeint_march import march_as_odeint
from odebench.numerics.one_step import OneStepSolver
from odebench.numerics.outputs import CLOSE
from odebench.numerics.packing import Packing
from odebench.numerics.runge_kutta import ExplicitRungeKutta
from odebench.numerics.timed_field import TimedField, time_dtype


class Quartic(NamedTuple):
    """The polynomial of degree 4 through both ends and the middle of a step, with the slopes at the ends.

    Attributes:
        y0, middle, y1: states at the start, the middle and the end.
        k0, k1: derivatives at the ends.
        dt: signed length of the step.
    """

    y0: Tensor
    middle: Tensor
    y1: Tensor
    k0: Tensor
    k1: Tensor
    dt: float

    def at(self, theta: float) -> Tensor:
        """The state at the share `theta` of the step."""
        s = 1.0 - theta
        total = torch.mul(self.y0, s * s * (1.0 - 2.0 * theta) * (1.0 + 4.0 * theta))
        total.add_(self.middle, alpha=16.0 * theta * theta * s * s)
        total.add_(self.y1, alpha=theta * theta * (2.0 * theta - 1.0) * (5.0 - 4.0 * theta))
        total.add_(self.k0, alpha=self.dt * theta * s * s * (1.0 - 2.0 * theta))
        return total.add_(self.k1, alpha=self.dt * theta * theta * s * (1.0 - 2.0 * theta))


@dataclass(frozen=True, kw_only=True)
class OdeintRules:
    """What `odeint` can be told about its steps, beyond a `Tolerance`.

    Attributes:
        packing: of the state that `norm`, `rtol` and `atol` are for. A tuple's error is the largest of its tensors'. Any
            other state, such as an adjoint's, is measured as one tensor, with the tolerances of the `Tolerance`.
        norm: of the scaled error, from a state; None takes the root mean square.
        rtol, atol: tolerances of each element, packed as the state is; None takes those of the `Tolerance`.
        min_step: a step this short is accepted whatever its error.
        max_step: no step is longer.
        step_t: times at which a step must end.
        jump_t: times at which a step must end because the field jumps there.
    """

    packing: Packing | None = None
    norm: Callable[[State], Tensor | float] | None = None
    rtol: Tensor | None = None
    atol: Tensor | None = None
    min_step: float = 0.0
    max_step: float = math.inf
    step_t: tuple[float, ...] = ()
    jump_t: tuple[float, ...] = ()


class OdeintAdaptive(OneStepSolver):
    """An embedded Runge-Kutta pair, used as torchdiffeq uses every one of them.

    * The last stage serves as the first of the next step, also where it is not the derivative at the end of the step
      (then it is a state, not a cache).
    * The error estimate is torchdiffeq's, which is not for every method that of its authors.
    * Between the ends of a step the solution is the quartic through its middle.
    * Stages at the end of a step are evaluated one unit in the last place before it.

    Args:
        method: whose coefficients to use.
        rules: see `OdeintRules`.

    Source: torchdiffeq 0.2.5, `RKAdaptiveStepsizeODESolver`.
    """

    adaptive = True
    interpolant_order = 4
    adaptive_loop: ClassVar[Any] = staticmethod(march_as_odeint)

    def __init__(self, method: ExplicitRungeKutta, rules: OdeintRules | None = None) -> None:
        tableau = method.tableau
        self.name = method.name
        self.order = tableau.order
        self.error_order = tableau.order
        self.stages = tableau.stages - 1
        self.rules = rules or OdeintRules()
        self._shape = _packed_shape(self.rules.packing)
        # After a jump the carry is the derivative on the far side, which nothing but the carry remembers.
        self.carry_is = "cache" if tableau.fsal and not self.rules.jump_t else "state"
        self._rows = tuple(zip(tableau.c_floats, map(nonzero_terms, tableau.a_floats), strict=True))[1:]
        self._fsal = tableau.fsal
        self._b = nonzero_terms(tableau.b_floats)
        self._b_error = nonzero_terms(tuple(map(float, method.odeint_b_error or tableau.b_error)))
        self._middle = nonzero_terms(tuple(map(float, method.odeint_midpoint)))

    @property
    def interpolates(self) -> bool:
        """Always: torchdiffeq uses the quartic with every method."""
        return True

    def first_carry(self, field: TimedField, t: float, y: Tensor) -> Tensor:
        """The derivative at the start."""
        return field(t, y)

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
        """One step; a last stage that is only a cache is evaluated where it is asked for."""
        end = just_inside(t + dt, t, time_dtype(y.dtype))
        k = [field(t, y) if carry is None else carry]
        whole = error or dense or self.carry_is == "state"
        for c, terms in self._rows if whole or not self._fsal else self._rows[:-1]:
            argument = weighted_sum(y, k, dt, terms)
            k.append(field(end if c == 1.0 else t + c * dt, argument))
        y1 = argument if whole and self._fsal else weighted_sum(y, k, dt, self._b)
        if not whole:
            return Step(y1)
        return Step(
            y1,
            self._error(dt, k) if error else None,
            # Whether a step with an error estimate is accepted, and its end thus a jump, the loop will know.
            k[-1] if error else self.carry_past(field, t, dt, y1, k[-1]),
            Quartic(y, weighted_sum(y, k, dt, self._middle), y1, k[0], k[-1], dt) if dense else None,
        )

    def interpolate(self, dense: Quartic, theta: float) -> Tensor:
        """The state at the share `theta` of the step."""
        return dense.at(theta)

    def scaled_norm(self, value: Tensor, tolerance: Tolerance, y0: Tensor, y1: Tensor | None = None) -> float:
        """The norm of value / (atol + rtol·max(|y0|, |y1|)); 0 for an empty state."""
        rules = self.rules
        ours = self._shape == y0.shape
        size = y0.detach().abs() if y1 is None else torch.maximum(y0.detach().abs(), y1.detach().abs())
        rtol = rules.rtol if ours and rules.rtol is not None else tolerance.rtol
        atol = rules.atol if ours and rules.atol is not None else tolerance.atol
        scaled = value.detach() / (size * rtol + atol)
        if tolerance.norm_elements is not None:
            return _root_mean_squares([scaled.reshape(-1)[: tolerance.norm_elements]])
        if ours and rules.norm is not None:
            return abs(float(rules.norm(rules.packing.unpack(scaled))))
        return _root_mean_squares(scaled.split(rules.packing.sizes) if ours and rules.packing.is_tuple else [scaled])

    def carry_past(self, field: TimedField, t: float, dt: float, y1: Tensor, last: Tensor) -> Tensor:
        """The carry of the step after an accepted one: its last stage, or, after a jump, the derivative beyond."""
        end = t + dt
        if any(abs(end - jump) <= CLOSE * abs(dt) for jump in self.rules.jump_t):
            return field(just_inside(end, end + dt, time_dtype(y1.dtype)), y1)
        return last

    def _error(self, dt: float, k: list[Tensor]) -> Tensor:
        k = [stage.detach() for stage in k]  # step sizes are constants: nothing differentiates the estimate
        index, coefficient = self._b_error[0]
        return weighted_sum(k[index] * (dt * coefficient), k, dt, self._b_error[1:])


def _packed_shape(packing: Packing | None) -> torch.Size | None:
    if packing is None:
        return None
    return torch.Size([sum(packing.sizes)]) if packing.is_tuple else packing.shapes[0]


def _root_mean_squares(parts: Sequence[Tensor]) -> float:
    """The largest of the parts' root mean squares; one synchronisation with the device."""
    norms = []
    for part in parts:
        if part.numel():
            part = part.float() if part.dtype in (torch.float16, torch.bfloat16) else part
            norms.append(torch.linalg.vector_norm(part) / math.sqrt(part.numel()))
    if not norms:
        return 0.0
    return (norms[0] if len(norms) == 1 else torch.stack(norms).max()).item()
