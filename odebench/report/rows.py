"""Expressions over a table: numbers and conditions of every row, where a missing value makes neither true nor false."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

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
)

COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip
COMBINE: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "**": operator.pow,
}  # fmt: skip
APPLY: dict[str, Callable[[Any], Any]] = {
    "abs": np.abs, "sqrt": np.sqrt, "exp": np.exp, "log": np.log, "log2": np.log2, "log10": np.log10,
}  # fmt: skip


class Rows:
    """The rows of a table, as one text asks for them.

    Attributes:
        table: the rows.
        text: the text whose tree is evaluated; errors point into it.
    """

    def __init__(self, table: pd.DataFrame, text: str) -> None:
        self.table, self.text = table, text

    def truth(self, node: Node) -> pd.Series:
        """Whether a condition holds, for each row: true, false or missing."""
        if isinstance(node, Logic):
            masks = [self.truth(operand) for operand in node.operands]
            if node.operator == "not":
                return ~masks[0]
            result = masks[0]
            for mask in masks[1:]:
                result = result & mask if node.operator == "and" else result | mask
            return result
        if isinstance(node, Comparison):
            return self._comparison(node)
        if isinstance(node, Constant) and isinstance(node.value, bool):
            return pd.Series(node.value, index=self.table.index, dtype="boolean")
        values = self.leaf(node)
        if values.isna().all():
            return pd.Series(pd.NA, index=self.table.index, dtype="boolean")
        if not pd.api.types.is_bool_dtype(values):
            raise self.fault(node, "alone is no condition: compare it with something")
        return values.astype("boolean")

    def numbers(self, node: Node) -> pd.Series:
        """A number for each row, float64; nan where a value is missing or there is none, as of a logarithm of 0."""
        with np.errstate(all="ignore"):
            found = self._number(node)
        if not isinstance(found, pd.Series):
            found = pd.Series(float(found), index=self.table.index)
        return found.where(np.isfinite(found))

    def values(self, node: Node) -> pd.Series:
        """What a column holds, of whatever kind, or the numbers or truths of any other piece."""
        if isinstance(node, Comparison | Logic):
            return self.truth(node)
        return self.leaf(node) if isinstance(node, Column) else self.numbers(node)

    def leaf(self, node: Node) -> pd.Series:
        """The values of a piece that has one in each row by itself: a column."""
        name = node.name
        if name in self.table.columns:
            return self.table[name]
        texts = self.table.select_dtypes("string")
        if any((texts[text] == name).any() for text in texts.columns):
            raise self.fault(node, "is a value, not a column: put it in quotes")
        close = nearest(name, map(str, self.table.columns))
        hint = f"did you mean {close!r}?" if close else f"there are: {', '.join(map(str, self.table.columns))}."
        raise self.fault(node, f"is a column that these results do not have; {hint}")

    def fault(self, node: Node, what: str) -> ExpressionError:
        """An error that points at a piece."""
        end = "" if what.endswith((".", "?")) else "."
        return ExpressionError(f"{node.of(self.text)!r} {what}{end}", self.text, node.start)

    def _number(self, node: Node) -> pd.Series | float:
        """A number, or one for each row."""
        if isinstance(node, Constant):
            return float(node.value)
        if isinstance(node, Negative):
            return -self._number(node.operand)
        if isinstance(node, Arithmetic):
            left, right = self._number(node.left), self._number(node.right)
            # numpy's numbers divide by 0 without raising, as columns do.
            return COMBINE[node.operator](left if isinstance(left, pd.Series) else np.float64(left), right)
        if isinstance(node, Call) and node.name in APPLY:
            return APPLY[node.name](self._number(node.arguments[0]))
        values = self.leaf(node)
        if values.isna().all():
            return pd.Series(np.nan, index=values.index)
        if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
            kind = "yes or no" if pd.api.types.is_bool_dtype(values) else "text"
            raise self.fault(node, f"is {kind}, and a number is wanted")
        return values.astype("Float64").astype(float)

    def _comparison(self, node: Comparison) -> pd.Series:
        if node.operators[0] in ("in", "not in"):
            mask = self._contains(*node.operands)
            return ~mask if node.operators[0] == "not in" else mask
        result: pd.Series | None = None
        for left, word, right in zip(node.operands, node.operators, node.operands[1:], strict=False):
            mask = self._compare(left, word, right)
            result = mask if result is None else result & mask
        return result

    def _compare(self, left: Node, word: str, right: Node) -> pd.Series:
        first, second = self._side(left), self._side(right)
        for one, other in ((first, second), (second, first)):
            if isinstance(one, pd.Series) and other is None:
                missing = one.isna().astype("boolean")
                return missing if word == "==" else ~missing
        absent = pd.Series(False, index=self.table.index)
        for side in (first, second):
            if isinstance(side, pd.Series):
                absent |= side.isna().astype(bool)
        if not absent.all():
            self._check_kinds(left, first, right, second)
            result = COMPARE[word](first, second)
        else:
            result = False
        if not isinstance(result, pd.Series):
            result = pd.Series(bool(result), index=self.table.index)
        return result.astype("boolean").mask(absent)

    def _side(self, node: Node) -> Any:
        """One side of a comparison: a constant, a column as it is, or numbers."""
        if isinstance(node, Constant):
            return node.value
        if isinstance(node, Comparison | Logic):
            return self.truth(node)
        return self.leaf(node) if isinstance(node, Column) else self.numbers(node)

    def _contains(self, left: Node, right: Node) -> pd.Series:
        """`column in (a, b)`, or `'piece' in column`."""
        if isinstance(right, Choices):
            column = self.leaf(left)
            choices = [item.value if isinstance(item, Constant) else float(self._number(item)) for item in right.items]
            present = [choice for choice in choices if choice is not None]
            absent = column.isna()
            for choice in [] if absent.all() else present:
                self._check_kinds(left, column, right, choice)
            mask = column.isin(present).astype("boolean").mask(absent)
            return mask.fillna(True) if None in choices else mask
        column = self.leaf(right)
        if column.isna().all():
            return pd.Series(pd.NA, index=self.table.index, dtype="boolean")
        if _kind(column) != "text":
            raise self.fault(right, "is no column of text: `in` wants a piece of text and one")
        return column.str.contains(left.value, regex=False).astype("boolean")

    def _check_kinds(self, left: Node, first: Any, right: Node, second: Any) -> None:
        """Refuse to compare text with numbers: it would be false for every row, without a word."""
        kinds = {_kind(first), _kind(second)}
        if len(kinds) > 1 and "text" in kinds:
            text, number = (left, right) if _kind(first) == "text" else (right, left)
            raise self.fault(text, f"is text and {number.of(self.text)!r} is not")


def _kind(value: Any) -> str:
    if isinstance(value, pd.Series):
        return "text" if isinstance(value.dtype, pd.StringDtype) else "number"
    return "text" if isinstance(value, str) else "number"
