"""The Lorenz attractor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from odebench.contract import JaxField, Model, Problem
from odebench.models.seeded import check_batch, constants, generator_of, output_times, rows_around


class LorenzField(nn.Module):
    """f(t, (x, y, z)) = (σ (y - x), x (ρ - z) - y, x y - β z), with σ, ρ, β as parameters."""

    accepts_batched_time = True

    def __init__(self, sigma: float, rho: float, beta: float) -> None:
        super().__init__()
        self.sigma = constants(sigma)
        self.rho = constants(rho)
        self.beta = constants(beta)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        a, b, c = y.unbind(-1)
        return torch.stack((self.sigma * (b - a), a * (self.rho - c) - b, a * b - self.beta * c), -1)


class Lorenz(Model):
    """x' = σ (y - x), y' = x (ρ - z) - y, z' = x y - β z: chaos.

    Errors grow like exp(0.9 t), so gradients over long spans mean little. Span: [0, 2], short enough to keep them
    tame. State `(batch, 3)`; row 0 starts from (-8, 8, 27), which lies near the attractor, the others within some 5 % of it.

    Source: E. N. Lorenz, "Deterministic nonperiodic flow", Journal of the Atmospheric Sciences 20, 1963,
    doi:10.1175/1520-0469(1963)020<0130:DNF>2.0.CO;2; initial state of E. Hairer, S. P. Nørsett, G. Wanner, "Solving
    Ordinary Differential Equations I", 2nd ed., section I.16.
    """

    name = "lorenz"
    source: ClassVar[str] = "Lorenz, J. Atmos. Sci. 20, 1963; Hairer, Nørsett, Wanner, Solving ODEs I, section I.16"

    def __init__(
        self,
        *,
        sigma: float = 10.0,
        rho: float = 28.0,
        beta: float = 8.0 / 3.0,
        batch: int = 16,
        span: float = 2.0,
        outputs: int = 8,
    ) -> None:
        self.sigma, self.rho, self.beta = sigma, rho, beta
        self.batch, self.span, self.outputs = check_batch(batch), span, outputs

    def problem(self, seed: int) -> Problem:
        y0 = rows_around((-8.0, 8.0, 27.0), self.batch, 0.05, generator_of(seed))
        field = LorenzField(self.sigma, self.rho, self.beta)
        return Problem(field=field, y0=y0, ts=output_times(self.span, self.outputs))

    def jax_field(self) -> JaxField:
        """The field in JAX."""
        return JaxField(function=_in_jax)


def _in_jax(t: Any, y: Any, p: Mapping[str, Any]) -> Any:
    import jax.numpy as jnp

    a, b, c = y[..., 0], y[..., 1], y[..., 2]
    return jnp.stack((p["sigma"] * (b - a), a * (p["rho"] - c) - b, a * b - p["beta"] * c), -1)
