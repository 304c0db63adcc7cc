"""The order of a tableau, decided in exact arithmetic: all rooted trees up to that order."""

from __future__ import annotations

from collections.abc import Sequence

from odebench.conformance.failure import Failure
from odebench.contract import Solver
from odebench.numerics.order_conditions import OrderCondition, check_dense_order, check_embedded_order, check_order
from odebench.numerics.trees import trees_up_to_order


def check_order_conditions(solver: Solver) -> str:
    """The weights of the method satisfy the order conditions of all rooted trees up to its order, exactly."""
    order = solver.tableau.order
    _refuse(check_order(solver.tableau), order, "the method", "`b`, `a` and `c`")
    if solver.order != order:
        raise Failure(
            expected=f"`order` to be that of the tableau, {order}",
            measured=f"{solver.order}",
            cause="it was typed a second time",
            look="`order` of the class, and delete it",
        )
    return f"{len(list(trees_up_to_order(order)))} conditions hold"


def check_embedded_order_conditions(solver: Solver) -> str:
    """The embedded method satisfies the order conditions up to its own order, and not those of the method's, exactly."""
    tableau = solver.tableau
    order = tableau.embedded_order
    _refuse(check_embedded_order(tableau), order, "the embedded method", "`b_error`, which is b - b_hat")
    if order < tableau.order and not check_embedded_order(tableau, order + 1):
        raise Failure(
            expected=f"an embedded method of order {order}, as declared",
            measured=f"that it satisfies all conditions of order {order + 1} as well",
            cause="`embedded_order` is too low, which gives the step control a wrong exponent",
            look="`embedded_order`, and `b_error`, against the source",
        )
    return f"order {order}"


def check_dense_order_conditions(solver: Solver) -> str:
    """The continuous extension satisfies the order conditions as identities in the share of the step, exactly."""
    order = solver.tableau.dense_order
    _refuse(check_dense_order(solver.tableau), order, "the continuous extension", "the rows of `dense`")
    return f"order {order}"


def _refuse(violated: Sequence[OrderCondition], order: int, what: str, where: str) -> None:
    if violated:
        raise Failure(
            expected=f"{what} to satisfy all conditions of order {order}",
            measured=f"{len(violated)} that it does not, the first: {violated[0]}",
            cause="a coefficient is not the one that the source prints",
            look=f"{where}, digit by digit against the source",
        )
