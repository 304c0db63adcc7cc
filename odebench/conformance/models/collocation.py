"""Solutions by collocation at Gauss's points: a way that shares nothing with those that references come from.

On each segment the state's derivative is a polynomial through its values at `NODES` points, the zeros of a Legendre polynomial,
and the values at the points are found by iteration: plain where the problem is not stiff, Newton's where it is. Segments are
halved until the last coefficients of the polynomial do not count. With 12 points the order is 24, so that what remains is
rounding.

Source: E. Hairer, C. Lubich, G. Wanner, "Geometric Numerical Integration", 2nd ed., section II.1.3; for the stiff case
E. Hairer, G. Wanner, "Solving Ordinary Differential Equations II", 2nd ed., section IV.8.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from numpy.polynomial import legendre
from numpy.typing import NDArray
from torch import Tensor

from odebench.conformance.models.flat import TooMany, leaves_of, like, packed
from odebench.contract import Problem, State

Array = NDArray[np.float64]

NODES = 12
_UNSEEN = 1e-14
"""What the last coefficients may move the state by, relative to it, in a segment."""
_AT_THE_ENDS = 1e-2
"""What the polynomial misses the derivative by at the ends counts so much: it is extrapolated there, for a hundredth of the segment."""
_MOST_ITERATIONS = 50
_FEW_ITERATIONS = 16
_MOST_UNKNOWNS = 2000
_SHORTEST = 1e-13
"""A segment, relative to the span: across a kink of the field, halving ends here."""


class _Segment(NamedTuple):
    """What was found for a segment.

    Attributes:
        change: of the state.
        unseen: what the state may move besides, relative to it.
        iterations: that it took.
    """

    change: Array
    unseen: float
    iterations: int


class Rule:
    """Gauss's points on [0, 1] and what belongs to them.

    Args:
        nodes: how many.
    """

    def __init__(self, nodes: int) -> None:
        points, weights = legendre.leggauss(nodes)
        degrees = np.arange(nodes)
        values = legendre.legvander(points, nodes)
        self.c = 0.5 * (points + 1.0)
        # Values at the points to coefficients of Legendre's polynomials; these to integrals from 0 to each point, and to 1.
        self.coefficients = (degrees[:, None] + 0.5) * values[:, :nodes].T * weights
        below = np.concatenate(
            (-np.ones((nodes, 1)), values), axis=1
        )  # P(-1) stands for -1: the integral of 1 is x + 1
        integrals = 0.5 * (below[:, 2:] - below[:, :-2]) / (2.0 * degrees + 1.0)
        self.a = integrals @ self.coefficients
        self.b = 0.5 * weights

        self.ends = np.stack(((-1.0) ** degrees, np.ones(nodes))) @ self.coefficients

    @cached_property
    def inverse(self) -> Array:
        """What makes derivatives of the changes of the state at the points."""
        return np.linalg.inv(self.a)

    @cached_property
    def d(self) -> Array:
        """What makes the change to the end of the changes at the points."""
        return np.linalg.solve(self.a.T, self.b)


class Collocation:
    """Solves a problem in float64.

    Args:
        problem: its rows are solved together.
        most: evaluations of a row that are allowed.
        nodes: points in a segment.

    Attributes:
        left: how many evaluations are left; may be raised between two states.
    """

    def __init__(self, problem: Problem, most: int, nodes: int = NODES) -> None:
        self._problem, self._rule = problem, Rule(nodes)
        self.left = most
        leaves = leaves_of(problem.y0)
        self._sizes, self._shapes = [leaf.numel() for leaf in leaves], [leaf.shape for leaf in leaves]
        self._together = getattr(problem.field, "accepts_batched_time", False)
        self._dims = max(leaf.dim() for leaf in leaves)

    def solve(self, times: tuple[float, ...]) -> Iterator[Array]:
        """The packed states at `times`, one after the other; the first is y0.

        Raises:
            TooMany: the next one takes more evaluations than are left.
        """
        y, lost = packed(self._problem.y0), np.zeros(sum(self._sizes))
        yield y
        span = times[-1] - times[0]
        h = span / 64
        for t, end in itertools.pairwise(times):
            while t != end:
                left = end - t
                step = left if abs(left) <= 1.01 * abs(h) else h
                with np.errstate(all="ignore"):  # of steps that are too long, and are made shorter
                    told = self._segment(t, step, y)
                shortest = abs(step) <= _SHORTEST * abs(span)
                if told is None or not (told.unseen <= _UNSEEN or shortest):
                    if shortest:
                        raise TooMany
                    h = 0.5 * step
                    continue
                # Kahan's summation: what is lost when a small change is added is added with the next.
                change = told.change + lost
                after = y + change
                lost = change - (after - y)
                y, t = after, end if step == left else t + step
                if abs(step) >= abs(h) and told.iterations <= _FEW_ITERATIONS:
                    h *= 1.5 if told.unseen < 1e-3 * _UNSEEN else 1.15
            yield y

    def _segment(self, t: float, h: float, y: Array) -> _Segment | None:
        """One segment; None where the iteration does not end."""
        # A dense matrix of many unknowns costs more than the evaluations that are allowed.
        implicit = self._problem.stiff and len(self._rule.c) * len(y) <= _MOST_UNKNOWNS
        solved = self._implicit if implicit else self._plain
        start = self._slopes(np.array([t]), y[None])
        found = solved(t + h * self._rule.c, h, y, start)
        if found is None:
            return None
        change, slopes, iterations = found
        # Between the ends and the points next to them a kink of the field would not be seen.
        ends = np.concatenate((start, self._slopes(np.array([t + h]), (y + change)[None])))
        missed = _AT_THE_ENDS * np.abs(ends - self._rule.ends @ slopes)
        unseen = np.maximum(np.abs(self._rule.coefficients[-2:] @ slopes), missed)
        return _Segment(change, abs(h) * float(unseen.max()) / _size(y), iterations)

    def _plain(self, times: Array, h: float, y: Array, start: Array) -> tuple[Array, Array, int] | None:
        """The change of the state, the derivatives at the points, and the iterations that it took."""
        slopes, before = np.repeat(start, len(times), 0), math.inf
        for iteration in range(1, _MOST_ITERATIONS):
            fresh = self._slopes(times, y + h * (self._rule.a @ slopes))
            moved = abs(h) * float(np.abs(fresh - slopes).max()) / _size(y)
            slopes = fresh
            if not math.isfinite(moved) or (iteration > 8 and moved > 1.0):
                return None
            if moved < 1e-15 or (moved < 1e-13 and moved >= 0.5 * before):
                return h * (self._rule.b @ slopes), slopes, iteration
            before = moved
        return None

    def _implicit(self, times: Array, h: float, y: Array, start: Array) -> tuple[Array, Array, int] | None:
        """The same with Newton's iteration, whose matrix is that of the beginning of the segment."""
        nodes, width = len(times), len(y)
        matrix = np.eye(nodes * width) - h * np.kron(self._rule.a, self._jacobian(times[0], y))
        changes, before = np.zeros((nodes, width)), math.inf
        for iteration in range(1, _MOST_ITERATIONS):
            slopes = self._slopes(times, y + changes)
            residual = h * (self._rule.a @ slopes) - changes
            try:
                correction = np.linalg.solve(matrix, residual.reshape(-1)).reshape(nodes, width)
            except np.linalg.LinAlgError:
                return None
            changes = changes + correction
            moved = float((np.abs(correction) / np.maximum(np.abs(y), 1e-9 * _size(y))).max())
            if not math.isfinite(moved) or (iteration > 3 and moved > 2 * before and moved > 1e-10):
                return None
            if moved < 1e-15 or (moved < 1e-12 and moved >= 0.5 * before):
                # From the changes and not from the slopes, which a stiff field makes of them with all their rounding.
                return self._rule.d @ changes, self._rule.inverse @ changes / h, iteration
            before = moved
        return None

    def _slopes(self, times: Array, states: Array) -> Array:
        """The field at as many times, each with its state."""
        self.left -= len(times)
        if self.left < 0:
            raise TooMany
        if not self._together:
            return np.stack(
                [packed(self._slope(torch.tensor(t), self._state(y))) for t, y in zip(times, states, strict=True)]
            )
        rows = self._shapes[0][0]
        column = torch.from_numpy(times).repeat_interleave(rows).reshape(-1, *[1] * (self._dims - 1))
        stacked = [
            part.reshape(len(times) * rows, *shape[1:])
            for part, shape in zip(torch.from_numpy(states).split(self._sizes, dim=1), self._shapes, strict=True)
        ]
        found = leaves_of(self._slope(column, like(self._problem.y0, tuple(stacked))))
        return torch.cat([leaf.reshape(len(times), -1) for leaf in found], 1).numpy()

    def _slope(self, t: Tensor, y: State) -> State:
        with torch.no_grad():
            return self._problem.field(t, y)

    def _state(self, y: Array) -> State:
        parts = torch.from_numpy(np.array(y)).split(self._sizes)
        return like(self._problem.y0, tuple(p.reshape(s) for p, s in zip(parts, self._shapes, strict=True)))

    def _jacobian(self, t: float, y: Array) -> Array:
        def flat(state: Tensor) -> Tensor:
            parts = state.split(self._sizes)
            state = like(self._problem.y0, tuple(p.reshape(s) for p, s in zip(parts, self._shapes, strict=True)))
            return torch.cat([x.reshape(-1) for x in leaves_of(self._problem.field(torch.tensor(t), state))])

        return torch.autograd.functional.jacobian(flat, torch.from_numpy(y)).numpy()


def _size(y: Array) -> float:
    return max(float(np.abs(y).max()), 1e-300)
