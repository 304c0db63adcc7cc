"""The harmonic oscillator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from odebench.contract import JaxField, Model, Problem
from odebench.models.seeded import check_batch, constants, generator_of, output_times, rows_around


class HarmonicField(nn.Module):
    """f(t, (x, v)) = (v, -ω² x), with ω as parameter."""

    accepts_batched_time = True

    def __init__(self, omega: float) -> None:
        super().__init__()
        self.omega = constants(omega)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        x, v = y.unbind(-1)
        return torch.stack((v, -self.omega.square() * x), -1)


class HarmonicOscillator(Model):
    """x'' = -ω² x as a system for (x, v); solved by sines and cosines.

    The energy (v² + ω² x²)/2 is conserved, which most Runge-Kutta methods do not do. State `(batch, 2)`, row 0 starts
    from (1, 0); the others from x, v of order 1. Span: [0, 10], a little more than one and a half periods at ω = 1.

    Source: E. Hairer, C. Lubich, G. Wanner, "Geometric Numerical Integration", 2nd ed., section I.1.
    """

    name = "harmonic-oscillator"
    source: ClassVar[str] = "Hairer, Lubich, Wanner, Geometric Numerical Integration, section I.1"

    def __init__(self, *, omega: float = 1.0, batch: int = 64, span: float = 10.0, outputs: int = 8) -> None:
        self.omega, self.batch, self.span, self.outputs = omega, check_batch(batch), span, outputs

    def problem(self, seed: int) -> Problem:
        y0 = rows_around((1.0, 1.0), self.batch, 0.5, generator_of(seed))
        if self.batch:
            y0[0, 1] = 0.0
        field = HarmonicField(self.omega)
        return Problem(field=field, y0=y0, ts=output_times(self.span, self.outputs), exact=_exact)

    def jax_field(self) -> JaxField:
        """The field in JAX."""
        return JaxField(function=_in_jax)


def _exact(problem: Problem, t: float) -> Tensor:
    omega = problem.field.omega
    x, v = problem.y0.unbind(-1)
    angle = omega * (t - problem.ts[0])
    sine, cosine = angle.sin(), angle.cos()
    return torch.stack((x * cosine + v * sine / omega, v * cosine - x * omega * sine), -1)


def _in_jax(t: Any, y: Any, p: Mapping[str, Any]) -> Any:
    import jax.numpy as jnp

    x, v = y[..., 0], y[..., 1]
    return jnp.stack((v, -jnp.square(p["omega"]) * x), -1)
