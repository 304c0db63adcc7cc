"""Fehlberg's 1(2) pair, continued with its order 2."""

from fractions import Fraction as F
from typing import ClassVar

from odebench.numerics import ButcherTableau, ExplicitRungeKutta

_B = (F(1, 512), F(255, 256), F(1, 512))
_B_HAT = (F(1, 256), F(255, 256), F(0))
_TABLEAU = ButcherTableau(
    order=2,
    c=(F(0), F(1, 2), F(1)),
    a=((), (F(1, 2),), _B_HAT[:2]),
    b=_B,
    b_error=tuple(b - b_hat for b, b_hat in zip(_B, _B_HAT, strict=True)),
    embedded_order=1,
)


class Fehlberg21(ExplicitRungeKutta):
    """Explicit Runge-Kutta, order 2 with an embedded order 1; 3 stages.

    Fehlberg continues with order 1, where the last stage is the next step's first; with order 2 it is not.

    Source: E. Fehlberg, "Low-order classical Runge-Kutta formulas with stepsize control and their application to
    some heat transfer problems", NASA Technical Report R-315, 1969, formula RK1(2).
    """

    name: ClassVar[str] = "fehlberg21"
    tableau: ClassVar[ButcherTableau] = _TABLEAU
    odeint_name: ClassVar[str | None] = "fehlberg2"
    odeint_midpoint: ClassVar[tuple[F, ...]] = (F(0), F(1, 2), F(0))
