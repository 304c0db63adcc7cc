"""States inside a step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

Terms = tuple[tuple[int, float], ...]
"""The terms of a sum over stages that are not zero: index of the stage, coefficient."""


def weighted_sum(y: Tensor, derivatives: Sequence[Tensor], dt: float | Tensor, terms: Terms) -> Tensor:
    """y + dt·Σ coefficient·derivatives[index]; a new tensor unless there are no terms.

    One fresh tensor and a chain of in-place sums: measured faster than `addmv`, `foreach` and plain expressions. No sum
    saves its arguments for a backward, so the same chain serves with a graph and without, and gives the same bits.

    Args:
        dt: a float, or a tensor that holds one length for each row, `(batch, 1, …, 1)`.
    """
    if not terms:
        return y
    index, coefficient = terms[0]
    if type(dt) is float:
        total = torch.add(y, derivatives[index], alpha=dt * coefficient)
        for index, coefficient in terms[1:]:
            total.add_(derivatives[index], alpha=dt * coefficient)
        return total
    total = torch.addcmul(y, derivatives[index], dt, value=coefficient)
    for index, coefficient in terms[1:]:
        total = total.addcmul(derivatives[index], dt, value=coefficient)
    return total


def nonzero_terms(row: Sequence[float]) -> Terms:
    """The terms of a row of coefficients."""
    return tuple((index, value) for index, value in enumerate(row) if value != 0.0)


class Hermite(NamedTuple):
    """The cubic polynomial through both ends of a step, with their slopes: order 3.

    Source: E. Hairer, S. P. Nørsett, G. Wanner, "Solving ODEs I", 2nd ed., equation II.6.7.

    Attributes:
        y0, y1: states at the ends.
        k0, k1: derivatives there.
        dt: signed length of the step.
    """

    y0: Tensor
    y1: Tensor
    k0: Tensor
    k1: Tensor
    dt: float | Tensor

    def at(self, theta: float | Tensor) -> Tensor:
        """The state at the share `theta` of the step; a tensor gives one for each row, `(batch, 1, …, 1)`."""
        s = 1.0 - theta
        if isinstance(theta, Tensor):
            ends = s * s * (1.0 + 2.0 * theta) * self.y0 + theta * theta * (3.0 - 2.0 * theta) * self.y1
            return ends + theta * s * self.dt * (s * self.k0 - theta * self.k1)
        total = torch.mul(self.y0, s * s * (1.0 + 2.0 * theta))
        total.add_(self.y1, alpha=theta * theta * (3.0 - 2.0 * theta))
        total.add_(self.k0, alpha=theta * s * s * self.dt)
        return total.add_(self.k1, alpha=-theta * theta * s * self.dt)


class StagePolynomial(NamedTuple):
    """The continuous extension y + dt·Σ b_i(θ)·k_i of a Runge-Kutta method.

    Attributes:
        y0: state at the start.
        stages: derivatives k_i.
        rows: for each stage the coefficients of θ, θ², … in b_i(θ).
        dt: signed length of the step.
    """

    y0: Tensor
    stages: Sequence[Tensor]
    rows: tuple[tuple[float, ...], ...]
    dt: float | Tensor

    def at(self, theta: float | Tensor) -> Tensor:
        """The state at the share `theta` of the step; a tensor gives one for each row, `(batch, 1, …, 1)`."""
        weights = []
        for row in self.rows:
            value = 0.0
            for coefficient in reversed(row):
                value = (value + coefficient) * theta
            weights.append(value)
        if isinstance(theta, Tensor):
            return self.y0 + self.dt * sum(weight * stage for weight, stage in zip(weights, self.stages, strict=True))
        return weighted_sum(self.y0, self.stages, self.dt, nonzero_terms(weights))
