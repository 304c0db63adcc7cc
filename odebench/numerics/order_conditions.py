"""Order conditions: whether a tableau has the order that it claims, decided in exact arithmetic.

A Runge-Kutta method has order p if and only if, for each rooted tree t with at most p vertices,

    sum_i b_i Phi_i(t) = 1 / gamma(t)

where Phi_i(t), the elementary weight at stage i, is the product over the children s of t's root of sum_j a_ij Phi_j(s).
The embedded method satisfies the same with b_hat; a continuous extension with b_i(theta) and theta**|t| on the right.

Source: J. C. Butcher, "Coefficients for the study of Runge-Kutta integration processes", Journal of the Australian
Mathematical Society 3(2), 1963, doi:10.1017/S1446788700027932; E. Hairer, S. P. Nørsett, G. Wanner, "Solving Ordinary
Differential Equations I", 2nd ed., Theorems II.2.13 and II.6.1.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from odebench.errors import TableauError
from odebench.numerics.tableau import ButcherTableau
from odebench.numerics.trees import Tree, trees_up_to_order

ROUNDED_TOLERANCE = Fraction(1, 10**13)
"""Largest residual that counts as zero in a tableau whose source prints rounded coefficients."""


@dataclass(frozen=True, kw_only=True)
class OrderCondition:
    """One tree's condition and how far a method is from it.

    Attributes:
        tree: the rooted tree.
        residual: left side minus right side, exactly; for a continuous extension the coefficient, of the difference of
            the two polynomials in theta, that is largest in absolute value.
    """

    tree: Tree
    residual: Fraction

    def __str__(self) -> str:
        return f"tree {self.tree} of order {self.tree.order} misses 1/{self.tree.density} by {float(self.residual):.3g}"


def order_conditions(tableau: ButcherTableau, order: int) -> list[OrderCondition]:
    """The conditions for `order` of the method's weights `b`: one for each tree with at most `order` vertices."""
    return _conditions(tableau, tableau.b, order)


def embedded_order_conditions(tableau: ButcherTableau, order: int) -> list[OrderCondition]:
    """The conditions for `order` of the embedded weights b_hat = b - b_error.

    Raises:
        TableauError: the tableau has no embedded method.
    """
    if tableau.b_hat is None:
        raise TableauError(
            "The tableau has no embedded method to check: `b_error` is None. Give it, or skip the check."
        )
    return _conditions(tableau, tableau.b_hat, order)


def dense_order_conditions(tableau: ButcherTableau, order: int) -> list[OrderCondition]:
    """The conditions for `order`, as identities of polynomials in theta, of the continuous extension.

    Raises:
        TableauError: the tableau has no continuous extension.
    """
    if tableau.dense is None:
        raise TableauError(
            "The tableau has no continuous extension to check: `dense` is None. Give it, or skip the check."
        )
    weights = _ElementaryWeights(tableau)
    conditions = []
    # Powers of theta: a row may be shorter than others, or than the order asked for.
    degree = max(order, *(len(row) for row in tableau.dense))
    columns = [[row[n] if n < len(row) else Fraction(0) for row in tableau.dense] for n in range(degree)]
    for tree in trees_up_to_order(order):
        residuals = [weights.sum(column, tree) for column in columns]
        residuals[tree.order - 1] -= Fraction(1, tree.density)
        conditions.append(OrderCondition(tree=tree, residual=max(residuals, key=abs)))
    return conditions


def check_order(
    tableau: ButcherTableau, order: int | None = None, *, tolerance: Fraction | None = None
) -> list[OrderCondition]:
    """The conditions that the method violates; empty when it has the order.

    Args:
        tableau: the method.
        order: the order to check; the one that the tableau claims by default.
        tolerance: largest residual that counts as zero. By default 0, or `ROUNDED_TOLERANCE` for a rounded tableau.
    """
    return _violated(tableau, order_conditions(tableau, tableau.order if order is None else order), tolerance)


def check_embedded_order(
    tableau: ButcherTableau, order: int | None = None, *, tolerance: Fraction | None = None
) -> list[OrderCondition]:
    """As `check_order`, for the embedded method."""
    order = tableau.embedded_order if order is None else order
    return _violated(tableau, embedded_order_conditions(tableau, order), tolerance)


def check_dense_order(
    tableau: ButcherTableau, order: int | None = None, *, tolerance: Fraction | None = None
) -> list[OrderCondition]:
    """As `check_order`, for the continuous extension."""
    order = tableau.dense_order if order is None else order
    return _violated(tableau, dense_order_conditions(tableau, order), tolerance)


def largest_residual(conditions: Sequence[OrderCondition]) -> float:
    """The largest absolute residual; 0.0 of none."""
    return float(max((abs(condition.residual) for condition in conditions), default=Fraction(0)))


def _conditions(tableau: ButcherTableau, b: Sequence[Fraction], order: int) -> list[OrderCondition]:
    weights = _ElementaryWeights(tableau)
    return [
        OrderCondition(tree=tree, residual=weights.sum(b, tree) - Fraction(1, tree.density))
        for tree in trees_up_to_order(order)
    ]


def _violated(
    tableau: ButcherTableau, conditions: Sequence[OrderCondition], tolerance: Fraction | None
) -> list[OrderCondition]:
    if tolerance is None:
        tolerance = ROUNDED_TOLERANCE if tableau.rounded else Fraction(0)
    return [condition for condition in conditions if abs(condition.residual) > tolerance]


class _ElementaryWeights:
    """Phi_i(t) for each stage i of one tableau, computed once for each subtree.

    All coefficients of `a` are brought to one common denominator D, so that Phi_i(t) is a whole number over
    D**(order of t - 1). Fractions would be reduced after every sum: over the ten-digit denominators of Prince and
    Dormand's method of order 8 that is a hundred times slower, and whole numbers are just as exact.
    """

    def __init__(self, tableau: ButcherTableau) -> None:
        self._denominator = math.lcm(*(x.denominator for row in tableau.a for x in row))
        self._a = [[int(x * self._denominator) for x in row] for row in tableau.a]
        self._known: dict[Tree, list[int]] = {}

    def sum(self, weights: Sequence[Fraction], tree: Tree) -> Fraction:
        """sum_i weights_i Phi_i(tree)."""
        common = math.lcm(*(x.denominator for x in weights))
        total = sum(int(w * common) * phi for w, phi in zip(weights, self._numerators(tree), strict=True))
        return Fraction(total, common * self._denominator ** (tree.order - 1))

    def _numerators(self, tree: Tree) -> list[int]:
        if tree not in self._known:
            phi = [1] * len(self._a)
            for child in tree.children:
                below = self._numerators(child)
                # Rows of a lower triangle are shorter than the list of stages; zip ends with the row.
                phi = [
                    p * sum(x * y for x, y in zip(row, below, strict=False))
                    for p, row in zip(phi, self._a, strict=True)
                ]
            self._known[tree] = phi
        return self._known[tree]
