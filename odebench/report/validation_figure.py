"""The figure of a validation: how the score changes under each solver, and beside it the score against the measured error."""

from __future__ import annotations

import io
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from odebench.report.axes import set_ticks
from odebench.report.columns import column
from odebench.report.palette import MARKERS
from odebench.report.style import FAINT, INK, styled

# The inks of the page's words for the same.
_INKS = {"inside": "#0b6b45", "outside": "#a3340b", "across": "#8a6a00", None: "#9aa5b1"}
_WORDS = {"inside": "inside the threshold", "outside": "outside", "across": "neither", None: "larger error: not judged"}
_BAND = "#e7f3ec"
_WIDTH, _LEAST_HEIGHT, _ROW = 10.0, 2.9, 0.24
# An interval without an end goes as far as the axis, which goes this much beyond what has one.
_ROOM = 1.25


def figure_of(told: dict[str, Any]) -> Figure:
    """The figure, from what `Validation.to_json` gives."""
    tried = [one for one in told["tried"] if one["change"] is not None or one["metric"] is not None]
    with styled():
        height = max(_LEAST_HEIGHT, 1.5 + _ROW * len(tried))
        figure = Figure(figsize=(_WIDTH, height))
        FigureCanvasAgg(figure)
        left, right = figure.subplots(1, 2, width_ratios=(1.15, 1.0))
        _draw_changes(left, told, tried)
        _draw_errors(right, told, tried)
        shown = list(dict.fromkeys(one["place"] for one in tried))
        handles = [
            Line2D([], [], color=_INKS[place], marker="o", linestyle="-", label=_WORDS[place])
            for place in ("inside", "outside", "across", None)
            if place in shown
        ]
        handles.append(Line2D([], [], color=INK, marker="*", markersize=10, linestyle="none", label="its own solver"))
        figure.legend(handles=handles, loc="lower center", ncols=len(handles), frameon=False)
        figure.tight_layout(rect=(0.0, 0.30 / height, 1.0, 1.0), w_pad=2.5)
        return figure


def svg_of(figure: Figure) -> bytes:
    """The figure as SVG; the same figure gives the same bytes."""
    with styled():
        stream = io.BytesIO()
        FigureCanvasSVG(figure).print_svg(stream, metadata={"Date": None})
        return stream.getvalue()


def _draw_changes(axes: Axes, told: dict[str, Any], tried: list[dict[str, Any]]) -> None:
    """A line for each solver, with the interval of the change, and the band within which a change counts as none."""
    factor = 100.0 if told["percent"] else 1.0
    threshold = factor * told["threshold"]
    ends = [factor * one[name] for one in tried for name in ("change", "low", "high") if one[name] is not None]
    low, high = min([-1.6 * threshold, *ends]), max([1.6 * threshold, *ends])
    room = 0.06 * (high - low)
    low, high = low - room, high + room
    axes.axvspan(-threshold, threshold, color=_BAND, zorder=0, linewidth=0)
    axes.axvline(0.0, color=FAINT, linewidth=0.8, zorder=1)
    for place, one in enumerate(tried):
        ink = _INKS[one["place"]]
        from_ = low * _ROOM if one["low"] is None else factor * one["low"]
        to = high * _ROOM if one["high"] is None else factor * one["high"]
        axes.plot([from_, to], [place, place], color=ink, linewidth=2.2, solid_capstyle="butt", zorder=2)
        if one["change"] is not None:
            fill = ink if one["place"] else "white"
            axes.plot(factor * one["change"], place, "o", color=ink, markerfacecolor=fill, markersize=5.5, zorder=3)
    axes.set_xlim(low, high)
    axes.set_ylim(len(tried) - 0.4, -0.6)
    axes.set_yticks(range(len(tried)), [f"{one['solver']}, {one['division']}" for one in tried])
    axes.grid(False, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=7))
    unit = " in points" if told["percent"] else ""
    axes.set_xlabel(f"change of {told['metric']}{unit}, with its {told['level']:.0%} interval")
    axes.set_title(f"Beside {told['own']['solver']}, {told['own']['division']}", loc="left")


def _draw_errors(axes: Axes, told: dict[str, Any], tried: list[dict[str, Any]]) -> None:
    """The score against the measured error, a line for each solver; what lies right of the model's own is not judged."""
    factor, own = 100.0 if told["percent"] else 1.0, told["own"]
    known = [one for one in (own, *tried) if one["error"] is not None and one["metric"] is not None]
    axes.set_ylabel(f"{told['metric']}{' in %' if told['percent'] else ''}")
    axes.set_title("Score against measured error", loc="left")
    axes.set_xlabel("relative error of the final states, smaller to the right")
    if own["error"] is None or not known:
        axes.set_xticks([])
        axes.set_yticks([])
        axes.text(0.5, 0.5, "Errors could not be measured.", transform=axes.transAxes, ha="center", color=FAINT)
        return
    floor = min([one["error"] for one in known if one["error"] > 0], default=1e-16)
    at = lambda one: max(one["error"], floor)  # noqa: E731
    solvers = list(dict.fromkeys(one["solver"] for one in tried))
    axes.set_xscale("log")
    for number, solver in enumerate(solvers):
        mine = sorted((one for one in known if one["solver"] == solver), key=at, reverse=True)
        heights = [factor * one["metric"] for one in mine]
        axes.plot([at(one) for one in mine], heights, color="#9aa5b1", linewidth=0.9, zorder=1)
        for one, height in zip(mine, heights, strict=True):
            if one is own:
                continue
            ink = _INKS[one["place"]]
            axes.plot(
                at(one), height, MARKERS[number], color=ink, markerfacecolor=ink if one["place"] else "white", zorder=3
            )
    axes.plot(at(own), factor * own["metric"], "*", color=INK, markersize=12, zorder=4)
    axes.axvline(at(own), color=FAINT, linewidth=0.8, linestyle=":", zorder=1)
    places = [at(one) for one in known]
    low, high = min(places), max(places)
    room = max((high / low) ** 0.08, 1.6)
    low, high = low / room, high * room
    axes.set_xlim(high, low)
    set_ticks(axes.xaxis, column("error_final"), low, high, sorted(places), True)
    values = [factor * one["metric"] for one in known]
    margin = max(0.12 * (max(values) - min(values)), 3.0 if told["percent"] else 0.05 * (abs(max(values)) or 1.0))
    axes.set_ylim(min(values) - margin, max(values) + (min(margin, 3.0) if told["percent"] else margin))
    axes.legend(
        handles=[
            Line2D([], [], color="#9aa5b1", marker=MARKERS[number], label=solver)
            for number, solver in enumerate(solvers)
        ],
        loc="best",
        frameon=False,
    )
