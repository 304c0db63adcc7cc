"""Dormand and Prince's 5(4) pair."""

from fractions import Fraction as F
from typing import ClassVar

from odebench.numerics import ButcherTableau, ExplicitRungeKutta

_B = (F(35, 384), F(0), F(500, 1113), F(125, 192), F(-2187, 6784), F(11, 84), F(0))
_B_HAT = (F(5179, 57600), F(0), F(7571, 16695), F(393, 640), F(-92097, 339200), F(187, 2100), F(1, 40))
_B_ERROR = tuple(b - b_hat for b, b_hat in zip(_B, _B_HAT, strict=True))
# The continuous extension is the cubic Hermite polynomial of the step plus theta**2 (1 - theta)**2 sum_i d_i k_i.
_D = (
    F(-12715105075, 11282082432),
    F(0),
    F(87487479700, 32700410799),
    F(-10690763975, 1880347072),
    F(701980252875, 199316789632),
    F(-1453857185, 822651844),
    F(69997945, 29380423),
)
_FIRST = (1, 0, 0, 0, 0, 0, 0)
_LAST = (0, 0, 0, 0, 0, 0, 1)
_TABLEAU = ButcherTableau(
    order=5,
    c=(F(0), F(1, 5), F(3, 10), F(4, 5), F(8, 9), F(1), F(1)),
    a=(
        (),
        (F(1, 5),),
        (F(3, 40), F(9, 40)),
        (F(44, 45), F(-56, 15), F(32, 9)),
        (F(19372, 6561), F(-25360, 2187), F(64448, 6561), F(-212, 729)),
        (F(9017, 3168), F(-355, 33), F(46732, 5247), F(49, 176), F(-5103, 18656)),
        _B[:6],
    ),
    b=_B,
    b_error=_B_ERROR,
    embedded_order=4,
    dense=tuple(
        (first, 3 * b - 2 * first - last + d, first + last - 2 * b - 2 * d, d)
        for b, d, first, last in zip(_B, _D, _FIRST, _LAST, strict=True)
    ),
    dense_order=4,
)


class Dopri5(ExplicitRungeKutta):
    """Explicit Runge-Kutta, order 5 with an embedded order 4; 7 stages, first same as last; dense output of order 4.

    Source: J. R. Dormand, P. J. Prince, "A family of embedded Runge-Kutta formulae",
    Journal of Computational and Applied Mathematics 6(1), 1980, doi:10.1016/0771-050X(80)90013-3;
    dense output: L. F. Shampine, "Some practical Runge-Kutta formulas", Mathematics of Computation 46(173), 1986,
    doi:10.1090/S0025-5718-1986-0815836-3, in the form of E. Hairer, S. P. Nørsett, G. Wanner,
    "Solving Ordinary Differential Equations I", 2nd ed., section II.6, and their program DOPRI5.
    """

    name: ClassVar[str] = "dopri5"
    tableau: ClassVar[ButcherTableau] = _TABLEAU
    odeint_name: ClassVar[str | None] = "dopri5"
    odeint_midpoint: ClassVar[tuple[F, ...]] = _TABLEAU.weights_at(F(1, 2))
    # torchdiffeq embeds another method of order 4, (1951/21600, 0, 22642/50085, 451/720, -12231/42400, 649/6300, 1/60),
    # whose error estimate is two thirds of Dormand and Prince's.
    odeint_b_error: ClassVar[tuple[F, ...]] = tuple(F(2, 3) * x for x in _B_ERROR)
