"""What a figure says, as data: panels of series over described axes. Drawing is `draw.py`'s business."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from odebench.report.statistics import Line


@dataclass(frozen=True, kw_only=True)
class Point:
    """One mark of a series, in the units of the columns.

    Attributes:
        x, y: where it stands; 0 on a logarithmic axis is drawn at the panel's floor.
        x_low, x_high: ends of the interval of x, or None.
        y_low, y_high: ends of the interval of y, or None.
        hollow: drawn without filling, because its figure is not to be trusted.
        ringed: drawn with a ring around it, because it is what the others are compared with.
    """

    x: float
    y: float
    x_low: float | None = None
    x_high: float | None = None
    y_low: float | None = None
    y_high: float | None = None
    hollow: bool = False
    ringed: bool = False


@dataclass(frozen=True, kw_only=True)
class Series:
    """Points of one method.

    Attributes:
        name: the method's key in the palette; series of one name look alike in all figures.
        label: words for the legend, "" for none.
        points: in the order in which a line joins them; () for an entry of the legend only.
        joined: whether a line joins them.
        fit: a straight line to draw through them, or None.
        colour, marker: instead of the palette's, or "".
        faint: drawn small and pale, behind the others: single runs behind their mean.
        marked: whether its points have marks; long lines go without.
        size: of its marks, in points; 0 for the usual one.
    """

    name: str
    label: str
    points: tuple[Point, ...]
    joined: bool = True
    fit: Line | None = None
    colour: str = ""
    marker: str = ""
    faint: bool = False
    marked: bool = True
    size: float = 0.0


@dataclass(frozen=True)
class Axis:
    """Which column an axis shows.

    Attributes:
        column: name of the column, which decides unit, scale and label.
        label: words instead of the column's own, or "".
        falling: whether larger values stand to the left, as for tolerances.
        scale: "linear", "log2" with powers of two as ticks, or "" for what suits the values.
        limits: ends of the axis, in units of the column; None for the values' own. Lines are cut there, marks are not.
    """

    column: str
    label: str = ""
    falling: bool = False
    scale: str = ""
    limits: tuple[float, float] | None = None


@dataclass(frozen=True)
class Guide:
    """A horizontal line with words, such as the rounding unit."""

    y: float
    label: str


@dataclass(frozen=True, kw_only=True)
class Image:
    """A picture in shades of grey in place of series.

    Attributes:
        values: its rows from the top, each from the left; () where there is no picture.
        low, high: what is drawn black and white; what lies beyond is drawn so too.
        words: why there is no picture.
    """

    values: tuple[tuple[float, ...], ...] = ()
    low: float = 0.0
    high: float = 1.0
    words: str = ""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One pair of axes.

    Attributes:
        title: above the axes.
        x, y: the axes; with `rows`, y is ignored.
        series: what is drawn.
        rows: names of the places 0, 1, … on a categorical y axis, from the top; () for a numerical one.
        columns: likewise for a categorical x axis, from the left.
        guides: horizontal lines; on a linear axis only those within its range.
        floor: where an exact 0 is drawn on a logarithmic y axis.
        legend: whether the panel has a legend of its own, because its labels hold its own figures.
        palette: whose colours it uses where that is not the chart's, or "".
        image: drawn in place of axes; the labels of x and y stand below and beside it.
    """

    title: str
    x: Axis
    y: Axis
    series: tuple[Series, ...]
    rows: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    guides: tuple[Guide, ...] = ()
    floor: float = 2.0**-52
    legend: bool = False
    palette: str = ""
    image: Image | None = None


@dataclass(frozen=True, kw_only=True)
class Chart:
    """One figure.

    Attributes:
        key: unique in a report and the same for the same figure of two machines.
        family: which section of the page it belongs to.
        title: one line.
        caption: what to read from it, in plain words.
        panels: at least one.
        palette: whose colours it uses: "solver" or "gradient".
        model: the model it is about, or "".
        notes: what is not drawn, and why.
        across: how many panels stand side by side; 0 for what suits their number.
        equal: whether a unit is as long on the y axis as on the x axis, as in a plane.
    """

    key: str
    family: str
    title: str
    caption: str
    panels: tuple[Panel, ...]
    palette: str
    model: str = ""
    notes: tuple[str, ...] = ()
    across: int = 0
    equal: bool = False


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """A figure that there is nothing for."""

    key: str
    family: str
    title: str
    reason: str
    model: str = ""


class Extents:
    """Smallest and largest value of every column over some charts, so that charts side by side share their axes."""

    def __init__(self, charts: Iterable[Chart]) -> None:
        self._values: dict[str, set[float]] = {}
        for chart in charts:
            for panel in chart.panels:
                for series in panel.series:
                    for point in series.points:
                        if not panel.columns:
                            self._add(panel.x.column, point.x, point.x_low, point.x_high)
                        if not panel.rows:
                            self._add(panel.y.column, point.y, point.y_low, point.y_high)

    def _add(self, column: str, *values: float | None) -> None:
        self._values.setdefault(column, set()).update(value for value in values if value is not None)

    def values(self, column: str) -> list[float]:
        """All values of a column, rising."""
        return sorted(self._values.get(column, ()))

    def positive(self, column: str) -> list[float]:
        """All values of a column above 0, rising."""
        return [value for value in self.values(column) if value > 0]
