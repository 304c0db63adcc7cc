"""Bogacki and Shampine's 3(2) pair."""

from fractions import Fraction as F
from typing import ClassVar

from odebench.numerics import ButcherTableau, ExplicitRungeKutta

_B = (F(2, 9), F(1, 3), F(4, 9), F(0))
_B_HAT = (F(7, 24), F(1, 4), F(1, 3), F(1, 8))
_TABLEAU = ButcherTableau(
    order=3,
    c=(F(0), F(1, 2), F(3, 4), F(1)),
    a=((), (F(1, 2),), (F(0), F(3, 4)), _B[:3]),
    b=_B,
    # The difference, so that `dt * sum(b_error * k)` is the error estimate itself.
    b_error=tuple(b - b_hat for b, b_hat in zip(_B, _B_HAT, strict=True)),
    embedded_order=2,
)


class Bosh3(ExplicitRungeKutta):
    """Explicit Runge-Kutta, order 3 with an embedded order 2; 4 stages, first same as last.

    Source: P. Bogacki, L. F. Shampine, "A 3(2) pair of Runge-Kutta formulas",
    Applied Mathematics Letters 2(4), 1989, doi:10.1016/0893-9659(89)90079-7.
    """

    name: ClassVar[str] = "bosh3"
    tableau: ClassVar[ButcherTableau] = _TABLEAU
    odeint_name: ClassVar[str | None] = "bosh3"
    odeint_midpoint: ClassVar[tuple[F, ...]] = (F(0), F(1, 2), F(0), F(0))
