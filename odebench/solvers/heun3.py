"""Heun's method of order 3."""

from fractions import Fraction as F
from typing import ClassVar

from odebench.numerics import ButcherTableau, ExplicitRungeKutta

_TABLEAU = ButcherTableau(
    order=3,
    c=(F(0), F(1, 3), F(2, 3)),
    a=((), (F(1, 3),), (F(0), F(2, 3))),
    b=(F(1, 4), F(0), F(3, 4)),
)


class Heun3(ExplicitRungeKutta):
    """Explicit Runge-Kutta, order 3; 3 stages.

    Source: K. Heun, "Neue Methoden zur approximativen Integration der Differentialgleichungen einer
    unabhängigen Veränderlichen", Zeitschrift für Mathematik und Physik 45, 1900, pages 23-38.
    """

    name: ClassVar[str] = "heun3"
    tableau: ClassVar[ButcherTableau] = _TABLEAU
    odeint_name: ClassVar[str | None] = "heun3"
