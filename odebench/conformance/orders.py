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


def observed_order(errors: Sequence[float], size: float) -> float | None:
    """Median of the three finest of at least three consecutive slopes whose errors lie in the window; None without those.

    Args:
        errors: of twice as many steps each, coarsest first.
        size: norm of the solution.
    """
    low, high = window(size)
    best: list[float] = []
    run: list[float] = []
    for coarse, fine in itertools.pairwise(errors):
        inside = low <= fine <= high and low <= coarse <= high
        run = [*run, math.log2(coarse / fine)] if inside else []
        best = run if len(run) >= 3 else best
    return sorted(best[-3:])[1] if best else None


def fitted_slope(x: Sequence[float], y: Sequence[float]) -> float:
    """Slope of the least-squares line through the points (log x, log y)."""
    points = [(math.log(a), math.log(b)) for a, b in zip(x, y, strict=True)]
    mean_x, mean_y = (sum(values) / len(points) for values in zip(*points, strict=True))
    along = sum((a - mean_x) * (b - mean_y) for a, b in points)
    return along / sum((a - mean_x) ** 2 for a, _ in points)


def in_words(values: Sequence[float]) -> str:
    """Figures for a sentence: three digits each."""
    return ", ".join(f"{value:.3g}" for value in values)
