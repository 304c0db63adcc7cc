"""The classical Runge-Kutta method."""

from fractions import Fraction as F
from typing import ClassVar

from odebench.numerics import ButcherTableau, ExplicitRungeKutta

_TABLEAU = ButcherTableau(
    order=4,
    c=(F(0), F(1, 2), F(1, 2), F(1)),
    a=((), (F(1, 2),), (F(0), F(1, 2)), (F(0), F(0), F(1))),
    b=(F(1, 6), F(1, 3), F(1, 3), F(1, 6)),
)


class Rk4(ExplicitRungeKutta):
    """Explicit Runge-Kutta, order 4; 4 stages.

    Source: W. Kutta, "Beitrag zur näherungsweisen Integration totaler Differentialgleichungen",
    Zeitschrift für Mathematik und Physik 46, 1901, pages 435-453.
    """

    name: ClassVar[str] = "rk4"
    tableau: ClassVar[ButcherTableau] = _TABLEAU
    odeint_name: ClassVar[str | None] = None
