"""The vector-Jacobian product of expressions, as expressions: reverse accumulation.

Source: A. Griewank, A. Walther, "Evaluating Derivatives", 2nd ed., SIAM 2008, section 3.2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from odebench.compiled.fused.expressions import CONDITIONS, Builder, Expression, ordered


@dataclass(frozen=True)
class Outer:
    """What a trajectory adds to the gradient of a matrix: the outer product of a vector and of the cotangents of its product with it.

    Attributes:
        given, bars: the vector, and the cotangents.
        place: of the matrix: which tensor, where it begins there, how far its rows and its columns lie apart, and how many there are
            of both.
    """

    given: tuple[Expression, ...]
    bars: tuple[Expression, ...]
    place: tuple[int, ...]


Rule = Callable[[Builder, Expression, Expression], Sequence[Expression | None]]


def pulled_back(
    builder: Builder, results: Sequence[Expression], leaves: Sequence[Expression], outers: list[Outer] | None = None
) -> list[Expression]:
    """Σ cotangent_i · ∂results_i/∂leaf for each leaf; the cotangents are leaves "cotangent" of their own.

    Args:
        outers: takes what belongs to the gradients of matrices; None where there are none.
    """
    bars: dict[int, Expression] = {}

    def add(expression: Expression, bar: Expression | None) -> None:
        if bar is not None and expression.operation != "constant":
            known = bars.get(id(expression))
            bars[id(expression)] = bar if known is None else builder.make("add", known, bar)

    for index, result in enumerate(results):
        add(result, builder.leaf("cotangent", index))
    products = _products(results)
    for expression in reversed(ordered(results)):
        if expression.operation == "dense":
            columns = products[_product_of(expression)]
            # The first of its columns is the last one that is met, when the cotangents of all are known.
            if expression is columns[0]:
                outer, shares = _of_product(builder, columns, bars)
                outers.append(outer)
                for argument, share in zip(outer.given, shares, strict=True):
                    add(argument, share)
            continue
        bar = bars.get(id(expression))
        if bar is not None and expression.arguments and expression.operation not in CONDITIONS:
            shares = RULES[expression.operation](builder, expression, bar)
            for argument, share in zip(expression.arguments, shares, strict=True):
                add(argument, share)
    zero = builder.constant(0.0)
    return [bars.get(id(leaf), zero) for leaf in leaves]


def _product_of(column: Expression) -> tuple[Any, ...]:
    """Of which product it is a column."""
    return column.arguments, *column.place[:4], column.place[5]


def _products(results: Sequence[Expression]) -> dict[tuple[Any, ...], list[Expression]]:
    """The products of vectors and matrices, and those of their columns that are used, in order."""
    found: dict[tuple[Any, ...], list[Expression]] = {}
    for expression in ordered(results):
        if expression.operation == "dense":
            found.setdefault(_product_of(expression), []).append(expression)
    return found


def _of_product(
    builder: Builder, columns: Sequence[Expression], bars: Mapping[int, Expression]
) -> tuple[Outer, list[Expression]]:
    """What a product adds to its matrix, and to the vector: the product of the cotangents and the transpose."""
    tensor, start, down, along, _, count = columns[0].place
    given, zero = columns[0].arguments, builder.constant(0.0)
    places = {column.place[4]: bars.get(id(column), zero) for column in columns}
    cotangents = tuple(places.get(n, zero) for n in range(count))
    rows = len(given)
    shares = [builder.dense(cotangents, tensor, start, along, down, n, rows) for n in range(rows)]
    return Outer(given, cotangents, (tensor, start, down, along, rows, count)), shares


def _by_factor(factor: Callable[[Builder, Expression, Expression], Expression]) -> Rule:
    """The rule of a function of one number, from its derivative: factor(builder, argument, result)."""
    return lambda b, e, bar: [b.make("mul", bar, factor(b, e.arguments[0], e))]


def _chosen(b: Builder, condition: Expression, bar: Expression) -> list[Expression]:
    zero = b.constant(0.0)
    return [b.make("where", condition, bar, zero), b.make("where", condition, zero, bar)]


def _of_extreme(comparison: str) -> Rule:
    """Of the larger or the smaller of two numbers; equal ones share, as in torch."""

    def rule(b: Builder, e: Expression, bar: Expression) -> list[Expression]:
        left, right = e.arguments
        half = b.make("mul", bar, b.constant(0.5))
        equal, zero = b.make("eq", left, right), b.constant(0.0)
        one = b.make("where", equal, half, b.make("where", b.make(comparison, left, right), bar, zero))
        other = b.make("where", equal, half, b.make("where", b.make(comparison, right, left), bar, zero))
        return [one, other]

    return rule


def _of_power(b: Builder, e: Expression, bar: Expression) -> list[Expression | None]:
    base, exponent = e.arguments
    one, zero = b.constant(1.0), b.constant(0.0)
    slope = b.make("mul", exponent, b.make("pow", base, b.make("sub", exponent, one)))
    slope = b.make("where", b.make("eq", exponent, zero), zero, slope)
    if exponent.operation == "constant":
        return [b.make("mul", bar, slope), None]
    # As in torch: 0 to a power that is not negative stays 0.
    flat = b.make("and", b.make("eq", base, zero), b.make("ge", exponent, zero))
    growth = b.make("where", flat, zero, b.make("mul", e, b.make("log", base)))
    return [b.make("mul", bar, slope), b.make("mul", bar, growth)]


def _of_quotient(b: Builder, e: Expression, bar: Expression) -> list[Expression]:
    share = b.make("div", bar, e.arguments[1])
    return [share, b.make("neg", b.make("mul", share, e))]


def _one_minus_square(b: Builder, x: Expression) -> Expression:
    return b.make("sub", b.constant(1.0), b.make("mul", x, x))


def _one_plus_square(b: Builder, x: Expression) -> Expression:
    return b.make("add", b.constant(1.0), b.make("mul", x, x))


def _inverse(b: Builder, x: Expression) -> Expression:
    return b.make("div", b.constant(1.0), x)


def _bell(b: Builder, x: Expression, _: Expression) -> Expression:
    """Of the error function."""
    square = b.make("neg", b.make("mul", x, x))
    return b.make("mul", b.constant(2.0 / math.sqrt(math.pi)), b.make("exp", square))


RULES: dict[str, Rule] = {
    "add": lambda b, e, bar: [bar, bar],
    "sub": lambda b, e, bar: [bar, b.make("neg", bar)],
    "mul": lambda b, e, bar: [b.make("mul", bar, e.arguments[1]), b.make("mul", bar, e.arguments[0])],
    "div": _of_quotient,
    "pow": _of_power,
    "neg": lambda b, e, bar: [b.make("neg", bar)],
    "maximum": _of_extreme("gt"),
    "minimum": _of_extreme("lt"),
    "where": lambda b, e, bar: [None, *_chosen(b, e.arguments[0], bar)],
    "abs": _by_factor(lambda b, x, y: b.make("sign", x)),
    "sign": lambda b, e, bar: [None],
    "floor": lambda b, e, bar: [None],
    "ceil": lambda b, e, bar: [None],
    "exp": _by_factor(lambda b, x, y: y),
    "expm1": _by_factor(lambda b, x, y: b.make("add", y, b.constant(1.0))),
    "log": _by_factor(lambda b, x, y: _inverse(b, x)),
    "log1p": _by_factor(lambda b, x, y: _inverse(b, b.make("add", b.constant(1.0), x))),
    "sqrt": _by_factor(lambda b, x, y: b.make("div", b.constant(0.5), y)),
    "sin": _by_factor(lambda b, x, y: b.make("cos", x)),
    "cos": _by_factor(lambda b, x, y: b.make("neg", b.make("sin", x))),
    "tan": _by_factor(lambda b, x, y: _one_plus_square(b, y)),
    "sinh": _by_factor(lambda b, x, y: b.make("cosh", x)),
    "cosh": _by_factor(lambda b, x, y: b.make("sinh", x)),
    "tanh": _by_factor(lambda b, x, y: _one_minus_square(b, y)),
    "sigmoid": _by_factor(lambda b, x, y: b.make("mul", y, b.make("sub", b.constant(1.0), y))),
    "asin": _by_factor(lambda b, x, y: _inverse(b, b.make("sqrt", _one_minus_square(b, x)))),
    "acos": _by_factor(lambda b, x, y: b.make("neg", _inverse(b, b.make("sqrt", _one_minus_square(b, x))))),
    "atan": _by_factor(lambda b, x, y: _inverse(b, _one_plus_square(b, x))),
    "erf": _by_factor(_bell),
}
"""Of each operation on numbers: what of the cotangent of its result goes to each argument."""
