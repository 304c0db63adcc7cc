"""Predators and prey."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from odebench.contract import JaxField, Model, Problem
from odebench.models.seeded import check_batch, constants, generator_of, output_times, rows_around


class LotkaVolterraField(nn.Module):
    """f(t, (x, y)) = (a x - b x y, d x y - c y).

    Parameters: growth = (a, -c) and interaction = (-b, d), so that f = s · (growth + interaction · s reversed), which is
    three operations instead of nine.
    """

    accepts_batched_time = True

    def __init__(self, a: float, b: float, c: float, d: float) -> None:
        super().__init__()
        self.growth = constants(a, -c)
        self.interaction = constants(-b, d)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return y * torch.addcmul(self.growth, self.interaction, y.flip(-1))


class LotkaVolterra(Model):
    """x' = a x - b x y, y' = d x y - c y: prey x and predators y.

    Solutions are closed orbits: d x - c log x + b y - a log y is conserved. State `(batch, 2)`; row 0 starts from (1, 1),
    the others within some 10 % of it. Span: [0, 10], about three periods.

    Source: A. J. Lotka, "Elements of Physical Biology", 1925; V. Volterra, "Fluctuations in the abundance of a species
    considered mathematically", Nature 118, 1926, doi:10.1038/118558a0. Constants, initial state and span are those of
    C. Rackauckas et al., "Universal differential equations for scientific machine learning", arXiv:2001.04385, and of the
    examples of DifferentialEquations.jl: (a, b, c, d) = (1.5, 1, 3, 1).
    """

    name = "lotka-volterra"
    source: ClassVar[str] = "Lotka 1925; Volterra, Nature 118, 1926; constants of DifferentialEquations.jl's examples"

    def __init__(
        self,
        *,
        a: float = 1.5,
        b: float = 1.0,
        c: float = 3.0,
        d: float = 1.0,
        batch: int = 64,
        span: float = 10.0,
        outputs: int = 8,
    ) -> None:
        self.a, self.b, self.c, self.d = a, b, c, d
        self.batch, self.span, self.outputs = check_batch(batch), span, outputs

    def problem(self, seed: int) -> Problem:
        y0 = rows_around((1.0, 1.0), self.batch, 0.1, generator_of(seed))
        field = LotkaVolterraField(self.a, self.b, self.c, self.d)
        return Problem(field=field, y0=y0, ts=output_times(self.span, self.outputs))

    def jax_field(self) -> JaxField:
        """The field in JAX."""
        return JaxField(function=_in_jax)


def _in_jax(t: Any, y: Any, p: Mapping[str, Any]) -> Any:
    import jax.numpy as jnp

    return y * (p["growth"] + p["interaction"] * jnp.flip(y, -1))
