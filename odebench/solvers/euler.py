"""Euler's method."""

from fractions import Fraction as F
from typing import ClassVar

from odebench.numerics import ButcherTableau, ExplicitRungeKutta

_TABLEAU = ButcherTableau(
    order=1,
    c=(F(0),),
    a=((),),
    b=(F(1),),
)


class Euler(ExplicitRungeKutta):
    """Explicit Runge-Kutta, order 1; 1 stage.

    Source: L. Euler, "Institutionum calculi integralis", volume 1, 1768, chapter VII.
    """

    name: ClassVar[str] = "euler"
    tableau: ClassVar[ButcherTableau] = _TABLEAU
    odeint_name: ClassVar[str | None] = "euler"
