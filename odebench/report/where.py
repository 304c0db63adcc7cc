"""Conditions such as `model == 'lorenz' and steps >= 64`: a small language that chooses rows and can do nothing else."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

import pandas as pd

from odebench.errors import OdebenchError, nearest

_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: lambda a, b: a == b,
    ast.NotEq: lambda a, b: a != b,
    ast.Lt: lambda a, b: a < b,
    ast.LtE: lambda a, b: a <= b,
    ast.Gt: lambda a, b: a > b,
    ast.GtE: lambda a, b: a >= b,
}
_GRAMMAR = "It knows columns, numbers, text in quotes, None, == != < <= > >=, in, not in, and, or, not, and brackets."


class WhereError(OdebenchError):
    """A condition cannot be read, or asks for something that the table does not have."""


def select(frame: pd.DataFrame, condition: str) -> pd.DataFrame:
    """The rows of `frame` for which `condition` holds.

    A comparison with a missing value is neither true nor false, and such rows are left out; `error_final == None` finds
    them. `'rk' in solver` looks for a piece of text; `solver in ('rk4', 'euler')` for a choice.

    Raises:
        WhereError: the condition is not of this language, names an unknown column, or compares text with a number.
    """
    try:
        tree = ast.parse(condition.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as cause:
        raise WhereError(f"Condition {condition!r} cannot be read: {_first_words(cause)}. {_GRAMMAR}") from cause
    try:
        mask = _Reader(frame, condition).truth(tree.body)
    except RecursionError as cause:
        raise WhereError(f"Condition is nested too deeply: {condition[:60]!r}….") from cause
    return frame[mask.fillna(False).astype(bool)]


def known_column(frame: pd.DataFrame, name: str, what: str) -> str:
    """`name`, if the frame has such a column; else an error that names the nearest one."""
    if name in frame.columns:
        return name
    close = nearest(name, map(str, frame.columns))
    hint = f"did you mean {close!r}?" if close else f"there are: {', '.join(map(str, frame.columns))}."
    raise WhereError(f"{what} names the column {name!r}, which these results do not have; {hint}")


class _Reader:
    """Turns a syntax tree into a mask of rows."""

    def __init__(self, frame: pd.DataFrame, condition: str) -> None:
        self.frame, self.condition = frame, condition

    def truth(self, node: ast.expr) -> pd.Series:
        """The three-valued truth of a node for every row."""
        if isinstance(node, ast.BoolOp):
            masks = [self.truth(value) for value in node.values]
            result = masks[0]
            for mask in masks[1:]:
                result = result & mask if isinstance(node.op, ast.And) else result | mask
            return result
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return ~self.truth(node.operand)
        if isinstance(node, ast.Compare):
            return self._chain(node)
        if isinstance(node, ast.Name | ast.Attribute):
            values = self._column(node)
            if values.dtype == "boolean":
                return values
            raise self._error(f"{ast.unparse(node)!r} alone is no condition: compare it with something")
        if isinstance(node, ast.Constant) and isinstance(node.value, bool):
            return pd.Series(node.value, index=self.frame.index, dtype="boolean")
        raise self._error(f"{ast.unparse(node)!r} is no condition. {_GRAMMAR}")

    def _chain(self, node: ast.Compare) -> pd.Series:
        """`a < b < c` as `a < b and b < c`."""
        sides = [node.left, *node.comparators]
        result: pd.Series | None = None
        for left, operator, right in zip(sides, node.ops, sides[1:], strict=False):
            mask = self._compare(left, operator, right)
            result = mask if result is None else result & mask
        return result

    def _compare(self, left: ast.expr, operator: ast.cmpop, right: ast.expr) -> pd.Series:
        if isinstance(operator, ast.In | ast.NotIn):
            mask = self._contains(left, right)
            return ~mask if isinstance(operator, ast.NotIn) else mask
        if isinstance(operator, ast.Is | ast.IsNot):
            operator = ast.Eq() if isinstance(operator, ast.Is) else ast.NotEq()
        first, second = self._value(left), self._value(right)
        for one, other in ((first, second), (second, first)):
            if isinstance(one, pd.Series) and other is None:
                if not isinstance(operator, ast.Eq | ast.NotEq):
                    raise self._error("None can only be compared by == and !=")
                missing = one.isna().astype("boolean")
                return missing if isinstance(operator, ast.Eq) else ~missing
        self._check_kinds(left, first, right, second)
        return self._mask(_COMPARE[type(operator)](first, second))

    def _contains(self, left: ast.expr, right: ast.expr) -> pd.Series:
        """`column in (a, b)`, or `'piece' in column`."""
        if isinstance(right, ast.Tuple | ast.List | ast.Set):
            column, choices = self._value(left), [self._value(item) for item in right.elts]
            if not isinstance(column, pd.Series) or any(isinstance(choice, pd.Series) for choice in choices):
                raise self._error("`in` wants a column on its left and values in its brackets")
            present = [choice for choice in choices if choice is not None]
            for choice in present:
                self._check_kinds(left, column, right, choice)
            mask = column.isin(present).astype("boolean").mask(column.isna())
            return mask.fillna(True) if None in choices else mask
        piece, column = self._value(left), self._value(right)
        if isinstance(piece, str) and isinstance(column, pd.Series) and column.dtype == "string":
            return column.str.contains(piece, regex=False).astype("boolean")
        raise self._error("`in` wants values in brackets, or text on its left and a column of text on its right")

    def _value(self, node: ast.expr) -> Any:
        """A column, or a constant."""
        if isinstance(node, ast.Name | ast.Attribute):
            return self._column(node)
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float | str | None):
            return node.value
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            number = self._value(node.operand)
            if isinstance(number, int | float):
                return -number if isinstance(node.op, ast.USub) else number
        raise self._error(f"{ast.unparse(node)!r} is not allowed. {_GRAMMAR}")

    def _column(self, node: ast.expr) -> pd.Series:
        """A column by its name, dots included."""
        words, inner = [], node
        while isinstance(inner, ast.Attribute):
            words.append(inner.attr)
            inner = inner.value
        if not isinstance(inner, ast.Name):
            raise self._error(f"{ast.unparse(node)!r} is not allowed. {_GRAMMAR}")
        name = ".".join([inner.id, *reversed(words)])
        if name not in self.frame.columns and any(
            (self.frame[text] == name).any() for text in self.frame.select_dtypes("string").columns
        ):
            raise self._error(f"{name!r} is a value, not a column: put it in quotes")
        return self.frame[known_column(self.frame, name, f"Condition {self.condition!r}")]

    def _check_kinds(self, left: ast.expr, first: Any, right: ast.expr, second: Any) -> None:
        """Refuse to compare text with numbers: it would be false for every row, without a word."""
        kinds = {_kind(first), _kind(second)}
        if len(kinds) > 1 and "text" in kinds:
            text, number = (left, right) if _kind(first) == "text" else (right, left)
            raise self._error(f"{ast.unparse(text)!r} is text and {ast.unparse(number)!r} is not")

    def _mask(self, result: Any) -> pd.Series:
        if isinstance(result, pd.Series):
            return result.astype("boolean")
        return pd.Series(bool(result), index=self.frame.index, dtype="boolean")

    def _error(self, what: str) -> WhereError:
        return WhereError(f"Condition {self.condition!r}: {what}.".replace("..", "."))


def _kind(value: Any) -> str:
    if isinstance(value, pd.Series):
        return "text" if value.dtype == "string" else "number"
    return "text" if isinstance(value, str) else "number"


def _first_words(cause: BaseException) -> str:
    return str(cause.args[0] if cause.args else cause)
