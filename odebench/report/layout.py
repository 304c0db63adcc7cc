"""Where axes stand in a figure: side by side, all of one size, with room for their own words.

matplotlib's constrained layout does this too, but it measures every word twice, and solves for sizes in an order that may differ
between two runs, so that the last digits of a figure do.
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Inches between what belongs to neighbours, and the least that axes get however long their words are.
_GAP, _LEAST = 0.08, 0.4


def lay_out(figure: Figure, grid: np.ndarray, top: float, bottom: float) -> None:
    """Place a grid of axes.

    Args:
        figure: on a canvas that can measure words.
        grid: its axes, all with their ticks, labels and legends; shape `(rows, columns)`.
        top, bottom: inches at the ends of the figure that are not theirs.
    """
    down, across = grid.shape
    width, height = figure.get_size_inches()
    height -= top + bottom
    # Words depend a little on the size, so they are measured at nearly the right one.
    _place(figure, grid, np.full((2, across), 0.35), np.full((2, down), 0.35), (width, height), bottom)
    room = np.array([[_room(figure, axes) for axes in row] for row in grid]) + _GAP
    _place(figure, grid, room[..., :2].max(axis=0).T, room[..., 2:].max(axis=1).T, (width, height), bottom)


def _room(figure: Figure, axes: Axes) -> list[float]:
    """Inches that the words of some axes take on the left, on the right, above and below."""
    box = axes.get_tightbbox(figure.canvas.get_renderer(), for_layout_only=True)
    if box is None:
        return [0.0] * 4
    inner = axes.get_window_extent()
    sides = (inner.x0 - box.x0, box.x1 - inner.x1, box.y1 - inner.y1, inner.y0 - box.y0)
    return [max(side, 0.0) / figure.dpi for side in sides]


def _place(
    figure: Figure, grid: np.ndarray, beside: np.ndarray, around: np.ndarray, size: tuple[float, float], bottom: float
) -> None:
    """Share the size among the axes.

    Args:
        figure, grid, bottom: as in `lay_out`.
        beside: inches left and right of each column; shape `(2, columns)`.
        around: inches above and below each row; shape `(2, rows)`.
        size: width and height of all the axes with their words, in inches.
    """
    down, across = grid.shape
    full_width, full_height = figure.get_size_inches()
    wide = max((size[0] - beside.sum()) / across, _LEAST)
    tall = max((size[1] - around.sum()) / down, _LEAST)
    for row in range(down):
        # Rows count from the top, inches from the bottom.
        y = bottom + size[1] - around[:, :row].sum() - around[0, row] - (row + 1) * tall
        for column in range(across):
            x = beside[:, :column].sum() + beside[0, column] + column * wide
            place = (x / full_width, y / full_height, wide / full_width, tall / full_height)
            grid[row, column].set_position(place)
