"""What a table is: headings, values, and what each is sorted by."""

from __future__ import annotations

from dataclasses import dataclass

from odebench.report.labels import is_there


@dataclass(frozen=True)
class Heading:
    """A column of a table: its words, what it means, and whether it holds numbers."""

    label: str
    meaning: str = ""
    numeric: bool = False


@dataclass(frozen=True)
class Value:
    """A cell of a table.

    Attributes:
        text: its words; those in place of the picture, where there is one.
        sort: what it is sorted by; None: its words.
        tone: "", "good", "bad" or "quiet".
        picture: address of an image that is shown instead of the words, or "".
        meaning: what is told of the words where a pointer rests on them, or "".
    """

    text: str
    sort: float | None = None
    tone: str = ""
    picture: str = ""
    meaning: str = ""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of the page; `empty` says why it has no rows."""

    key: str
    title: str
    caption: str
    headings: tuple[Heading, ...]
    rows: tuple[tuple[Value, ...], ...]
    empty: str = ""


def sortable(value: object) -> float | None:
    """What a value is sorted by: itself where it is a number."""
    return float(value) if is_there(value) and not isinstance(value, str) else None
