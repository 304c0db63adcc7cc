"""Arenstorf's orbit of the restricted three-body problem."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from odebench.contract import JaxField, Model, Problem
from odebench.models.seeded import check_batch, constants, generator_of, output_times, rows_around

MU = 0.012277471
PERIOD = 17.0652165601579625588917206249
START = (0.994, 0.0, 0.0, -2.00158510637908252240537862224)
"""Position and velocity at the start of the periodic orbit."""


class ArenstorfField(nn.Module):
    """A satellite under earth (mass 1 - mu) and moon (mass mu) in their rotating frame, with mu as parameter.

    x'' = x + 2 y' - (1 - mu) (x + mu)/D1 - mu (x - (1 - mu))/D2, D1 = ((x + mu)² + y²)^{3/2},
    y'' = y - 2 x' - (1 - mu) y/D1 - mu y/D2,                     D2 = ((x - (1 - mu))² + y²)^{3/2}.
    """

    accepts_batched_time = True

    def __init__(self, mu: float) -> None:
        super().__init__()
        self.mu = constants(mu)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        x, height, vx, vy = y.unbind(-1)
        rest = 1.0 - self.mu
        to_earth, to_moon = x + self.mu, x - rest
        square = height * height
        earth, moon = to_earth * to_earth + square, to_moon * to_moon + square
        earth, moon = rest / (earth * earth.sqrt()), self.mu / (moon * moon.sqrt())
        return torch.stack(
            (vx, vy, x + 2.0 * vy - earth * to_earth - moon * to_moon, height - 2.0 * vx - (earth + moon) * height), -1
        )


class Arenstorf(Model):
    """A periodic orbit around earth and moon, for step-size control: it passes close to the moon.

    State `(batch, 4)`: x, y, x', y'. Jacobi's constant is conserved. Row 0 is the orbit of the literature, which returns
    to its start after the period 17.0652165601579625588917206249; the other rows have a velocity changed by about 1e-4,
    and their orbits do not close. Span: [0, that period]. Perturbations of the start grow by about 1e4 over a period, so few digits survive in float32.

    Source: R. F. Arenstorf, "Periodic solutions of the restricted three body problem representing analytic continuations of
    Keplerian elliptic motions", American Journal of Mathematics 85, 1963; constants of E. Hairer, S. P. Nørsett,
    G. Wanner, "Solving Ordinary Differential Equations I", 2nd ed., section II.0.
    """

    name = "arenstorf"
    source: ClassVar[str] = "Arenstorf 1963; Hairer, Nørsett, Wanner, Solving ODEs I, section II.0"

    def __init__(self, *, mu: float = MU, batch: int = 1, span: float = PERIOD, outputs: int = 8) -> None:
        self.mu, self.batch, self.span, self.outputs = mu, check_batch(batch), span, outputs

    def problem(self, seed: int) -> Problem:
        y0 = rows_around(START, self.batch, 1e-4, generator_of(seed))
        y0[:, 0] = START[0]
        return Problem(field=ArenstorfField(self.mu), y0=y0, ts=output_times(self.span, self.outputs))

    def jax_field(self) -> JaxField:
        """The field in JAX."""
        return JaxField(function=_in_jax)


def _in_jax(t: Any, y: Any, p: Mapping[str, Any]) -> Any:
    import jax.numpy as jnp

    x, height, vx, vy = (y[..., i] for i in range(4))
    rest = 1.0 - p["mu"]
    to_earth, to_moon = x + p["mu"], x - rest
    square = height * height
    earth, moon = to_earth * to_earth + square, to_moon * to_moon + square
    earth, moon = rest / (earth * jnp.sqrt(earth)), p["mu"] / (moon * jnp.sqrt(moon))
    ax = x + 2.0 * vy - earth * to_earth - moon * to_moon
    return jnp.stack((vx, vy, ax, height - 2.0 * vx - (earth + moon) * height), -1)
