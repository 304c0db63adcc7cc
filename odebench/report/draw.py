"""Charts become figures of matplotlib; no global state of matplotlib is left changed."""

from __future__ import annotations

import contextlib
import math
import textwrap
import warnings
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D

from odebench.report.axes import is_logarithmic, label_of, set_ticks, unit_of
from odebench.report.chart import Axis, Chart, Extents, Panel, Series
from odebench.report.columns import column
from odebench.report.palette import Looks

_PIXELS = 1600
_MARK = 5.2
_INK, _FAINT = "#1d2733", "#5d6b7a"
_STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9.0,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.fontsize": 8.5,
    "axes.edgecolor": "#9aa5b1",
    "axes.labelcolor": _INK,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e3e8ee",
    "grid.linewidth": 0.8,
    "axes.axisbelow": True,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    # A method may be called `$x`; names are words, never formulas.
    "text.parse_math": False,
    "text.usetex": False,
    "axes.unicode_minus": True,
    "path.sketch": None,
    # The same report twice gives the same bytes.
    "svg.hashsalt": "odebench",
    "svg.fonttype": "path",
}


def draw(chart: Chart, palette: Looks, extents: Extents | None = None) -> Figure:
    """The figure of a chart.

    Args:
        chart: what to draw.
        palette: the looks of the methods.
        extents: ranges of the columns; those of several charts make them share their axes.
    """
    with _style():
        extents = extents or Extents([chart])
        across = _across(chart)
        down = math.ceil(len(chart.panels) / across)
        width = 6.4 if across == 1 else 10.0
        looks = {s.name: s for panel in chart.panels for s in panel.series if s.label and not panel.legend}
        legend_rows, entries_a_row = _legend_shape([s.label for s in looks.values()], width)
        notes = [line for note in chart.notes for line in textwrap.wrap(note, int(width * 16))]
        heights = [
            0.45 + down * _panel_height(chart, across),
            0.06 + 0.19 * legend_rows if legend_rows else 0.02,
            0.08 + 0.16 * len(notes) if notes else 0.02,
        ]
        figure = Figure(figsize=(width, sum(heights)), layout="constrained")
        FigureCanvasAgg(figure)
        body, legend, foot = figure.subfigures(3, 1, height_ratios=heights)
        body.suptitle(
            "\n".join(textwrap.wrap(chart.title, int(width * 11))), x=0.012, ha="left", weight="bold", size=10.5
        )
        grid = body.subplots(down, across, squeeze=False)
        for axes, panel in zip(grid.flat, chart.panels, strict=False):
            _draw_panel(axes, panel, palette, extents)
        for axes in list(grid.flat)[len(chart.panels) :]:
            axes.set_visible(False)
        _label_once(grid, chart.panels)
        if looks:
            _draw_legend(legend, list(looks.values()), palette, entries_a_row)
        if notes:
            foot.text(0.012, 0.98, "\n".join(notes), size=7.5, color=_FAINT, va="top")
        # The layout is found once, here, and not again for every format that the figure is saved in.
        figure.get_layout_engine().execute(figure)
        figure.set_layout_engine("none")
        return figure


def save(figure: Figure, target: Path) -> Path:
    """Write a figure in the format of the file's suffix: .svg, .pdf, or .png, which is 1600 pixels wide.

    The canvases are called directly, because `savefig` draws everything twice to find a layout that we have already.
    """
    with _style():
        suffix = target.suffix.lower()
        if suffix == ".svg":
            FigureCanvasSVG(figure).print_svg(target, metadata={"Date": None})
        elif suffix == ".pdf":
            FigureCanvasPdf(figure).print_pdf(target, metadata={"CreationDate": None})
        else:
            figure.set_dpi(_PIXELS / figure.get_figwidth())
            FigureCanvasAgg(figure).print_png(target)
    return target


@contextlib.contextmanager
def _style() -> Iterator[None]:
    """Our settings of matplotlib for a while; a sign that the font lacks is drawn as a box, which is no reason to warn."""
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from font")
        yield


def _label_once(grid: np.ndarray, panels: tuple[Panel, ...]) -> None:
    """Leave the y label to the first panel of each row where all panels show the same."""
    if len({(panel.y, panel.rows) for panel in panels}) == 1:
        for axes in grid[:, 1:].flat:
            axes.set_ylabel("")
            axes.tick_params(axis="y", labelleft=False)


def _across(chart: Chart) -> int:
    """How many panels stand side by side."""
    return min(len(chart.panels), 3 if len(chart.panels) > 4 or len(chart.panels) == 3 else 2)


def _panel_height(chart: Chart, across: int) -> float:
    """Height of a panel in inches: room for categories, for a legend of its own, else a pleasant shape."""
    rows = max(len(panel.rows) for panel in chart.panels)
    if rows:
        series = max(len(panel.series) for panel in chart.panels)
        return 0.7 + rows * max(0.34, 0.11 * series + 0.16)
    own = max((len(panel.series) for panel in chart.panels if panel.legend), default=0)
    return {1: 3.6, 2: 3.2}.get(across, 2.6) + 0.19 * own


def _legend_shape(labels: list[str], width: float) -> tuple[int, int]:
    """Rows of a legend under the panels, and entries in each, from the longest label; (0, 0) without labels."""
    if not labels:
        return 0, 0
    entry = 0.55 + 0.078 * max(len(label) for label in labels)
    across = max(1, min(len(labels), int(width / entry)))
    rows = math.ceil(len(labels) / across)
    return rows, math.ceil(len(labels) / rows)


def _draw_panel(axes: Axes, panel: Panel, palette: Looks, extents: Extents) -> None:
    axes.set_title(panel.title, loc="left", color=_INK)
    x_factor, _ = _scale_axis(axes, "x", panel.x, extents, panel.columns, panel.floor)
    y_factor, y_log = _scale_axis(axes, "y", panel.y, extents, panel.rows, panel.floor)
    if y_log:
        _draw_guides(axes, panel, y_factor)
    floor = _floor(panel, extents) / y_factor
    for series, size in zip(panel.series, _sizes(panel.series), strict=True):
        _draw_series(axes, series, size, palette, (x_factor, y_factor), floor if y_log else None)
    if panel.legend:
        axes.legend(
            handles=[_handle(series, palette) for series in panel.series],
            loc="upper center", bbox_to_anchor=(0.5, -0.24), frameon=False, handlelength=1.6, borderaxespad=0.0,
        )  # fmt: skip


def _draw_guides(axes: Axes, panel: Panel, factor: float) -> None:
    """Horizontal lines with words under them, and room for the words where no point stands."""
    low, high = axes.get_ylim()
    heights = {guide.label: guide.y / factor for guide in panel.guides if low / 3 <= guide.y / factor <= high}
    if heights:
        least = min(heights.values())
        axes.set_ylim(min(low, least / (high / least) ** 0.14), high)
    for label, height in heights.items():
        axes.axhline(height, color="#8a96a3", linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
        place = {"xycoords": ("axes fraction", "data"), "xytext": (0, -4), "textcoords": "offset points"}
        axes.annotate(label, (0.995, height), ha="right", va="top", size=7.5, color=_FAINT, **place)


def _scale_axis(
    axes: Axes, which: str, axis: Axis, extents: Extents, places: tuple[str, ...], floor: float
) -> tuple[float, bool]:
    """Set scale, limits, ticks and label of one axis; returns the factor from its unit and whether it is logarithmic."""
    one = axes.xaxis if which == "x" else axes.yaxis
    set_limits = axes.set_xlim if which == "x" else axes.set_ylim
    if places:
        ends = (-0.6, len(places) - 0.4)
        set_limits(*(ends if which == "x" else reversed(ends)))
        one.set_ticks(range(len(places)), [_legible(place) for place in places])
        if which == "x" and sum(len(place) for place in places) > 50:
            axes.tick_params(axis="x", rotation=30)
        one.grid(which == "y")
        return 1.0, False
    description = column(axis.column)
    raw = extents.values(axis.column)
    factor, unit = unit_of(description, raw)
    log = is_logarithmic(description, raw) if raw else False
    values = [value / factor for value in (extents.positive(axis.column) if log else raw)] or [1.0]
    low, high = values[0], values[-1]
    if log:
        if raw[0] == 0:
            low = min(low, floor / factor)
        room = max((high / low) ** 0.06, 1.25)
        # An error can come close to the largest number there is, and its limit must not go beyond.
        low, high = max(low / room, 1e-306), min(high * room, 1e306)
        (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    else:
        if description.kind.name in ("BYTES", "SECONDS", "COUNT") and low >= 0:
            low = 0.0
        room = (high - low) * 0.06 or max(abs(high), 1.0) * 0.5
        low, high = (low - room if low != 0 else -room / 3), high + room
    set_limits(*((high, low) if axis.falling else (low, high)))
    set_ticks(one, description, low, high, values, log)
    one.set_label_text(label_of(description, axis.label, unit))
    return factor, log


def _floor(panel: Panel, extents: Extents) -> float:
    """Where an exact 0 stands on a log axis: at the rounding unit, or at the least value where that is smaller."""
    positive = extents.positive(panel.y.column)
    return min([panel.floor, *positive[:1]])


def _sizes(series: tuple[Series, ...]) -> list[float]:
    """Sizes of the marks: those of later series are smaller where points coincide, so that the earlier ones show."""
    places = [{(f"{point.x:.2g}", f"{point.y:.2g}") for point in one.points} for one in series]
    if len(set().union(*places)) == sum(len(one) for one in places):
        return [_MARK] * len(series)
    return [float(size) for size in np.linspace(_MARK + 3.5, _MARK - 0.8, len(series))]


def _draw_series(
    axes: Axes, series: Series, size: float, palette: Looks, factors: tuple[float, float], floor: float | None
) -> None:
    look, (x_factor, y_factor) = palette[series.name], factors
    x = np.array([point.x for point in series.points]) / x_factor
    y = np.array([point.y for point in series.points]) / y_factor
    at_floor = (y <= 0) if floor is not None else np.zeros(len(y), dtype=bool)
    y = np.where(at_floor, floor or 0.0, y)
    if series.joined and len(x) > 1:
        axes.plot(x, y, color=look.colour, linewidth=1.3, alpha=0.75, zorder=2)
    whisker = {"color": look.colour, "linewidth": 1.0, "alpha": 0.7, "zorder": 2}
    for point, height in zip(series.points, y, strict=True):
        if point.x_low is not None and point.x_high is not None:
            axes.plot([point.x_low / x_factor, point.x_high / x_factor], [height, height], **whisker)
        if point.y_low is not None and point.y_high is not None:
            axes.plot([point.x / x_factor] * 2, [point.y_low / y_factor, point.y_high / y_factor], **whisker)
    hollow = np.array([point.hollow for point in series.points], dtype=bool)
    style = {"linestyle": "none", "markeredgecolor": look.colour, "markersize": size, "zorder": 3, "clip_on": False}
    for mask, marker, filled in (
        (~hollow & ~at_floor, look.marker, True),
        (hollow & ~at_floor, look.marker, False),
        (at_floor, "v", False),
    ):
        if mask.any():
            face = look.colour if filled else "white"
            axes.plot(x[mask], y[mask], marker=marker, markerfacecolor=face, **style)
    if series.fit is not None and len(x) > 1:
        along = np.geomspace(x.min(), x.max(), 60) if x.min() > 0 else np.linspace(x.min(), x.max(), 60)
        height = (series.fit.slope * along * x_factor + series.fit.intercept) / y_factor
        shown = height > 0
        axes.plot(along[shown], height[shown], color=look.colour, linewidth=1.3, alpha=0.75, zorder=2)


def _handle(series: Series, palette: Looks) -> Line2D:
    """Entry of a legend."""
    look = palette[series.name]
    line = "-" if series.joined or series.fit else "none"
    label = _legible(series.label)
    return Line2D(
        [], [], color=look.colour, marker=look.marker, markersize=_MARK, linewidth=1.3, linestyle=line, label=label
    )


def _legible(label: str) -> str:
    """A label of bearable length that matplotlib does not take for a hidden one, which begins with an underscore."""
    label = label if len(label) <= 60 else label[:57] + "…"
    return f" {label}" if label.startswith("_") else label


def _draw_legend(place: SubFigure, series: list[Series], palette: Looks, across: int) -> None:
    place.legend(
        handles=[_handle(one, palette) for one in series], loc="upper center", ncols=across, frameon=False,
        handlelength=1.8, columnspacing=1.4, borderaxespad=0.0,
    )  # fmt: skip
