"""Observed orders: slopes where errors are clear of rounding, and small enough to follow the leading power of the step."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch


def window(size: float, dtype: torch.dtype = torch.float64) -> tuple[float, float]:
    """Between which errors an order can be seen, for a solution of this norm."""
    return 1e3 * torch.finfo(dtype).eps * size, 1e-2 * size


def slopes_of(errors: Sequence[float]) -> list[float]:
    """log₂ of the ratio of each error to the next; of errors of twice as many steps each, the order."""
    return [math.log2(coarse / fine) for coarse, fine in itertools.pairwise(errors) if coarse > 0 and fine > 0]


def slopes_in_window(errors: Sequence[float], size: float) -> list[float]:
    """Those of `slopes_of` whose two errors both lie in the window."""
    low, high = window(size)
    return [math.log2(coarse / fine) for coarse, fine in itertools.pairwise(errors) if low <= fine and coarse <= high]


def observed_order(errors: Sequence[float], size: float) -> float | None:
    """Median of the three finest slopes in the window; None where there are fewer than three.

    Args:
        errors: of twice as many steps each, coarsest first.
        size: norm of the solution.
    """
    slopes = slopes_in_window(errors, size)
    return sorted(slopes[-3:])[1] if len(slopes) >= 3 else None


def fitted_slope(x: Sequence[float], y: Sequence[float]) -> float:
    """Slope of the least-squares line through the points (log x, log y)."""
    points = [(math.log(a), math.log(b)) for a, b in zip(x, y, strict=True)]
    mean_x, mean_y = (sum(values) / len(points) for values in zip(*points, strict=True))
    along = sum((a - mean_x) * (b - mean_y) for a, b in points)
    return along / sum((a - mean_x) ** 2 for a, _ in points)


def in_words(values: Sequence[float]) -> str:
    """Figures for a sentence: three digits each."""
    return ", ".join(f"{value:.3g}" for value in values)
