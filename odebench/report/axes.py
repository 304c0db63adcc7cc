"""Scales, units and ticks of an axis, chosen from its column and its values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from matplotlib.axis import Axis as MatplotlibAxis
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullFormatter

from odebench.report.columns import Column, Kind
from odebench.report.quantity import unit_for

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
# Axis labels further apart than this share of the axis do not touch.
_ROOM = 0.11


def unit_of(column: Column, values: Sequence[float]) -> tuple[float, str]:
    """How many of the column's units one shown unit is, and its name: `(1048576.0, "MiB")`, `(0.001, "ms")`."""
    positive = [value for value in values if value > 0]
    middle = math.sqrt(min(positive) * max(positive)) if positive else 1.0
    return unit_for(column.kind, middle) or (1.0, column.unit)


def label_of(column: Column, words: str, unit: str) -> str:
    """Label of an axis: words and, where there is one, the unit in brackets."""
    words = words or column.label
    return f"{words} [{unit}]" if unit else words


def is_logarithmic(column: Column, values: Sequence[float]) -> bool:
    """Whether a log axis suits: the column allows it, no value is negative, and the positive ones span over 8 to 1.

    Errors are always logarithmic: their decades are what one reads.
    """
    positive = [value for value in values if value > 0]
    if not column.log or not positive or min(values) < 0:
        return False
    # A count or time of 0 is a figure to show, and has no place on a log axis; an error of 0 has the rounding floor.
    if column.kind is Kind.ERROR:
        return True
    return min(values) > 0 and max(positive) / min(positive) >= 8


def set_ticks(
    axis: MatplotlibAxis, column: Column, low: float, high: float, values: Sequence[float], log: bool
) -> None:
    """Ticks that fit the range: chosen values themselves where they are few, decades, or round numbers.

    Args:
        axis: x or y axis of matplotlib, its limits already set.
        column: what it shows.
        low, high: limits in shown units.
        values: all values in shown units, rising.
        log: whether the scale is logarithmic.
    """
    chosen = _few(column, values, low, high, log)
    words = power if log and _wide(low, high) else number
    minor: list[float] = []
    if chosen:
        axis.set_major_locator(FixedLocator(chosen))
    elif not log and column.kind in (Kind.SHARE, Kind.CHANGE):
        axis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))
    elif not log:
        axis.set_major_locator(MaxNLocator(nbins=6, integer=column.dtype == "Int64" and column.kind is Kind.COUNT))
    else:
        decades = math.log10(high) - math.log10(low)
        if decades > 4:
            major = _decades(low, high)
        else:
            major = _multiples((1,) if decades > 2 else (1, 2, 5), low, high)
            if len(major) < 2:
                major = [
                    value
                    for value in MaxNLocator(nbins=4, steps=[1, 2, 5, 10]).tick_values(low, high)
                    if low <= value <= high
                ]
            minor = [value for value in _multiples(range(2, 10), low, high) if value not in major]
        axis.set_major_locator(FixedLocator(major))
    axis.set_minor_locator(FixedLocator(minor))
    axis.set_major_formatter(FuncFormatter(lambda value, _: words(value)))
    axis.set_minor_formatter(NullFormatter())


def set_powers_of_two(axis: MatplotlibAxis, low: float, high: float) -> None:
    """Ticks at powers of two, as fractions below 1, at most ten of them."""
    first, last = math.ceil(math.log2(low) - 1e-9), math.floor(math.log2(high) + 1e-9)
    stride = max(1, -(-(last - first + 1) // 10))
    # 1 itself is always among them, so that the same powers are shown whatever the range.
    exponents = [exponent for exponent in range(first, last + 1) if exponent % stride == 0]
    axis.set_major_locator(FixedLocator([2.0**exponent for exponent in exponents]))
    axis.set_minor_locator(FixedLocator([]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: fraction(value)))
    axis.set_minor_formatter(NullFormatter())


def fraction(value: float) -> str:
    """A number that is one over a whole one as `1/64`, any other as `number` has it."""
    if 0 < value < 1 and abs(1 / value - round(1 / value)) < 1e-6 / value:
        return f"1/{round(1 / value):,}"
    return number(value)


def _multiples(digits: Iterable[int], low: float, high: float) -> list[float]:
    """Every digit times every power of ten in a range; matplotlib's own locator adds a decade at both ends, unseen."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [
        value for exponent in exponents for digit in digits if low <= (value := float(f"{digit}e{exponent}")) <= high
    ]


def _decades(low: float, high: float) -> list[float]:
    """Powers of ten in a range, at most nine, evenly apart; matplotlib's locator overflows near the largest number."""
    first, last = math.ceil(math.log10(low)), math.floor(math.log10(high))
    stride = max(1, -(-(last - first) // 8))
    return [10.0**exponent for exponent in range(-(-first // stride) * stride, last + 1, stride)]


def _wide(low: float, high: float) -> bool:
    """Whether numbers of the range are better read as powers of ten."""
    return low < 1e-3 or high > 1e5


def _few(column: Column, values: Sequence[float], low: float, high: float, log: bool) -> list[float]:
    """The values themselves as ticks where the suite chose them and they are few; dense ones are thinned out."""
    if column.kind not in (Kind.PARAMETER, Kind.COUNT) or not 1 <= len(values) <= 9 or (min(values) < 1 and not log):
        return []
    place = (lambda v: math.log(v / low) / math.log(high / low)) if log else (lambda v: (v - low) / (high - low))
    kept: list[float] = []
    for value in values:
        if not kept or place(value) - place(kept[-1]) >= _ROOM:
            kept.append(value)
    return kept


def number(value: float) -> str:
    """A tick as few characters: 1,000 rather than 1e3, 0.05 rather than 5e-2, powers beyond."""
    if value == 0:
        return "0"
    if not 1e-3 <= abs(value) < 1e6:
        exponent = math.floor(math.log10(abs(value)))
        mantissa = value / 10.0**exponent
        return power(value) if abs(mantissa - 1) < 1e-9 else f"{mantissa:.3g}·10{str(exponent).translate(_SUPERSCRIPT)}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def power(value: float) -> str:
    """A tick on an axis of decades: 10⁻³; 2·10⁻³ between them."""
    exponent = math.floor(math.log10(value) + 1e-9)
    mantissa = value / 10.0**exponent
    digits = f"10{str(exponent).translate(_SUPERSCRIPT)}"
    return digits if abs(mantissa - 1) < 1e-6 else f"{mantissa:.3g}·{digits}"
