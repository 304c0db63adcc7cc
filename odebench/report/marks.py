"""Series become lines, whiskers and marks: the points of a panel as one tidy frame, drawn by seaborn."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from odebench.report.chart import Series
from odebench.report.palette import Looks
from odebench.report.statistics import Line

_SIZE, _LINE = 5.2, 1.3
# An exact 0 has no place on a log axis: it stands at the floor, with this mark instead of its method's own.
_AT_FLOOR = "v"


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How an axis shows its column.

    Attributes:
        factor: how many of the column's units one shown unit is.
        log: whether it is logarithmic.
        floor: where an exact 0 stands on a logarithmic axis, in shown units.
    """

    factor: float = 1.0
    log: bool = False
    floor: float = 0.0

    def place(self, values: Sequence[float]) -> np.ndarray:
        """Where values of the column stand, in shown units; shape `(values,)`."""
        shown = np.asarray(values, dtype=float) / self.factor
        return np.where(shown <= 0, self.floor, shown) if self.log else shown

    def at_floor(self, values: Sequence[float]) -> np.ndarray:
        """Which values have no place of their own; shape `(values,)`."""
        return self.log & (np.asarray(values, dtype=float) <= 0)


def tidy(series: tuple[Series, ...], palette: Looks, x: Scale, y: Scale) -> pd.DataFrame:
    """The points of a panel, a row each, in the order of the series.

    Returns:
        Columns `x y` (places in shown units), `series` (its number), `method mark` (name and marker), `size` (of the mark,
        in points) and `filled`.
    """
    rows = [
        (number, one.name, palette[one.name].marker, size, point.x, point.y, not point.hollow)
        for number, (one, size) in enumerate(zip(series, _sizes(series), strict=True))
        for point in one.points
    ]
    frame = pd.DataFrame(rows, columns=["series", "method", "mark", "size", "x", "y", "filled"])
    at_floor = x.at_floor(frame["x"]) | y.at_floor(frame["y"])
    return frame.assign(
        x=x.place(frame["x"]),
        y=y.place(frame["y"]),
        # Names are categories whatever they look like; seaborn would take "1" for a number.
        method=frame["method"].astype("category"),
        mark=frame["mark"].mask(at_floor, _AT_FLOOR).astype("category"),
        filled=frame["filled"].astype(bool) & ~at_floor,
    )


def draw_series(axes: Axes, series: tuple[Series, ...], palette: Looks, x: Scale, y: Scale) -> None:
    """Draw series on axes that have their scales, limits and labels."""
    points = tidy(series, palette, x, y)
    if points.empty:
        return
    colours = {one.name: palette[one.name].colour for one in series}
    labels = {"xlabel": axes.get_xlabel(), "ylabel": axes.get_ylabel()}
    _draw_whiskers(axes, points, series, colours, x, y)
    lines = _lines(points, series, x, y)
    if len(lines):
        seaborn.lineplot(
            lines, x="x", y="y", hue="method", palette=colours, units="series", estimator=None, sort=False,
            linewidth=_LINE, alpha=0.75, zorder=2, legend=False, ax=axes,
        )  # fmt: skip
    seaborn.scatterplot(
        points, x="x", y="y", hue="method", palette=colours, style="mark", markers={m: m for m in points["mark"]},
        s=points["size"] ** 2, linewidth=1.0, zorder=3, clip_on=False, legend=False, ax=axes,
    )  # fmt: skip
    marks = axes.collections[-1]
    inks = marks.get_facecolors()
    marks.set_edgecolors(inks)
    marks.set_facecolors(np.where(points["filled"].to_numpy()[:, None], inks, 1.0))
    # seaborn names an axis without a label after the frame's column.
    axes.set(**labels)


def handle(series: Series, palette: Looks) -> Line2D:
    """Entry of a series in a legend."""
    look = palette[series.name]
    line = "-" if series.joined or series.fit else "none"
    return Line2D(
        [], [], color=look.colour, marker=look.marker, markersize=_SIZE, linewidth=_LINE, linestyle=line,
        label=legible(series.label),
    )  # fmt: skip


def legible(label: str) -> str:
    """A label of bearable length that matplotlib does not take for a hidden one, which begins with an underscore."""
    label = label if len(label) <= 60 else label[:57] + "…"
    return f" {label}" if label.startswith("_") else label


def _sizes(series: tuple[Series, ...]) -> list[float]:
    """Sizes of the marks: those of later series are smaller where points coincide, so that the earlier ones show."""
    places = [{(f"{point.x:.2g}", f"{point.y:.2g}") for point in one.points} for one in series]
    if len(set().union(*places)) == sum(len(one) for one in places):
        return [_SIZE] * len(series)
    return [float(size) for size in np.linspace(_SIZE + 3.5, _SIZE - 0.8, len(series))]


def _lines(points: pd.DataFrame, series: tuple[Series, ...], x: Scale, y: Scale) -> pd.DataFrame:
    """What lines go through, a row a corner: the points of a joined series, or its fitted line; columns as in `tidy`."""
    rows: list[tuple[int, str, float, float]] = []
    places = zip(points["series"], points["method"], points["x"], points["y"], strict=True)
    for number, corners in itertools.groupby(places, key=lambda row: row[0]):
        one, mine = series[number], list(corners)
        if len(mine) > 1 and one.joined:
            rows += mine
        elif len(mine) > 1 and one.fit is not None:
            rows += [(number, one.name, *corner) for corner in _fitted(one.fit, [row[2] for row in mine], x, y)]
    frame = pd.DataFrame(rows, columns=["series", "method", "x", "y"])
    return frame.assign(method=frame["method"].astype("category"))


def _fitted(line: Line, places: list[float], x: Scale, y: Scale) -> Iterator[tuple[float, float]]:
    """Places along a fitted line between the outermost of some places, where it is above 0; straight only on linear axes."""
    low, high = min(places), max(places)
    along = np.geomspace(low, high, 60) if x.log else np.linspace(low, high, 60)
    height = (line.slope * along * x.factor + line.intercept) / y.factor
    return zip(along[height > 0].tolist(), height[height > 0].tolist(), strict=True)


def _draw_whiskers(
    axes: Axes, points: pd.DataFrame, series: tuple[Series, ...], colours: dict[str, str], x: Scale, y: Scale
) -> None:
    """Intervals, in one collection each way. seaborn draws only those that it computed itself."""
    style = {"linewidth": 1.0, "alpha": 0.7, "zorder": 2}
    given = [(point, colours[one.name]) for one in series for point in one.points]
    flat = [
        (where, point.x_low / x.factor, point.x_high / x.factor, colour)
        for (point, colour), where in zip(given, points["y"], strict=True)
        if point.x_low is not None and point.x_high is not None
    ]
    upright = [
        (where, point.y_low / y.factor, point.y_high / y.factor, colour)
        for (point, colour), where in zip(given, points["x"], strict=True)
        if point.y_low is not None and point.y_high is not None
    ]
    for draw, lines in ((axes.hlines, flat), (axes.vlines, upright)):
        if lines:
            places, low, high, inks = zip(*lines, strict=True)
            draw(places, low, high, colors=inks, **style)
