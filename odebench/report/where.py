"""Conditions such as `model == 'lorenz' and steps >= 64` choose rows; they are read, never run."""

from __future__ import annotations

import pandas as pd

from odebench.errors import OdebenchError, nearest
from odebench.plan.claim_text import read_condition
from odebench.plan.expression import Column, ExpressionError, walk
from odebench.report.rows import Rows

_GRAMMAR = "It knows columns, numbers, text in quotes, None, + - * / **, == != < <= > >=, in, not in, and, or, not, and brackets."


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
        node = read_condition(condition)
    except ExpressionError as cause:
        raise WhereError(f"The condition cannot be read: {cause}\n{_GRAMMAR}") from cause
    try:
        mask = Rows(frame, condition).truth(node)
    except ExpressionError as cause:
        raise WhereError(f"The condition cannot be used: {cause}") from cause
    return frame[mask.fillna(False).astype(bool)]


def columns_in(condition: str) -> list[str]:
    """The columns that a condition names, sorted.

    Raises:
        ExpressionError: it cannot be read.
    """
    return sorted({node.name for node in walk(read_condition(condition)) if isinstance(node, Column)})


def known_column(frame: pd.DataFrame, name: str, what: str) -> str:
    """`name`, if the frame has such a column; else an error that names the nearest one."""
    if name in frame.columns:
        return name
    close = nearest(name, map(str, frame.columns))
    hint = f"did you mean {close!r}?" if close else f"there are: {', '.join(map(str, frame.columns))}."
    raise WhereError(f"{what} names the column {name!r}, which these results do not have; {hint}")
