"""Steps of Runge-Kutta methods, written from the definition for the oracle alone: float64, plain autograd, no shortcuts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from odebench.run.flat_problem import PackedField
from odebench.run.row_newton import row_jacobians, solve_by_newton

Time = float | Tensor
"""A time or a length: one for the batch, or a column `(batch, 1)`."""


class Coefficients(NamedTuple):
    """What the oracle reads from a solver's tableau, as floats: names as in `ButcherTableau`."""

    c: Sequence[float]
    a: Sequence[Sequence[float]]
    b: Sequence[float]
    dense: Sequence[Sequence[float]] | None


class StepTaken(NamedTuple):
    """A step, with what is needed to look inside it.

    Attributes:
        t, dt: its start and length.
        y0, y1: states at its ends.
        stages: the derivatives k_i.
    """

    t: Time
    dt: Time
    y0: Tensor
    y1: Tensor
    stages: list[Tensor]


def coefficients_of(solver: object) -> Coefficients | None:
    """The coefficients of a solver that is a tableau, else None. The one place that knows how tableaux are stored."""
    tableau = getattr(solver, "tableau", None)
    names = ("c_floats", "a_floats", "b_floats", "dense_floats")
    if tableau is None or not all(hasattr(tableau, name) for name in names):
        return None
    return Coefficients(*(getattr(tableau, name) for name in names))


def is_implicit(coefficients: Coefficients) -> bool:
    """Whether a stage depends on itself."""
    return any(len(row) > i and row[i] != 0.0 for i, row in enumerate(coefficients.a))


def take_step(
    coefficients: Coefficients,
    field: PackedField,
    t: Time,
    dt: Time,
    y: Tensor,
    guesses: Sequence[Tensor] | None = None,
) -> StepTaken:
    """k_i = f(t + c_i dt, y + dt Σ_j a_ij k_j), y1 = y + dt Σ_i b_i k_i.

    A stage that depends on itself is solved by Newton's method to rounding, starting from its guess, else from the stage
    before.
    """
    stages: list[Tensor] = []
    for i, (c, row) in enumerate(zip(coefficients.c, coefficients.a, strict=True)):
        time = t + c * dt
        base = _plus(y, dt, row[:i], stages)
        diagonal = row[i] if len(row) > i else 0.0
        if diagonal:
            guess = guesses[i] if guesses else stages[-1] if stages else None
            stages.append(_own_stage(field, time, dt * diagonal, base, guess))
        else:
            stages.append(field(time, base))
    return StepTaken(t, dt, y, _plus(y, dt, coefficients.b, stages), stages)


def state_inside(coefficients: Coefficients, field: PackedField, step: StepTaken, theta: Time) -> Tensor:
    """The state at t + theta·dt: by the tableau's continuous extension, else by the cubic Hermite polynomial."""
    if coefficients.dense is not None:
        total = step.y0
        for row, stage in zip(coefficients.dense, step.stages, strict=True):
            total = total + step.dt * sum(x * theta ** (n + 1) for n, x in enumerate(row)) * stage
        return total
    slope0, slope1 = field(step.t, step.y0), field(step.t + step.dt, step.y1)
    rise = step.y1 - step.y0
    bend = (1.0 - 2.0 * theta) * rise + step.dt * ((theta - 1.0) * slope0 + theta * slope1)
    return step.y0 + theta * rise + theta * (theta - 1.0) * bend


def _own_stage(field: PackedField, time: Time, length: Time, base: Tensor, guess: Tensor | None) -> Tensor:
    """k with k = f(time, base + length·k)."""

    def residual(k: Tensor) -> Tensor:
        return k - field(time, base + length * k)

    def matrix(k: Tensor) -> Tensor:
        jacobians = row_jacobians(field, time, base + length * k)
        scale = length.unsqueeze(-1) if isinstance(length, Tensor) else length
        return torch.eye(base.shape[1], dtype=base.dtype) - scale * jacobians

    if guess is None:
        with torch.no_grad():
            guess = field(time, base)
    size = guess.detach().abs().amax().clamp_min(1e-300).item() if guess.numel() else 1.0
    return solve_by_newton(residual, matrix, guess, size, f"the stage equation at t = {time!r}")


def _plus(y: Tensor, dt: Time, weights: Sequence[float], stages: Sequence[Tensor]) -> Tensor:
    for weight, stage in zip(weights, stages, strict=False):
        if weight != 0.0:
            y = y + (dt * weight) * stage
    return y
