"""Charts become figures: panels by seaborn, and around them titles, legends and notes; no global state is left changed."""

from __future__ import annotations

import math
import textwrap
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation
from PIL import Image as Picture

from odebench.report.axes import is_logarithmic, label_of, set_powers_of_two, set_ticks, unit_of
from odebench.report.chart import Axis, Chart, Extents, Image, Panel
from odebench.report.columns import Kind, column
from odebench.report.layout import lay_out
from odebench.report.marks import Scale, draw_series, handle, legible
from odebench.report.palette import Looks
from odebench.report.style import FAINT, INK, styled

_PIXELS = 1600
# Inches: a line of the title, of a legend, and of the notes.
_TITLE_LINE, _LEGEND_LINE, _NOTE_LINE = 0.19, 0.19, 0.16
# Characters that fit along the shortest axis.
_LABEL = 34


def draw(chart: Chart, palettes: Mapping[str, Looks], extents: Extents | None = None) -> Figure:
    """The figure of a chart.

    Args:
        chart: what to draw.
        palettes: the looks of the methods, by the names that charts and panels give.
        extents: ranges of the columns; those of several charts make them share their axes.
    """
    with styled():
        extents = extents or Extents([chart])
        across = _across(chart)
        down = math.ceil(len(chart.panels) / across)
        width = 6.4 if across == 1 else 10.0
        looks = {s.name: s for panel in chart.panels for s in panel.series if s.label and not panel.legend}
        legend_rows, entries_a_row = _legend_shape([s.label for s in looks.values()], width)
        title = textwrap.wrap(chart.title, int(width * 11))
        notes = [line for note in chart.notes for line in textwrap.wrap(note, int(width * 16))]
        head = 0.1 + _TITLE_LINE * len(title)
        legend = 0.1 + _LEGEND_LINE * legend_rows if legend_rows else 0.0
        foot = 0.06 + _NOTE_LINE * len(notes) if notes else 0.0
        height = head + down * _panel_height(chart, across, width / across) + legend + foot
        figure = Figure(figsize=(width, height), dpi=_PIXELS / width)
        FigureCanvasAgg(figure)
        grid = figure.subplots(down, across, squeeze=False)
        for axes, panel in zip(grid.flat, chart.panels, strict=False):
            _draw_panel(axes, panel, palettes[panel.palette or chart.palette], extents, width / across)
        for axes in list(grid.flat)[len(chart.panels) :]:
            axes.set_visible(False)
        _label_once(grid, chart)
        lay_out(figure, grid, head, legend + foot)
        if chart.equal:
            for axes in grid.flat:
                axes.set_aspect("equal", adjustable="box")
        figure.text(0.012, 1 - 0.08 / height, "\n".join(title), weight="bold", size=10.5, va="top")
        if looks:
            figure.legend(
                handles=[handle(one, palettes[chart.palette]) for one in looks.values()], loc="upper center",
                bbox_to_anchor=(0.5, (legend + foot - 0.04) / height), ncols=entries_a_row, frameon=False,
                handlelength=1.8, columnspacing=1.4, borderaxespad=0.0,
            )  # fmt: skip
        if notes:
            figure.text(0.012, foot / height, "\n".join(notes), size=7.5, color=FAINT, va="top")
        return figure


def save(figure: Figure, target: Path) -> Path:
    """Write a figure in the format of the file's suffix: .svg, .pdf, or .png, which is 1600 pixels wide.

    The canvases are called directly, because `savefig` sets up more than it takes.
    """
    with styled():
        suffix = target.suffix.lower()
        if suffix == ".svg":
            FigureCanvasSVG(figure).print_svg(target, metadata={"Date": None})
        elif suffix == ".pdf":
            FigureCanvasPdf(figure).print_pdf(target, metadata={"CreationDate": None})
        else:
            figure.set_dpi(_PIXELS / figure.get_figwidth())
            # The canvas that the layout was found on has measured all texts already.
            canvas = figure.canvas if isinstance(figure.canvas, FigureCanvasAgg) else FigureCanvasAgg(figure)
            # Without transparency, and not at the highest compression: a tenth of the size is not worth a third of the time.
            canvas.draw()
            Picture.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB").save(target, "PNG", compress_level=3)
    return target


def _label_once(grid: np.ndarray, chart: Chart) -> None:
    """Leave the y label to the first panel of each row where all panels show the same, and the ticks where they are the same.

    Panels below each other that share their x axis have its label below the last one only.
    """
    panels = chart.panels
    if chart.across == 1 and len({panel.x for panel in panels}) == 1:
        for axes in grid[:-1].flat:
            axes.set_xlabel("")
            axes.tick_params(axis="x", labelbottom=False)
    if len({(panel.y.column, panel.y.label, panel.rows) for panel in panels}) == 1:
        same = len({panel.y for panel in panels}) == 1
        for axes in grid[:, 1:].flat:
            axes.set_ylabel("")
            axes.tick_params(axis="y", labelleft=not same)


def _across(chart: Chart) -> int:
    """How many panels stand side by side."""
    if chart.across:
        return min(chart.across, len(chart.panels))
    return min(len(chart.panels), 3 if len(chart.panels) > 4 or len(chart.panels) == 3 else 2)


def _most_in_a_row(panel: Panel) -> int:
    """How many series have a mark in the same category, at the most."""
    rows = Counter(row for series in panel.series for row in {round(point.y) for point in series.points})
    return max(rows.values(), default=0)


def _panel_height(chart: Chart, across: int, width: float) -> float:
    """Height of a panel in inches: room for categories, for a legend of its own, else a pleasant shape."""
    if all(panel.image is not None for panel in chart.panels):
        return width + 0.1
    rows = max(len(panel.rows) for panel in chart.panels)
    if rows:
        beside = max(_most_in_a_row(panel) for panel in chart.panels)
        return 0.9 + rows * max(0.34, 0.12 * beside + 0.16)
    if chart.equal:
        return width - 0.3
    if chart.across == 1 and len(chart.panels) > 1:
        return 2.2
    own = max(_legend_shape([s.label for s in panel.series if panel.legend], width)[0] for panel in chart.panels)
    return {1: 3.8, 2: 3.3}.get(across, 2.9) + _LEGEND_LINE * own


def _legend_shape(labels: list[str], width: float) -> tuple[int, int]:
    """Rows of a legend under something so many inches wide, and entries in each, from the longest label; (0, 0) without."""
    if not labels:
        return 0, 0
    entry = 0.55 + 0.078 * max(len(label) for label in labels)
    across = max(1, min(len(labels), int(width / entry)))
    rows = math.ceil(len(labels) / across)
    return rows, math.ceil(len(labels) / rows)


def _draw_panel(axes: Axes, panel: Panel, palette: Looks, extents: Extents, width: float) -> None:
    # A place of its own spares matplotlib a search for ticks that the title could meet; ours stand at the bottom.
    axes.set_title(panel.title, loc="left", color=INK, y=1.0)
    if panel.image is not None:
        _draw_image(axes, panel, panel.image)
        return
    x = _scale_axis(axes, "x", panel.x, extents, panel.columns, panel.floor)
    y = _scale_axis(axes, "y", panel.y, extents, panel.rows, panel.floor)
    if y.log or column(panel.y.column).kind is not Kind.ERROR:
        _draw_guides(axes, panel, y)
    draw_series(axes, panel.series, palette, x, y)
    if panel.legend:
        _, across = _legend_shape([series.label for series in panel.series], width)
        axes.legend(
            handles=[handle(series, palette) for series in panel.series], ncols=max(across, 1), loc="upper center",
            bbox_to_anchor=(0.5, 0.0), bbox_transform=axes.transAxes + ScaledTranslation(0, -0.52, axes.figure.dpi_scale_trans), frameon=False,
            handlelength=1.6, columnspacing=1.2, borderaxespad=0.0,
        )  # fmt: skip


def _draw_image(axes: Axes, panel: Panel, image: Image) -> None:
    """A picture with what is said beside and below it, or the words in its place."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
    axes.set_xlabel(panel.x.label)
    axes.set_ylabel(panel.y.label)
    for spine in axes.spines.values():
        spine.set_visible(True)
    if image.values:
        # An output can be as large as numbers get; only its shades are drawn, so it is scaled before.
        size = (image.high - image.low) or 1.0
        shades = np.clip((np.asarray(image.values, dtype=float) - image.low) / size, 0.0, 1.0)
        axes.imshow(shades, cmap="gray", vmin=0.0, vmax=1.0, interpolation="nearest")
    else:
        axes.set_aspect("equal", adjustable="box")
        axes.text(0.5, 0.5, image.words, ha="center", va="center", color=FAINT, transform=axes.transAxes)


def _draw_guides(axes: Axes, panel: Panel, scale: Scale) -> None:
    """Horizontal lines with words under them, and, on a log axis, room for the words where no point stands."""
    low, high = axes.get_ylim()
    least = low / 3 if scale.log else low
    heights = {guide.label: guide.y / scale.factor for guide in panel.guides if least <= guide.y / scale.factor <= high}
    if heights and scale.log:
        least = min(heights.values())
        axes.set_ylim(min(low, least / (high / least) ** 0.18), high)
    for label, height in heights.items():
        axes.axhline(height, color="#8a96a3", linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
        # Far enough below for the marks of errors that are a little smaller.
        place = {"xycoords": ("axes fraction", "data"), "xytext": (0, -9), "textcoords": "offset points"}
        axes.annotate(label, (0.995, height), ha="right", va="top", size=7.5, color=FAINT, **place)


def _scale_axis(axes: Axes, which: str, axis: Axis, extents: Extents, places: tuple[str, ...], floor: float) -> Scale:
    """Set scale, limits, ticks and label of one axis."""
    one = axes.xaxis if which == "x" else axes.yaxis
    set_limits = axes.set_xlim if which == "x" else axes.set_ylim
    if places:
        ends = (-0.6, len(places) - 0.4)
        set_limits(*(ends if which == "x" else reversed(ends)))
        one.set_ticks(range(len(places)), [legible(place) for place in places])
        if which == "x" and sum(len(place) for place in places) > 50:
            axes.tick_params(axis="x", rotation=30)
        one.grid(which == "y")
        return Scale()
    description = column(axis.column)
    raw, positive = extents.values(axis.column), extents.positive(axis.column)
    factor, unit = unit_of(description, raw)
    log = bool(raw) and (axis.scale == "log2" if axis.scale else is_logarithmic(description, raw))
    # An exact 0 stands at the rounding unit, or at the least value where that is smaller.
    floor = min([floor, *positive[:1]]) / factor
    values = [value / factor for value in (positive if log else raw)] or [1.0]
    low, high = values[0], values[-1]
    if log:
        if raw[0] == 0:
            low = min(low, floor)
        room = max((high / low) ** 0.06, 1.25)
        # An error can come close to the largest number there is, and its limit must not go beyond.
        low, high = max(low / room, 1e-306), min(high * room, 1e306)
        (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    else:
        if description.kind.name in ("BYTES", "SECONDS", "COUNT") and low >= 0:
            low = 0.0
        room = (high - low) * 0.06 or max(abs(high), 1.0) * 0.5
        low, high = (low - room if low != 0 else -room / 3), high + room
    if axis.limits is not None:
        low, high = (end / factor for end in axis.limits)
    set_limits(*((high, low) if axis.falling else (low, high)))
    if log and axis.scale == "log2":
        set_powers_of_two(one, low, high)
    else:
        set_ticks(one, description, low, high, values, log)
    one.set_label_text(textwrap.fill(label_of(description, axis.label, unit), _LABEL))
    return Scale(factor=factor, log=log, floor=floor)
