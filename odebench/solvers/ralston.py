"""Ralston's method of order 2, with the least bound on the error."""

from fractions import Fraction as F
from typing import ClassVar

from odebench.numerics import ButcherTableau, ExplicitRungeKutta

_TABLEAU = ButcherTableau(
    order=2,
    c=(F(0), F(2, 3)),
    a=((), (F(2, 3),)),
    b=(F(1, 4), F(3, 4)),
)


class Ralston(ExplicitRungeKutta):
    """Explicit Runge-Kutta, order 2; 2 stages, with the smallest bound on the local error that 2 stages allow.

    Source: A. Ralston, "Runge-Kutta methods with minimum error bounds",
    Mathematics of Computation 16(80), 1962, doi:10.1090/S0025-5718-1962-0150954-0.
    """

    name: ClassVar[str] = "ralston"
    tableau: ClassVar[ButcherTableau] = _TABLEAU
    odeint_name: ClassVar[str | None] = None
