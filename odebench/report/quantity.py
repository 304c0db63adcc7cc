"""Values as words: 1.2e-04, 4.1 MiB, 3.2 ms, 1,024."""

from __future__ import annotations

from odebench.report.columns import Column, Kind, column
from odebench.report.labels import is_there, plain

MISSING = "–"
_BYTES = ((2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"), (1.0, "bytes"))
_SECONDS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
_UNITS = {
    Kind.BYTES: _BYTES, Kind.SECONDS: _SECONDS, Kind.SHARE: ((0.01, "%"),), Kind.CHANGE: ((0.01, "points"),),
}  # fmt: skip


def unit_for(kind: Kind, size: float) -> tuple[float, str] | None:
    """The unit in which a size of bytes or seconds, or a share, is best read, as `(1048576.0, "MiB")`; None for other kinds."""
    steps = _UNITS.get(kind)
    if steps is None:
        return None
    return next((step for step in steps if abs(size) >= step[0]), steps[-1])


def shown(name: str | Column, value: object) -> str:
    """A value of a column as a reader wants it, with its unit; a dash where it is missing."""
    if not is_there(value):
        return MISSING
    kind = (name if isinstance(name, Column) else column(name)).kind
    if kind is Kind.FLAG:
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if kind is Kind.ERROR:
        return "0" if value == 0 else f"{value:.1e}"
    if kind is Kind.COUNT:
        return f"{value:,.0f}"
    unit = unit_for(kind, float(value))
    if unit is None:
        return plain(value)
    factor, word = unit
    if kind in (Kind.SHARE, Kind.CHANGE):
        return f"{value / factor:{'+' if kind is Kind.CHANGE else ''}.1f} {word}"
    return f"{value:,.0f} bytes" if word == "bytes" else f"{value / factor:.3g} {word}"


def ratio(value: object) -> str:
    """A factor, as `1.4 ×`."""
    return f"{value:.3g} ×" if is_there(value) else MISSING
