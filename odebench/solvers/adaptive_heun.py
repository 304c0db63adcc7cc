"""Heun's method of order 2 with Euler's method embedded."""

from fractions import Fraction as F
from typing import ClassVar

from odebench.numerics import ButcherTableau, ExplicitRungeKutta

_B = (F(1, 2), F(1, 2))
_B_HAT = (F(1), F(0))
_TABLEAU = ButcherTableau(
    order=2,
    c=(F(0), F(1)),
    a=((), (F(1),)),
    b=_B,
    b_error=tuple(b - b_hat for b, b_hat in zip(_B, _B_HAT, strict=True)),
    embedded_order=1,
)


class AdaptiveHeun(ExplicitRungeKutta):
    """Explicit Runge-Kutta, order 2 with an embedded order 1; 2 stages.

    Source: K. Heun, "Neue Methoden zur approximativen Integration der Differentialgleichungen einer
    unabhängigen Veränderlichen", Zeitschrift für Mathematik und Physik 45, 1900, pages 23-38;
    the pair as in E. Hairer, S. P. Nørsett, G. Wanner, "Solving Ordinary Differential Equations I", 2nd ed.,
    section II.4.
    """

    name: ClassVar[str] = "adaptive-heun"
    tableau: ClassVar[ButcherTableau] = _TABLEAU
    odeint_name: ClassVar[str | None] = "adaptive_heun"
    odeint_midpoint: ClassVar[tuple[F, ...]] = (F(1, 2), F(0))
