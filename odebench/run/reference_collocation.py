"""An implicit method of high order: Radau IIA with five stages, its coefficients computed, not copied."""

from __future__ import annotations

import functools

import numpy as np
import torch
from scipy.special import roots_jacobi
from torch import Tensor

from odebench.run.flat_problem import PackedField
from odebench.run.row_newton import row_jacobians, solve_by_newton

STAGES = 5
"""Order 9."""

EVALUATIONS = 5 * STAGES * 2
"""Evaluations of the field in a step, about: five Newton steps with their Jacobians."""


@functools.cache
def radau_coefficients(stages: int = STAGES) -> tuple[Tensor, Tensor]:
    """Nodes c and matrix A of Radau IIA: collocation at the zeros of P_{s-1}^{(1,0)} and at 1, in float64.

    Source: E. Hairer, G. Wanner, "Solving Ordinary Differential Equations II", 2nd ed., section IV.5.
    """
    inner, _ = roots_jacobi(stages - 1, 1.0, 0.0)
    c = np.append((np.sort(inner) + 1.0) / 2.0, 1.0)
    powers = np.arange(stages)
    # Row i of A integrates the Lagrange polynomials from 0 to c_i: A V = [c_i^{k+1} / (k+1)] with V = [c_j^k].
    a = np.linalg.solve((c[:, None] ** powers).T, (c[:, None] ** (powers + 1) / (powers + 1)).T).T
    return torch.from_numpy(c), torch.from_numpy(np.ascontiguousarray(a))


def radau_step(field: PackedField, t: float, dt: float, y: Tensor) -> Tensor:
    """One step of length dt, for a field whose rows do not interact.

    Newton's method solves for the increments Z_i = dt Σ_j a_ij f(t + c_j dt, y + Z_j).

    Raises:
        NotKnownError: it does not converge, so the step is too long.
    """
    c, a = radau_coefficients()
    times = (t + dt * c).tolist()
    dta = dt * a
    size = STAGES * y.shape[1]

    def residual(z: Tensor) -> Tensor:
        slopes = torch.stack([field(time, y + z[:, i]) for i, time in enumerate(times)], dim=1)
        return z - torch.einsum("ij,bjw->biw", dta, slopes)

    def matrix(z: Tensor) -> Tensor:
        jacobians = torch.stack([row_jacobians(field, time, y + z[:, i]) for i, time in enumerate(times)], dim=1)
        return torch.eye(size, dtype=y.dtype) - torch.einsum("ij,bjvw->bivjw", dta, jacobians).reshape(-1, size, size)

    guess = torch.zeros(y.shape[0], STAGES, y.shape[1], dtype=y.dtype)
    scale = y.detach().abs().amax().clamp_min(1e-300).item()
    z = solve_by_newton(residual, matrix, guess, scale, f"a collocation step from t = {t!r}, dt = {dt!r}")
    return y + z[:, -1]
