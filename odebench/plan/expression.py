"""The tree of a condition or a claim, and the error that points into its text. Standard library only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

from odebench.errors import OdebenchError

#: Characters of a long text that are shown around a fault.
_SHOWN = 100


class ExpressionError(OdebenchError):
    """A text that cannot be read, or asks for what cannot be had.

    Attributes:
        what: the fault, as a sentence.
        text: the whole text.
        position: the character that the fault is at, from 0.
    """

    def __init__(self, what: str, text: str, position: int) -> None:
        self.what, self.text, self.position = what, text, position
        super().__init__(f"{what}\n{pointed(text, position)}")


def pointed(text: str, position: int) -> str:
    """The line of `text` with the character at `position`, and a mark below it; a long line is cut around it."""
    start = text.rfind("\n", 0, position) + 1
    end = text.find("\n", position)
    line, place = text[start : end if end >= 0 else len(text)], position - start
    if len(line) > _SHOWN:
        first = max(0, min(place - _SHOWN // 2, len(line) - _SHOWN))
        ends = ("…" if first else "", "…" if first + _SHOWN < len(line) else "")
        line, place = f"{ends[0]}{line[first : first + _SHOWN]}{ends[1]}", place - first + len(ends[0])
    return f"    {line}\n    {' ' * place}^"


@dataclass(frozen=True, kw_only=True)
class Node:
    """A piece of the tree; it stands at the characters `start` to `end` of the text."""

    start: int
    end: int

    def of(self, text: str) -> str:
        """The piece as it was written, on one line."""
        return " ".join(text[self.start : self.end].split())

    @property
    def parts(self) -> tuple[Node, ...]:
        """The pieces that it is made of."""
        values = (getattr(self, each.name) for each in fields(self))
        return tuple(
            part
            for value in values
            for part in (value if isinstance(value, tuple) else (value,))
            if isinstance(part, Node)
        )


@dataclass(frozen=True, kw_only=True)
class Constant(Node):
    """A number, a text, a truth, or None, which is the missing value."""

    value: float | str | bool | None


@dataclass(frozen=True, kw_only=True)
class Choices(Node):
    """A list of values."""

    items: tuple[Node, ...]


@dataclass(frozen=True, kw_only=True)
class Column(Node):
    """A column of the table, dots included."""

    name: str


@dataclass(frozen=True, kw_only=True)
class Negative(Node):
    """Minus something."""

    operand: Node


@dataclass(frozen=True, kw_only=True)
class Arithmetic(Node):
    """`+ - * / **` of two pieces."""

    operator: str
    left: Node
    right: Node


@dataclass(frozen=True, kw_only=True)
class Comparison(Node):
    """A chain `a < b <= c`: one operator less than operands. `in` and `not in` stand alone."""

    operators: tuple[str, ...]
    operands: tuple[Node, ...]


@dataclass(frozen=True, kw_only=True)
class Logic(Node):
    """`and`, `or` of several pieces, `not` of one."""

    operator: str
    operands: tuple[Node, ...]


@dataclass(frozen=True, kw_only=True)
class Call(Node):
    """A name with arguments, perhaps over the rows of a condition, perhaps for each group of rows."""

    name: str
    arguments: tuple[Node, ...]
    by: tuple[Column, ...] = ()
    where: Node | None = None


def walk(node: Node) -> Iterator[Node]:
    """The piece and all pieces in it."""
    yield node
    for part in node.parts:
        yield from walk(part)
