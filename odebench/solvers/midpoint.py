"""Runge's explicit midpoint rule."""

from fractions import Fraction as F
from typing import ClassVar

from odebench.numerics import ButcherTableau, ExplicitRungeKutta

_TABLEAU = ButcherTableau(
    order=2,
    c=(F(0), F(1, 2)),
    a=((), (F(1, 2),)),
    b=(F(0), F(1)),
)


class Midpoint(ExplicitRungeKutta):
    """Explicit Runge-Kutta, order 2; 2 stages.

    Source: C. Runge, "Über die numerische Auflösung von Differentialgleichungen",
    Mathematische Annalen 46, 1895, doi:10.1007/BF01446807.
    """

    name: ClassVar[str] = "midpoint"
    tableau: ClassVar[ButcherTableau] = _TABLEAU
    odeint_name: ClassVar[str | None] = "midpoint"
