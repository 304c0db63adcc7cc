"""Where a method is stable, as a picture: the part of the plane in which |R(z)| is at most 1."""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from odebench.errors import RecordError
from odebench.records.atomic import write_atomic
from odebench.report.style import FAINT, INK, styled

_INSIDE, _BORDER = "#cfe3f3", "#0a5a9c"
_POINTS = 400
# How far a region that has an end is looked for, and what is shown of one that has none.
_FAR, _OF_UNBOUNDED = 60.0, 8.0
_DOTS_AN_INCH = 150
FORMATS = (".png", ".svg", ".pdf")


def write_stability(name: str, stability: dict[str, Any], path: Path) -> Path:
    """Write the figure of one solver.

    Args:
        name: of the solver.
        stability: coefficients `numerator` and `denominator` by rising powers, as text or numbers; `real_end` and
            `imaginary_end`, None where there is no end.
        path: the file; its ending says the format.

    Raises:
        RecordError: the ending is none of `FORMATS`, or the file cannot be written.
    """
    if path.suffix not in FORMATS:
        raise RecordError(f"{path}: the ending of a figure must be one of {', '.join(FORMATS)}.")
    figure = stability_figure(name, stability)
    stream = io.BytesIO()
    with styled():
        figure.savefig(stream, format=path.suffix[1:], dpi=_DOTS_AN_INCH, metadata=_undated(path.suffix))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, stream.getvalue(), "figure")
    return path


def stability_figure(name: str, stability: dict[str, Any]) -> Figure:
    """The figure of one solver, with its name, its axes and what they mean."""
    with styled():
        figure = Figure(figsize=(4.6, 4.6))
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        draw_region(axes, stability)
        axes.set_title(f"{name}: where |R(z)| ≤ 1", loc="left")
        axes.set_xlabel("Re z,  z = λ·dt")
        axes.set_ylabel("Im z")
        figure.tight_layout()
        return figure


def thumbnail(stability: dict[str, Any], window: tuple[float, float, float, float]) -> bytes:
    """A small picture without words, as SVG: all of a page show the same `window` (left, right, bottom, top)."""
    left, right, bottom, top = window
    with styled():
        figure = Figure(figsize=(1.5, 1.5 * (top - bottom) / (right - left)))
        axes = figure.add_axes((0.01, 0.01, 0.98, 0.98))
        draw_region(axes, stability, window, points=160)
        axes.set_xticks([])
        axes.set_yticks([])
        stream = io.BytesIO()
        FigureCanvasSVG(figure).print_svg(stream, metadata={"Date": None})
        return stream.getvalue()


def draw_region(
    axes: Axes,
    stability: dict[str, Any],
    window: tuple[float, float, float, float] | None = None,
    points: int = _POINTS,
) -> None:
    """Draw the region, the same unit on both axes; the window is chosen so that all of it is seen, where it has an end."""
    p, q = (_falling(stability[part]) for part in ("numerator", "denominator"))
    left, right, bottom, top = window or _window(p, q)
    x, y = np.meshgrid(np.linspace(left, right, points), np.linspace(bottom, top, points))
    size = _size(p, q, x + 1j * y)
    axes.contourf(x, y, size, levels=[-1.0, 1.0], colors=[_INSIDE])
    axes.contour(x, y, size, levels=[1.0], colors=[_BORDER], linewidths=1.2)
    axes.axhline(0.0, color=FAINT, linewidth=0.7)
    axes.axvline(0.0, color=FAINT, linewidth=0.7)
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    axes.set_aspect("equal")
    axes.grid(False)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6))
    for side in axes.spines.values():
        side.set_visible(True)
        side.set_edgecolor("#9aa5b1")
    axes.tick_params(colors=INK)


def _window(p: np.ndarray, q: np.ndarray) -> tuple[float, float, float, float]:
    """Around the region; a square about 0 where it goes on for ever."""
    reach = 1.0
    while reach < _FAR:
        x, y = np.meshgrid(np.linspace(-reach, reach, 121), np.linspace(-reach, reach, 121))
        inside = _size(p, q, x + 1j * y) <= 1.0
        if not (inside[0].any() or inside[-1].any() or inside[:, 0].any() or inside[:, -1].any()):
            break
        reach *= 1.3
    else:
        return -_OF_UNBOUNDED, _OF_UNBOUNDED, -_OF_UNBOUNDED, _OF_UNBOUNDED
    left, right = x[inside].min(), max(x[inside].max(), 0.0)
    top = y[inside].max()
    half = 0.6 * max(right - left, 2.0 * top)
    middle = 0.5 * (left + right)
    return middle - half, middle + half, -half, half


def _size(p: np.ndarray, q: np.ndarray, z: np.ndarray) -> np.ndarray:
    """|R(z)|, cut off far above 1: a pole, or the power of a high degree, would spoil the border's interpolation."""
    with np.errstate(all="ignore"):
        size = np.abs(np.polyval(p, z) / np.polyval(q, z))
    return np.minimum(np.nan_to_num(size, nan=2.0, posinf=2.0), 2.0)


def _falling(row: Sequence[Any]) -> np.ndarray:
    return np.array([float(Fraction(x)) for x in reversed(row)])


def _undated(suffix: str) -> dict[str, None]:
    """Metadata without the time, so that the same figure gives the same bytes."""
    return {".png": {}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}[suffix]
