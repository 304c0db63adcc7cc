"""Numbers that are computed from numbers: the operations of a field on one trajectory, without tensors."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

MOST = 2000
"""A field of more operations than this is left to the loops: straight-line code of that length no longer pays."""


class NotByRowError(Exception):
    """The field is not element-wise over trajectories, or has an operation that is not known here; the message says which."""


class TooLongError(NotByRowError):
    """There are more than `MOST` operations."""

    def __init__(self) -> None:
        super().__init__("the field is too long")


@dataclass(frozen=True, eq=False)
class Expression:
    """One number.

    Attributes:
        operation: a key of `derivative.RULES`, or a leaf: "constant", "time", "state", "tensor", "cotangent".
        arguments: the numbers that it is computed from.
        value: of a constant.
        place: of a leaf: which element of the state or of the cotangent; which tensor, and which element of it. Of "dense", one
            element of a vector times a matrix: which tensor the matrix is, where it begins there, how far its rows and its
            columns lie apart, which column this is, and how many there are.
    """

    operation: str
    arguments: tuple[Expression, ...] = ()
    value: float = 0.0
    place: tuple[int, ...] = ()

    @property
    def is_condition(self) -> bool:
        """Whether it is true or false."""
        return self.operation in CONDITIONS


CONDITIONS = {"lt", "le", "gt", "ge", "eq", "ne", "and", "or", "not"}

_FOLDED: dict[str, Callable[..., float]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "neg": lambda a: -a,
}


@dataclass
class Builder:
    """Makes expressions; equal ones are one."""

    made: dict[tuple, Expression] = field(default_factory=dict)
    operations: int = 0
    _numbers: dict[int, int] = field(default_factory=dict)

    def constant(self, value: float) -> Expression:
        """A number that is known."""
        value = float(value)
        # The sign of zero matters, and NaN differs from itself.
        key = ("constant", value.hex())
        return self.made.setdefault(key, Expression("constant", value=value))

    def leaf(self, operation: str, *place: int) -> Expression:
        """A number that is given."""
        return self.made.setdefault((operation, place), Expression(operation, place=place))

    def make(self, operation: str, *arguments: Expression) -> Expression:
        """The result of an operation; one that changes nothing, or that can be done at once, is not kept.

        Raises:
            TooLongError: the field is too long.
        """
        simpler = self._simpler(operation, arguments)
        if simpler is not None:
            return simpler
        key = (operation, *map(id, arguments))
        if key not in self.made:
            self._count()
            self.made[key] = Expression(operation, arguments)
        return self.made[key]

    def dense(self, arguments: tuple[Expression, ...], *place: int) -> Expression:
        """One element of the product of a vector and a matrix that is one of the field's tensors."""
        key = ("dense", place, *map(id, arguments))
        if key not in self.made:
            self._count()
            self.made[key] = Expression("dense", arguments, place=place)
        return self.made[key]

    def _count(self) -> None:
        self.operations += 1
        if self.operations > MOST:
            raise TooLongError

    def number_of(self, expression: Expression) -> int:
        """A number that no other expression has, the same in each process."""
        return self._numbers.setdefault(id(expression), len(self._numbers))

    def _simpler(self, operation: str, arguments: tuple[Expression, ...]) -> Expression | None:
        constants = [a.value if a.operation == "constant" else None for a in arguments]
        if operation in _FOLDED and None not in constants:
            if operation != "div" or constants[1] != 0.0:
                return self.constant(_FOLDED[operation](*constants))
            return None
        first = arguments[0]
        if operation == "neg" and first.operation == "neg":
            return first.arguments[0]
        if len(arguments) != 2:
            return None
        left, right = constants
        if operation == "mul" and 1.0 in (left, right):
            return arguments[1] if left == 1.0 else first
        if operation == "mul" and -1.0 in (left, right):
            return self.make("neg", arguments[1] if left == -1.0 else first)
        if operation in ("add", "sub") and right == 0.0:
            return first
        if operation == "add" and left == 0.0:
            return arguments[1]
        if operation == "sub" and left == 0.0:
            return self.make("neg", arguments[1])
        if operation == "div" and right is not None and right and math.log2(abs(right)).is_integer():
            return self.make("mul", first, self.constant(1.0 / right))
        return None


def ordered(results: Iterable[Expression]) -> list[Expression]:
    """All that the results are computed from, and they themselves, each after its arguments."""
    found: dict[int, Expression] = {}
    waiting = [(expression, False) for expression in reversed(list(results))]
    while waiting:
        expression, arguments_done = waiting.pop()
        if id(expression) in found:
            continue
        if arguments_done:
            found[id(expression)] = expression
            continue
        waiting.append((expression, True))
        waiting.extend((argument, False) for argument in reversed(expression.arguments))
    return list(found.values())
