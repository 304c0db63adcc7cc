"""Heun's method of order 2, also called the explicit trapezoidal rule."""

from fractions import Fraction as F
from typing import ClassVar

from odebench.numerics import ButcherTableau, ExplicitRungeKutta

_TABLEAU = ButcherTableau(
    order=2,
    c=(F(0), F(1)),
    a=((), (F(1),)),
    b=(F(1, 2), F(1, 2)),
)


class Heun(ExplicitRungeKutta):
    """Explicit Runge-Kutta, order 2; 2 stages.

    Source: K. Heun, "Neue Methoden zur approximativen Integration der Differentialgleichungen einer
    unabhängigen Veränderlichen", Zeitschrift für Mathematik und Physik 45, 1900, pages 23-38.
    """

    name: ClassVar[str] = "heun"
    tableau: ClassVar[ButcherTableau] = _TABLEAU
    odeint_name: ClassVar[str | None] = "heun2"
