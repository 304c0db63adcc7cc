"""What a column of a result is: what sort of figure, in which unit, and which way is better."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """What sort of figure a column holds; it decides units, scale and format."""

    IDENTITY = "says which question was asked"
    PARAMETER = "a number that the suite chose"
    OUTCOME = "how it ended"
    ERROR = "an error, relative and without unit"
    COUNT = "a count, free of noise"
    BYTES = "bytes, free of noise"
    SECONDS = "seconds, noisy"
    SCORE = "a score of a training"
    SHARE = "a share, from 0 to 1, shown in per cent"
    CHANGE = "a difference of shares, shown in points: hundredths"
    FLAG = "yes or no"
    TEXT = "words"


class Part(Enum):
    """Where in a record the value of a column stands."""

    CELL = "cell"
    RECORD = "record"
    QUALITY = "quality"
    MEMORY = "memory"
    TIMING = "timing"


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of the frame.

    Attributes:
        name: as in the frame; units stand in names.
        kind: what sort of figure it holds.
        meaning: one sentence.
        label: words for an axis or a heading, without the unit.
        unit: "s", "bytes", or "" where there is none.
        dtype: pandas' nullable dtype.
        part: where its value stands in a record.
        log: whether a log axis suits it wherever its values span decades.
        better: "lower", "higher", or None where neither is better.
    """

    name: str
    kind: Kind
    meaning: str
    label: str
    unit: str = ""
    dtype: str = "Float64"
    part: Part = Part.QUALITY
    log: bool = False
    better: str | None = None


def text_column(name: str, label: str, meaning: str, part: Part, kind: Kind = Kind.IDENTITY) -> Column:
    """A column of words."""
    return Column(name=name, kind=kind, meaning=meaning, label=label, dtype="string", part=part)


def flag_column(name: str, label: str, meaning: str, part: Part = Part.TIMING) -> Column:
    """A column of yes and no."""
    return Column(name=name, kind=Kind.FLAG, meaning=meaning, label=label, dtype="boolean", part=part)


def asked_column(name: str, label: str, meaning: str, dtype: str = "Float64", log: bool = True) -> Column:
    """A column of numbers that the suite chose."""
    return Column(name=name, kind=Kind.PARAMETER, meaning=meaning, label=label, dtype=dtype, part=Part.CELL, log=log)


def error_column(name: str, label: str, meaning: str, part: Part = Part.QUALITY) -> Column:
    """A column of relative errors."""
    return Column(name=name, kind=Kind.ERROR, meaning=meaning, label=label, part=part, log=True, better="lower")


def count_column(name: str, label: str, meaning: str, part: Part = Part.QUALITY) -> Column:
    """A column of whole numbers."""
    return Column(
        name=name, kind=Kind.COUNT, meaning=meaning, label=label, dtype="Int64", part=part, log=True, better="lower"
    )


def bytes_column(name: str, label: str, meaning: str) -> Column:
    """A column of bytes."""
    return Column(
        name=name,
        kind=Kind.BYTES,
        meaning=meaning,
        label=label,
        unit="bytes",
        dtype="Int64",
        part=Part.MEMORY,
        log=True,
        better="lower",
    )


def seconds_column(name: str, label: str, meaning: str, part: Part = Part.TIMING) -> Column:
    """A column of times."""
    return Column(
        name=name, kind=Kind.SECONDS, meaning=meaning, label=label, unit="s", part=part, log=True, better="lower"
    )


def score_column(
    name: str, label: str, meaning: str, better: str, log: bool = False, kind: Kind = Kind.SCORE
) -> Column:
    """A column of scores."""
    return Column(name=name, kind=kind, meaning=meaning, label=label, log=log, better=better)
