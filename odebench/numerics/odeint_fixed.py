"""Fixed steps by the rules of torchdiffeq's `odeint`, with the coefficients of a built-in method."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from torch import Tensor

from odebench.contract import Step
from odebench.numerics.edges import just_inside
from odebench.numerics.interpolation import Hermite, nonzero_terms, weighted_sum
from odebench.numerics.one_step import OneStepSolver
from odebench.numerics.runge_kutta import ExplicitRungeKutta
from odebench.numerics.timed_field import TimedField, time_dtype


class Chord(NamedTuple):
    """The straight line through both ends of a step: order 1.

    Attributes:
        y0, y1: states at the ends.
    """

    y0: Tensor
    y1: Tensor

    def at(self, theta: float) -> Tensor:
        """The state at the share `theta` of the step."""
        return self.y0 + theta * (self.y1 - self.y0)


class OdeintFixed(OneStepSolver):
    """A Runge-Kutta method on a given grid.

    It differs from the method itself in two ways: output times inside a step are read off a straight line, whatever the
    method's order, unless the cubic is asked for; and with `perturb` the stages at the ends of a step are evaluated at
    the next number inside it, so that a field that jumps there is seen from the step's own side.

    Args:
        method: whose coefficients to use.
        interp: polynomial between the ends of a step; the cubic costs an evaluation where it is needed.
        perturb: whether times at the ends of a step are moved inside.

    Source: torchdiffeq 0.2.5, `FixedGridODESolver`.
    """

    carry_is = "none"

    def __init__(
        self, method: ExplicitRungeKutta, *, interp: Literal["linear", "cubic"] = "linear", perturb: bool = False
    ) -> None:
        tableau = method.tableau
        self.name = method.name
        self.order = tableau.order
        self.stages = tableau.stages
        self.nodes = () if perturb else tuple(dict.fromkeys(tableau.c_floats))
        self.interpolant_order = 3 if interp == "cubic" else 1
        self._rows = tuple(zip(tableau.c_floats, map(nonzero_terms, tableau.a_floats), strict=True))
        self._b = nonzero_terms(tableau.b_floats)
        self._cubic = interp == "cubic"
        self._perturb = perturb

    @property
    def interpolates(self) -> bool:
        """Always: torchdiffeq draws its line however poor that is."""
        return True

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
        """One step; there is no estimate of its error."""
        k: list[Tensor] = []
        for c, terms in self._rows:
            time = t + c * dt
            if self._perturb and c in (0.0, 1.0):
                other_end = t + dt if c == 0.0 else t
                time = just_inside(time, other_end, time_dtype(y.dtype))
            k.append(field(time, weighted_sum(y, k, dt, terms)))
        y1 = weighted_sum(y, k, dt, self._b)
        if not dense:
            return Step(y1)
        return Step(y1, dense=Hermite(y, y1, k[0], field(t + dt, y1), dt) if self._cubic else Chord(y, y1))

    def interpolate(self, dense: Hermite | Chord, theta: float) -> Tensor:
        """The state at the share `theta` of the step."""
        return dense.at(theta)
