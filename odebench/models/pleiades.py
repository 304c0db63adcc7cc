"""The Pleiades: seven stars in a plane."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from odebench.contract import JaxField, Model, Problem
from odebench.models.seeded import check_batch, constants, generator_of, output_times, rows_around

STARS = 7
START = (
    *(3.0, 3.0, -1.0, -3.0, 2.0, -2.0, 2.0),
    *(3.0, -3.0, 2.0, 0.0, 0.0, -4.0, 4.0),
    *(0.0, 0.0, 0.0, 0.0, 0.0, 1.75, -1.5),
    *(0.0, 0.0, 0.0, -1.25, 1.0, 0.0, 0.0),
)
"""Initial state of the literature: x, y, x', y' of the seven stars, one after the other."""


class PleiadesField(nn.Module):
    """The plane's gravity: x_i'' = Σ_{j≠i} m_j (x_j - x_i) / r_ij³, likewise y, with the masses as parameters."""

    accepts_batched_time = True

    def __init__(self) -> None:
        super().__init__()
        self.masses = constants(*map(float, range(1, STARS + 1)))
        # A star's distance to itself is made 1, so that the division gives the 0 that its zero difference stands for.
        self.register_buffer("self_distance", torch.eye(STARS, dtype=torch.float64))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        positions, velocities = y.unflatten(-1, (2, 2, STARS)).unbind(-3)
        differences = positions.unsqueeze(-2) - positions.unsqueeze(-1)
        squares = differences.square().sum(-3) + self.self_distance
        pulls = self.masses / (squares * squares.sqrt())
        accelerations = (differences * pulls.unsqueeze(-3)).sum(-1)
        return torch.cat((velocities.flatten(-2), accelerations.flatten(-2)), -1)


class Pleiades(Model):
    """Seven stars of masses 1 to 7 in a plane, with quasi-collisions near t = 1.23 and t = 1.68.

    State `(batch, 28)`: x, y, x', y' of the seven. Energy, momentum and angular momentum are conserved. Row 0 is the
    problem of the literature; the others have positions and velocities changed by about 1e-3. Span: [0, 3].

    Source: E. Hairer, S. P. Nørsett, G. Wanner, "Solving Ordinary Differential Equations I", 2nd ed., section II.10;
    F. Mazzia, C. Magherini, "Test Set for Initial Value Problem Solvers", 2008, problem PLEI.
    """

    name = "pleiades"
    source: ClassVar[str] = "Hairer, Nørsett, Wanner, Solving ODEs I, section II.10; Test Set for IVP Solvers, PLEI"

    def __init__(self, *, batch: int = 1, span: float = 3.0, outputs: int = 8) -> None:
        self.batch, self.span, self.outputs = check_batch(batch), span, outputs

    def problem(self, seed: int) -> Problem:
        y0 = rows_around(START, self.batch, 1e-3, generator_of(seed))
        return Problem(field=PleiadesField(), y0=y0, ts=output_times(self.span, self.outputs))

    def jax_field(self) -> JaxField:
        """The field in JAX."""
        return JaxField(function=_in_jax)


def _in_jax(t: Any, y: Any, p: Mapping[str, Any]) -> Any:
    import jax.numpy as jnp

    states = y.reshape(*y.shape[:-1], 2, 2, STARS)
    positions, velocities = states[..., 0, :, :], states[..., 1, :, :]
    differences = positions[..., None, :] - positions[..., :, None]
    squares = jnp.square(differences).sum(-3) + p["self_distance"]
    pulls = p["masses"] / (squares * jnp.sqrt(squares))
    accelerations = (differences * pulls[..., None, :, :]).sum(-1)
    flat = (*y.shape[:-1], 2 * STARS)
    return jnp.concatenate((velocities.reshape(flat), accelerations.reshape(flat)), -1)
