"""Kværnø's 3(2) pair for stiff problems."""

from decimal import Decimal
from fractions import Fraction as F
from typing import ClassVar

from odebench.numerics import ButcherTableau, DiagonallyImplicitRungeKutta

# The root of 6 x³ - 18 x² + 9 x - 1 at which the method is L-stable; the paper prints 0.4358665215.
_G = F(Decimal("0.435866521508458999416019451193556842529253"))
_A3 = ((-4 * _G**2 + 6 * _G - 1) / (4 * _G), (1 - 2 * _G) / (4 * _G), _G)
_A4 = ((6 * _G - 1) / (12 * _G), -1 / ((24 * _G - 12) * _G), (-6 * _G**2 + 6 * _G - 1) / (6 * _G - 3), _G)
_TABLEAU = ButcherTableau(
    order=3,
    c=(F(0), 2 * _G, F(1), F(1)),
    a=((F(0),), (_G, _G), _A3, _A4),
    b=_A4,
    # The embedded method is the third stage.
    b_error=tuple(b - b_hat for b, b_hat in zip(_A4, (*_A3, F(0)), strict=True)),
    embedded_order=2,
    rounded=True,
)


class Kvaerno3(DiagonallyImplicitRungeKutta):
    """Diagonally implicit Runge-Kutta, order 3 with an embedded order 2; 4 stages, the first explicit; both L-stable.

    Source: A. Kværnø, "Singly diagonally implicit Runge-Kutta methods with an explicit first stage",
    BIT Numerical Mathematics 44, 2004, doi:10.1023/B:BITN.0000046811.70614.38, method 3/2.
    """

    name: ClassVar[str] = "kvaerno3"
    tableau: ClassVar[ButcherTableau] = _TABLEAU
    known_failures: ClassVar[dict[str, str]] = {
        "check_rows_do_not_interact": "Newton's method ends for the whole batch at once, so that a row may take an iteration more "
        "than it would alone: a relative change of 2.4e-16.",
    }
    source: ClassVar[str] = "A. Kværnø, BIT 44, 2004, doi:10.1023/B:BITN.0000046811.70614.38"
