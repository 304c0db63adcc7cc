"""Can planes tell classes of points apart? Decided by a linear program, and checked against every point."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import coo_array

from odebench.errors import NotKnownError

_FEASIBILITY = 1e-10
"""How exactly the programs are solved: the least that HiGHS takes."""

_ROUNDING = 1e-12
"""A plane that is right by less than this is not trusted to be right at all."""


def separation_margin(points: np.ndarray, classes: np.ndarray) -> float:
    """By how much a linear function for each class, the largest of which decides, can be right on all points.

    How far every coordinate of every point could move without a point being taken for another class, relative to the largest
    distance of a coordinate from its mean; 0.0 where no such functions are right on all points. For two classes it is half
    the width, in the maximum norm, of the widest gap between them.

    Maximises m subject to (w_c - w_k)·x + b_c - b_k >= m for each point x of class c and every other class k, and to
    Σ |w| <= 1. Where that m is lost in the spread of the points, a second program asks for the signs alone: each inequality
    is divided by the size of its point, so that points near and far count the same; its m is a margin, if not the largest.
    Either solution is checked against the points themselves, so that a margin above 0 rests on no tolerance of the programs.

    Args:
        points: `(points, dimension)`.
        classes: `(points,)` whole numbers.

    Raises:
        NotKnownError: a point is not finite, there are fewer than two classes, or a program could not be solved.
    """
    points = np.asarray(points, dtype=np.float64)
    names, classes = np.unique(np.asarray(classes), return_inverse=True)
    if not np.isfinite(points).all():
        raise NotKnownError("A point is not finite, so nothing separates it.")
    if len(names) < 2:
        raise NotKnownError("All points are of one class, so there is nothing to separate.")
    points = points / (
        np.abs(points).max(initial=0.0) or 1.0
    )  # first: the difference of two large numbers can overflow
    centered = points - points.mean(axis=0)
    spread = np.abs(centered).max(initial=0.0) or 1.0
    margin = _margin(centered / spread, np.ones(len(points)), classes, len(names), bounded=False)
    if margin > 0.0:
        return margin
    sizes = np.abs(points).max(axis=1, initial=0.0)
    nearest = sizes[sizes > 0.0].min(initial=1.0)
    sizes = np.maximum(sizes, nearest)
    margin = _margin(points / sizes[:, None], nearest / sizes, classes, len(names), bounded=True)
    # Of the least point, at least: the inequalities of the others were divided by more.
    return float(margin * nearest / spread)


def _margin(points: np.ndarray, ones: np.ndarray, classes: np.ndarray, kinds: int, *, bounded: bool) -> float:
    """The margin of the best functions, for normals that sum up to 1; 0.0 where it is rounding."""
    normals, offsets = _solved(points, ones, classes, kinds, bounded=bounded)
    values, rows = points @ normals.T + np.outer(ones, offsets), np.arange(len(points))
    own = values[rows, classes]
    values[rows, classes] = -np.inf
    size = np.abs(normals).sum()
    margin = (own - values.max(axis=1)).min() / size if size > 0.0 else 0.0
    return float(margin) if margin > _ROUNDING else 0.0


def _solved(
    points: np.ndarray, ones: np.ndarray, classes: np.ndarray, kinds: int, *, bounded: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Normals and offsets of the best functions.

    The unknowns: the positive parts of all normals, their negative parts, the offsets, and the margin.

    Args:
        points, ones: what normals and offsets are multiplied by.
        classes: from 0 on.
        kinds: how many classes there are.
        bounded: offsets and margin lie between -1 and 1.
    """
    dimension = points.shape[1]
    size = kinds * dimension
    # One row for each point and each class that it is not of: (w_k - w_c)·x + b_k - b_c + m <= 0.
    who, other = np.nonzero(classes[:, None] != np.arange(kinds)[None, :])
    rows = np.arange(len(who))
    entries = []
    for kind, sign in ((other, 1.0), (classes[who], -1.0)):
        columns = kind[:, None] * dimension + np.arange(dimension)
        wide = np.repeat(rows, dimension)
        entries.append((wide, columns.ravel(), sign * points[who].ravel()))
        entries.append((wide, size + columns.ravel(), -sign * points[who].ravel()))
        entries.append((rows, 2 * size + kind, sign * ones[who]))
    entries.append((rows, np.full(len(rows), 2 * size + kinds), np.ones(len(rows))))
    entries.append((np.full(2 * size, len(rows)), np.arange(2 * size), np.ones(2 * size)))
    row, column, value = (np.concatenate(parts) for parts in zip(*entries, strict=True))
    unknowns = 2 * size + kinds + 1
    free = (-1.0, 1.0) if bounded else (None, None)
    found = linprog(
        -np.eye(1, unknowns, unknowns - 1).ravel(),
        A_ub=coo_array((value, (row, column)), shape=(len(rows) + 1, unknowns)).tocsr(),
        b_ub=np.append(np.zeros(len(rows)), 1.0),
        bounds=[(0.0, None)] * (2 * size) + [free] * (kinds + 1),
        method="highs",
        options={"primal_feasibility_tolerance": _FEASIBILITY, "dual_feasibility_tolerance": _FEASIBILITY},
    )
    if not found.success:
        raise NotKnownError(f"The linear program was not solved: {found.message}")
    normals = (found.x[:size] - found.x[size : 2 * size]).reshape(kinds, dimension)
    return normals, found.x[2 * size : 2 * size + kinds]
