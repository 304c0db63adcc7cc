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
from odebench.report.palette import Look, Looks
from odebench.report.statistics import Line
from odebench.report.style import INK

_SIZE, _LINE = 5.2, 1.3
# Of what stands behind: single runs behind their mean.
_FAINT_SIZE, _PALE = 3.2, 0.35
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
        Columns `x y` (places in shown units), `series` (its number), `ink mark` (colour and marker), `size` (of the mark,
        in points), `filled`, `faint` and `ringed`.
    """
    looks = [look_of(one, palette) for one in series]
    rows = [
        (number, look.colour, look.marker, size, point.x, point.y, not point.hollow, one.faint, point.ringed)
        for number, (one, look, size) in enumerate(zip(series, looks, _sizes(series), strict=True))
        for point in one.points
    ]
    names = ["series", "ink", "mark", "size", "x", "y", "filled", "faint", "ringed"]
    frame = pd.DataFrame(rows, columns=names)
    at_floor = x.at_floor(frame["x"]) | y.at_floor(frame["y"])
    return frame.assign(
        x=x.place(frame["x"]),
        y=y.place(frame["y"]),
        ink=frame["ink"].astype("category"),
        mark=frame["mark"].mask(at_floor, _AT_FLOOR).astype("category"),
        filled=frame["filled"].astype(bool) & ~at_floor,
    )


def look_of(series: Series, palette: Looks) -> Look:
    """How a series is drawn: as the palette says, except for what it says itself."""
    if series.colour and series.marker:
        return Look(series.colour, series.marker)
    look = palette[series.name]
    return Look(series.colour or look.colour, series.marker or look.marker)


def draw_series(axes: Axes, series: tuple[Series, ...], palette: Looks, x: Scale, y: Scale) -> None:
    """Draw series on axes that have their scales, limits and labels."""
    points = tidy(series, palette, x, y)
    if points.empty:
        return
    labels = {"xlabel": axes.get_xlabel(), "ylabel": axes.get_ylabel()}
    _draw_whiskers(axes, points, series, x, y)
    lines = _lines(points, series, x, y)
    for faint, alpha, width in ((True, _PALE, 0.8), (False, 0.75, _LINE)):
        some = lines[lines["faint"] == faint]
        if len(some):
            seaborn.lineplot(
                some.assign(ink=some["ink"].astype("category").cat.remove_unused_categories()), x="x", y="y", hue="ink",
                palette={ink: ink for ink in some["ink"]}, units="series", estimator=None, sort=False,
                linewidth=width, alpha=alpha, zorder=2, legend=False, ax=axes,
            )  # fmt: skip
    _draw_marks(axes, points[[series[number].marked for number in points["series"]]])
    # seaborn names an axis without a label after the frame's column.
    axes.set(**labels)


def _draw_marks(axes: Axes, points: pd.DataFrame) -> None:
    if points.empty:
        return
    # Faint ones first, so that they lie behind.
    points = points.sort_values("faint", ascending=False, kind="stable")
    # seaborn asks for the colours of categories that nothing has.
    points = points.assign(**{name: points[name].cat.remove_unused_categories() for name in ("ink", "mark")})
    seaborn.scatterplot(
        points, x="x", y="y", hue="ink", palette={ink: ink for ink in points["ink"]}, style="mark",
        markers={m: m for m in points["mark"]},
        s=points["size"] ** 2, linewidth=1.0, zorder=3, clip_on=False, legend=False, ax=axes,
    )  # fmt: skip
    marks = axes.collections[-1]
    inks = marks.get_facecolors()
    if points["faint"].any():
        inks[points["faint"].to_numpy(), 3] = _PALE
    marks.set_edgecolors(inks)
    marks.set_facecolors(np.where(points["filled"].to_numpy()[:, None], inks, 1.0))
    ringed = points[points["ringed"]]
    if len(ringed):
        axes.scatter(
            ringed["x"], ringed["y"], s=(ringed["size"] + 5.5) ** 2, facecolors="none", edgecolors=INK, linewidths=1.1,
            zorder=4, clip_on=False,
        )  # fmt: skip


def handle(series: Series, palette: Looks) -> Line2D:
    """Entry of a series in a legend."""
    look = look_of(series, palette)
    line = "-" if series.joined or series.fit else "none"
    return Line2D(
        [], [], color=look.colour, marker=look.marker if series.marked else "none", markersize=_SIZE, linewidth=_LINE, linestyle=line,
        label=legible(series.label),
    )  # fmt: skip


def legible(label: str) -> str:
    """A label of bearable length that matplotlib does not take for a hidden one, which begins with an underscore."""
    label = label if len(label) <= 60 else label[:57] + "…"
    return f" {label}" if label.startswith("_") else label


def _sizes(series: tuple[Series, ...]) -> list[float]:
    """Sizes of the marks: those of later series are smaller where points coincide, so that the earlier ones show."""
    bold = [one for one in series if not one.faint]
    places = [{(f"{point.x:.2g}", f"{point.y:.2g}") for point in one.points} for one in bold]
    sizes = iter(np.linspace(_SIZE + 3.5, _SIZE - 0.8, len(bold)))
    if len(set().union(*places)) == sum(len(one) for one in places) or len(bold) < len(series):
        # Behind faint ones the bold ones must stand out, all of them alike.
        sizes = iter([_SIZE + 0.6 * (len(bold) < len(series))] * len(bold))
    found = [_FAINT_SIZE if one.faint else float(next(sizes)) for one in series]
    return [one.size or size for one, size in zip(series, found, strict=True)]


def _lines(points: pd.DataFrame, series: tuple[Series, ...], x: Scale, y: Scale) -> pd.DataFrame:
    """What lines go through, a row a corner: the points of a joined series, or its fitted line; columns as in `tidy`."""
    rows: list[tuple[int, str, float, float, bool]] = []
    places = zip(points["series"], points["ink"], points["x"], points["y"], points["faint"], strict=True)
    for number, corners in itertools.groupby(places, key=lambda row: row[0]):
        one, mine = series[number], list(corners)
        if len(mine) > 1 and one.joined:
            rows += mine
        elif len(mine) > 1 and one.fit is not None:
            ink = mine[0][1]
            rows += [(number, ink, *corner, one.faint) for corner in _fitted(one.fit, [row[2] for row in mine], x, y)]
    return pd.DataFrame(rows, columns=["series", "ink", "x", "y", "faint"]).astype({"faint": bool})


def _fitted(line: Line, places: list[float], x: Scale, y: Scale) -> Iterator[tuple[float, float]]:
    """Places along a fitted line between the outermost of some places, where it is above 0; straight only on linear axes."""
    low, high = min(places), max(places)
    along = np.geomspace(low, high, 60) if x.log else np.linspace(low, high, 60)
    height = (line.slope * along * x.factor + line.intercept) / y.factor
    return zip(along[height > 0].tolist(), height[height > 0].tolist(), strict=True)


def _draw_whiskers(axes: Axes, points: pd.DataFrame, series: tuple[Series, ...], x: Scale, y: Scale) -> None:
    """Intervals, in one collection each way. seaborn draws only those that it computed itself."""
    style = {"linewidth": 1.0, "alpha": 0.7, "zorder": 2}
    given = list(zip((point for one in series for point in one.points), points["ink"], strict=True))
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
