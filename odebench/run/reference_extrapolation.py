"""An explicit method of high order without coefficients to copy: extrapolation of the midpoint rule."""

from __future__ import annotations

from torch import Tensor

from odebench.run.flat_problem import PackedField

COLUMNS = 7
"""Order 14."""

SEQUENCE = tuple(2 * (i + 1) for i in range(COLUMNS))
EVALUATIONS = sum(SEQUENCE) - COLUMNS + 1
"""Evaluations of the field in a step."""


def _weights(sequence: tuple[int, ...]) -> tuple[float, ...]:
    """Weights with which polynomials in h² are extrapolated to h = 0 (Lagrange's formula at 0)."""
    weights = []
    for n in sequence:
        weight = 1.0
        for other in sequence:
            if other != n:
                weight *= n * n / (n * n - other * other)
        weights.append(weight)
    return tuple(weights)


WEIGHTS = _weights(SEQUENCE)


def extrapolated_step(field: PackedField, t: float, dt: float, y: Tensor) -> Tensor:
    """One step of length dt: midpoint rules with 2, 4, … substeps, whose errors are even in h, extrapolated.

    Sums run over the increment, not the state, so that the weights (up to 20) amplify the rounding of a small number.

    Source: W. B. Gragg, "On extrapolation algorithms for ordinary initial value problems", SIAM Journal on Numerical
    Analysis 2, 1965; E. Hairer, S. P. Nørsett, G. Wanner, "Solving Ordinary Differential Equations I", section II.9.
    """
    slope = field(t, y)
    total = None
    for weight, n in zip(WEIGHTS, SEQUENCE, strict=True):
        h = dt / n
        before, here = None, h * slope
        for m in range(1, n):
            rise = (2.0 * h) * field(t + m * h, y + here)
            before, here = here, (rise if before is None else before + rise)
        total = weight * here if total is None else total + weight * here
    return y + total
