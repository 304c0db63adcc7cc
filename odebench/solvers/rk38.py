"""Kutta's 3/8 rule."""

from fractions import Fraction as F
from typing import ClassVar

from odebench.numerics import ButcherTableau, ExplicitRungeKutta

_TABLEAU = ButcherTableau(
    order=4,
    c=(F(0), F(1, 3), F(2, 3), F(1)),
    a=((), (F(1, 3),), (F(-1, 3), F(1)), (F(1), F(-1), F(1))),
    b=(F(1, 8), F(3, 8), F(3, 8), F(1, 8)),
)


class Rk38(ExplicitRungeKutta):
    """Explicit Runge-Kutta, order 4; 4 stages. torchdiffeq calls this one `rk4`.

    Source: W. Kutta, "Beitrag zur näherungsweisen Integration totaler Differentialgleichungen",
    Zeitschrift für Mathematik und Physik 46, 1901, pages 435-453.
    """

    name: ClassVar[str] = "rk38"
    tableau: ClassVar[ButcherTableau] = _TABLEAU
    odeint_name: ClassVar[str | None] = "rk4"
