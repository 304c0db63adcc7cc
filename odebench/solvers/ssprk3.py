"""Shu and Osher's strong stability preserving method of order 3."""

from fractions import Fraction as F
from typing import ClassVar

from odebench.numerics import ButcherTableau, ExplicitRungeKutta

_TABLEAU = ButcherTableau(
    order=3,
    c=(F(0), F(1), F(1, 2)),
    a=((), (F(1),), (F(1, 4), F(1, 4))),
    b=(F(1, 6), F(1, 6), F(2, 3)),
)


class SspRk3(ExplicitRungeKutta):
    """Explicit Runge-Kutta, order 3; 3 stages, each a convex combination of Euler steps no longer than dt.

    Source: C.-W. Shu, S. Osher, "Efficient implementation of essentially non-oscillatory shock-capturing schemes",
    Journal of Computational Physics 77(2), 1988, doi:10.1016/0021-9991(88)90177-5.
    """

    name: ClassVar[str] = "ssprk3"
    tableau: ClassVar[ButcherTableau] = _TABLEAU
    odeint_name: ClassVar[str | None] = None
