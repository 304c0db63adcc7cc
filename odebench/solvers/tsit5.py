"""Tsitouras's 5(4) pair."""

from decimal import Decimal as D
from fractions import Fraction as F
from typing import ClassVar

from odebench.numerics import ButcherTableau, ExplicitRungeKutta

_C = (F(0), F("0.161"), F("0.327"), F("0.9"), D("0.9800255409045097"), F(1), F(1))
_B = (
    D("0.09646076681806523"),
    F("0.01"),
    D("0.4798896504144996"),
    D("1.379008574103742"),
    D("-3.290069515436081"),
    D("2.324710524099774"),
    F(0),
)
# The paper prints a_ij for j >= 2 and leaves a_i1 to the condition that a row sums to its node.
_A_BEYOND_FIRST = (
    (),
    (),
    (D("0.3354806554923570"),),
    (D("-6.359448489975075"), D("4.362295432869581")),
    (D("-11.74888356406283"), D("7.495539342889836"), D("-0.09249506636175525")),
    (D("-12.92096931784711"), D("8.159367898576159"), D("-0.07158497328140100"), D("-0.02826905039406838")),
)


def _with_first(row: tuple[D, ...], node: F | D) -> tuple[F | D, ...]:
    """A row of `a` with the first entry that makes it sum to its node."""
    return (F(node) - sum(map(F, row)), *row)


def _product(*polynomials: tuple[D | int, ...]) -> tuple[F, ...]:
    """The product of polynomials in theta, given and returned by their coefficients, lowest power first."""
    result = [F(1)]
    for polynomial in polynomials:
        terms = [F(0)] * (len(result) + len(polynomial) - 1)
        for i, x in enumerate(result):
            for j, y in enumerate(polynomial):
                terms[i + j] += x * F(y)
        result = terms
    return tuple(result)


_TABLEAU = ButcherTableau(
    order=5,
    c=_C,
    a=((), *(_with_first(row, node) for row, node in zip(_A_BEYOND_FIRST[1:], _C[1:6], strict=True)), _B[:6]),
    b=_B,
    # Table 1 of the paper calls these b_hat, but they are the differences b - b_hat; and it prints +1/66 for the last,
    # with which they do not sum to zero. Found by the authors of OrdinaryDiffEq.jl and diffrax, see
    # https://github.com/SciML/OrdinaryDiffEq.jl/issues/1654 and https://github.com/patrick-kidger/diffrax/issues/98.
    b_error=(
        D("0.001780011052226"),
        D("0.000816434459657"),
        D("-0.007880878010262"),
        D("0.144711007173263"),
        D("-0.582357165452555"),
        D("0.458082105929187"),
        F(-1, 66),
    ),
    embedded_order=4,
    # Without the constant term, which is zero in each.
    dense=tuple(
        row[1:]
        for row in (
            _product(
                (0, D("-1.0530884977290216")),
                (D("-1.3299890189751412"), 1),
                (D("0.7139816917074209"), D("-1.4364028541716351"), 1),
            ),
            _product((0, 0, D("0.1017")), (D("1.2949852507374631"), D("-2.1966568338249754"), 1)),
            _product((0, 0, D("2.490627285651252793")), (D("1.57803468208092486"), D("-2.38535645472061657"), 1)),
            _product(
                (0, 0, D("-16.54810288924490272")), (D("-1.21712927295533244"), 1), (D("-0.61620406037800089"), 1)
            ),
            _product(
                (0, 0, D("47.37952196281928122")), (D("-1.203071208372362603"), 1), (D("-0.658047292653547382"), 1)
            ),
            _product((0, 0, D("-34.87065786149660974")), (D("-1.2"), 1), (D("-0.666666666666666667"), 1)),
            _product((0, 0, D("2.5")), (-1, 1), (D("-0.6"), 1)),
        )
    ),
    dense_order=4,
)


class Tsit5(ExplicitRungeKutta):
    """Explicit Runge-Kutta, order 5 with an embedded order 4; 7 stages, first same as last; dense output of order 4.

    Source: Ch. Tsitouras, "Runge-Kutta pairs of order 5(4) satisfying only the first column simplifying assumption",
    Computers and Mathematics with Applications 62(2), 2011, doi:10.1016/j.camwa.2011.06.002.
    """

    name: ClassVar[str] = "tsit5"
    tableau: ClassVar[ButcherTableau] = _TABLEAU
    odeint_name: ClassVar[str | None] = None
