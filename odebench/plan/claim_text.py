"""What a claim may say: which aggregates and functions there are, and whether a text makes sense before there is a table.

A claim compares figures of a table's rows: `mean(accuracy_test where solver == 'euler') - mean(accuracy_test where solver ==
'midpoint') > 0.3`. Three levels of an expression tell what a name means in it:

- the claim itself is made of aggregates and numbers, and is true or false;
- inside an aggregate, a column stands for its values, one a row;
- inside an aggregate of aggregates, each inner one has a value for each group: `mean(min(accuracy_change by seed)) >= -0.02`.

Standard library only: a suite is checked without pandas.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NoReturn

from odebench.errors import nearest
from odebench.plan.expression import (
    Arithmetic,
    Call,
    Choices,
    Column,
    Comparison,
    Constant,
    ExpressionError,
    Logic,
    Negative,
    Node,
    walk,
)
from odebench.plan.expression_parser import parse_claim, parse_expression

#: Aggregates of numbers, by the number of arguments that they take.
AGGREGATES: dict[str, tuple[int, ...]] = {
    "min": (1,), "max": (1,), "mean": (1,), "median": (1,), "std": (1,), "sum": (1,), "quantile": (2,), "slope": (2,),
    "count": (0, 1), "share": (1,), "all": (1,), "any": (1,),
}  # fmt: skip
#: Those whose argument is a condition; `count` takes one, too.
OF_CONDITIONS = frozenset({"share", "all", "any"})
#: Functions of a number, on every level.
FUNCTIONS = frozenset({"abs", "sqrt", "exp", "log", "log2", "log10"})

_NUMBER, _TRUTH, _TEXT, _NONE, _LIST, _COLUMN = "a number", "a condition", "text", "None", "a list", "a column"
_Level = Callable[[Node], str]
_AS_NUMBER, _AS_TRUTH = frozenset({_NUMBER, _COLUMN}), frozenset({_TRUTH, _COLUMN})


@dataclass(frozen=True, kw_only=True)
class ClaimText:
    """A claim that was read.

    Attributes:
        text: as it was written.
        that: what is claimed.
        where: the condition at its end, which holds for every aggregate; None without one.
    """

    text: str
    that: Node
    where: Node | None


def read_claim(text: str) -> ClaimText:
    """The tree of a claim that makes sense; whether its columns exist only a table can tell.

    Raises:
        ExpressionError: it cannot be read, or is no claim.
    """
    that, where = parse_claim(text)
    check = _Check(text)
    kind = check.figure(that)
    if kind != _TRUTH:
        check.refuse(that, f"this is {kind}, and a claim is true or false: compare it with something")
    if not any(is_aggregate(node) for node in walk(that)):
        check.refuse(that, "this looks at no row: use an aggregate, such as max(error_final)")
    if where is not None:
        check.condition(where)
    return ClaimText(text=text, that=that, where=where)


def read_condition(text: str) -> Node:
    """The tree of a condition over rows, such as `model == 'lorenz' and steps >= 64`.

    Raises:
        ExpressionError: it cannot be read, or is no condition.
    """
    node = parse_expression(text)
    _Check(text).condition(node)
    return node


def is_aggregate(node: Node) -> bool:
    """Whether a piece is the call of an aggregate."""
    return isinstance(node, Call) and node.name in AGGREGATES


def outer_aggregates(node: Node) -> Iterator[Call]:
    """The aggregates in a piece that are in no other aggregate."""
    if is_aggregate(node):
        yield node
    else:
        for part in node.parts:
            yield from outer_aggregates(part)


class _Check:
    """Walks a tree and refuses what makes no sense; each method returns what kind of thing a piece is."""

    def __init__(self, text: str) -> None:
        self.text = text

    def refuse(self, node: Node, what: str) -> NoReturn:
        """Raise, pointing at the piece."""
        raise ExpressionError(f"{node.of(self.text)!r}: {what}.", self.text, node.start)

    def condition(self, node: Node) -> str:
        """A condition over rows."""
        kind = self.rows(node)
        if kind not in _AS_TRUTH:
            self.refuse(node, f"this is {kind}, which is no condition: compare it with something")
        return kind

    def figure(self, node: Node) -> str:
        """The level of the claim: aggregates and numbers."""
        if isinstance(node, Column) and node.name in AGGREGATES:
            self.refuse(node, f"an aggregate needs its brackets, as in {node.name}(…)")
        if isinstance(node, Column):
            self.refuse(node, f"a column has a value in each row: put it into an aggregate, such as mean({node.name})")
        if isinstance(node, Call) and node.name in AGGREGATES:
            return self.aggregate(node, grouped=False)
        if isinstance(node, Choices) or (isinstance(node, Constant) and isinstance(node.value, str | None)):
            self.refuse(node, "it has no place outside an aggregate and its condition")
        return self._compound(node, self.figure)

    def groups(self, node: Node) -> str:
        """The level of groups: aggregates that say `by`, and numbers."""
        if isinstance(node, Column):
            self.refuse(
                node, f"beside aggregates `by` groups, a column needs one as well, such as min({node.name} by …)"
            )
        if isinstance(node, Call) and node.name in AGGREGATES:
            return self.aggregate(node, grouped=True)
        if isinstance(node, Choices) or (isinstance(node, Constant) and isinstance(node.value, str | None)):
            self.refuse(node, "groups have figures only")
        return self._compound(node, self.groups)

    def rows(self, node: Node) -> str:
        """The level of rows: columns, numbers, texts."""
        if isinstance(node, Column):
            return _COLUMN
        if isinstance(node, Constant):
            kinds = {bool: _TRUTH, str: _TEXT, type(None): _NONE}
            return kinds.get(type(node.value), _NUMBER)
        if isinstance(node, Choices):
            for item in node.items:
                if not isinstance(item, Constant | Negative) or self.rows(item) == _TRUTH:
                    self.refuse(item, "a list holds numbers, texts and None")
            return _LIST
        if isinstance(node, Call) and node.name in AGGREGATES:
            self.refuse(node, "a condition over rows cannot hold an aggregate")
        return self._compound(node, self.rows)

    def aggregate(self, call: Call, *, grouped: bool) -> str:
        """An aggregate, for each group where it stands among groups."""
        counts = AGGREGATES[call.name]
        if len(call.arguments) not in counts:
            wanted = " or ".join({0: "none", 1: "one", 2: "two"}[count] for count in counts)
            self.refuse(
                call, f"{call.name} takes {wanted} of what stands before `where` and `by`, not {len(call.arguments)}"
            )
        if grouped and not call.by:
            self.refuse(call, "inside another aggregate it needs groups, such as min(accuracy_change by seed)")
        if call.by and not grouped:
            self.refuse(
                call,
                f"`by` gives a value for each group: put it into another aggregate, such as mean({call.name}(… by …))",
            )
        if call.where is not None:
            self.condition(call.where)
        self._arguments(call, grouped=grouped)
        return _TRUTH if call.name in ("all", "any") else _NUMBER

    def _arguments(self, call: Call, *, grouped: bool) -> None:
        inner = [node for argument in call.arguments for node in outer_aggregates(argument)]
        if inner and grouped:
            self.refuse(inner[0], "aggregates go two deep: of groups, and of their rows")
        groups = {tuple(column.name for column in node.by) for node in inner}
        if len(groups) > 1 and () not in groups:
            self.refuse(call, "all aggregates in it must have the same columns after `by`")
        for place, argument in enumerate(call.arguments):
            kind = self.groups(argument) if inner else self.rows(argument)
            if call.name == "quantile" and place == 1:
                if not isinstance(argument, Constant) or kind != _NUMBER or not 0 <= argument.value <= 1:
                    self.refuse(argument, "quantile wants a number from 0 to 1 here, such as 0.9")
            elif call.name in OF_CONDITIONS and kind not in _AS_TRUTH:
                self.refuse(argument, f"{call.name} wants a condition, and this is {kind}")
            elif call.name == "count" and kind not in _AS_TRUTH:
                self.refuse(argument, f"count wants a condition or a column, and this is {kind}")
            elif call.name not in (*OF_CONDITIONS, "count") and kind not in _AS_NUMBER:
                hint = "; share(…) is the share of rows for which it holds" if kind == _TRUTH else ""
                self.refuse(argument, f"{call.name} wants numbers, and this is {kind}{hint}")

    def _compound(self, node: Node, inner: _Level) -> str:
        """What is alike on every level: signs, arithmetic, comparisons, logic and functions."""
        if isinstance(node, Constant):
            return _TRUTH if isinstance(node.value, bool) else _NUMBER
        if isinstance(node, Negative | Arithmetic):
            for part in node.parts:
                if (kind := inner(part)) not in _AS_NUMBER:
                    self.refuse(part, f"this is {kind}, and arithmetic wants numbers")
            return _NUMBER
        if isinstance(node, Logic):
            for part in node.operands:
                if (kind := inner(part)) not in _AS_TRUTH:
                    self.refuse(part, f"this is {kind}, which is no condition: compare it with something")
            return _TRUTH
        if isinstance(node, Comparison):
            return self._comparison(node, inner)
        if isinstance(node, Call):
            self._function(node, inner)
            return _NUMBER
        raise AssertionError(f"no such piece: {node}")

    def _comparison(self, node: Comparison, inner: _Level) -> str:
        kinds = [inner(part) for part in node.operands]
        if node.operators[0] in ("in", "not in"):
            (left, right), (one, other) = node.operands, kinds
            piece = one == _TEXT and other == _COLUMN
            if not piece and not (one == _COLUMN and other == _LIST):
                self.refuse(node, "`in` wants a column and a list, or a piece of text and a column")
            return _TRUTH
        for (left, one), operator, (right, other) in zip(
            zip(node.operands, kinds, strict=True), node.operators, zip(node.operands[1:], kinds[1:], strict=True),
            strict=False,
        ):  # fmt: skip
            self._pair(node, (left, one), operator, (right, other))
        return _TRUTH

    def _pair(self, node: Comparison, first: tuple[Node, str], operator: str, second: tuple[Node, str]) -> None:
        """Whether two pieces can be compared."""
        kinds = {first[1], second[1]}
        if _LIST in kinds:
            self.refuse(node, "`in` wants a column and a list; nothing else takes one")
        if _NONE in kinds and operator not in ("==", "!="):
            self.refuse(node, "None can only be compared by == and !=")
        if _NONE in kinds and _COLUMN not in kinds:
            self.refuse(node, "only a column can be None")
        if _TRUTH in kinds and (kinds - _AS_TRUTH or operator not in ("==", "!=")):
            self.refuse(node, "a condition is joined by and, or, not")
        if kinds == {_TEXT, _NUMBER}:
            text, number = (first, second) if first[1] == _TEXT else (second, first)
            self.refuse(node, f"{text[0].of(self.text)!r} is text and {number[0].of(self.text)!r} is not")

    def _function(self, call: Call, inner: _Level) -> None:
        if call.name not in FUNCTIONS:
            there = [*([] if inner == self.rows else AGGREGATES), *sorted(FUNCTIONS)]
            known, close = ", ".join(there), nearest(call.name, there)
            hint = f"did you mean {close!r}" if close else f"there are {known}"
            raise ExpressionError(f"There is no {call.name}(…); {hint}{'?' if close else '.'}", self.text, call.start)
        if call.by or call.where is not None:
            self.refuse(call, f"`where` and `by` belong to an aggregate, and {call.name} is a function of one number")
        if len(call.arguments) != 1 or inner(call.arguments[0]) not in _AS_NUMBER:
            self.refuse(call, f"{call.name} takes one number")
