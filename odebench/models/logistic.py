"""Logistic growth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from odebench.contract import JaxField, Model, Problem
from odebench.models.seeded import check_batch, constants, generator_of, output_times


class LogisticField(nn.Module):
    """f(t, y) = r y (1 - y/K), with r and K as parameters."""

    accepts_batched_time = True

    def __init__(self, rate: float, capacity: float) -> None:
        super().__init__()
        self.rate = constants(rate)
        self.capacity = constants(capacity)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return self.rate * y * (1.0 - y / self.capacity)


class Logistic(Model):
    """y' = r y (1 - y/K), solved by y(t) = K y0 / (y0 + (K - y0) exp(-r t)).

    The simplest non-linear problem with a closed form. State `(batch, 1)`; rows start between 0.1 K and 0.6 K, row 0 at
    0.1 K. Span: [0, 5], which takes row 0 from 0.1 K to 0.94 K.

    Source: P.-F. Verhulst, "Notice sur la loi que la population suit dans son accroissement", Correspondance mathématique
    et physique 10, 1838, pages 113-121.
    """

    name = "logistic"
    source: ClassVar[str] = "Verhulst, Correspondance mathématique et physique 10, 1838"

    def __init__(
        self, *, rate: float = 1.0, capacity: float = 1.0, batch: int = 64, span: float = 5.0, outputs: int = 8
    ) -> None:
        self.rate, self.capacity = rate, capacity
        self.batch, self.span, self.outputs = check_batch(batch), span, outputs

    def problem(self, seed: int) -> Problem:
        share = 0.1 + 0.5 * torch.rand(self.batch, 1, generator=generator_of(seed), dtype=torch.float64)
        if self.batch:
            share[0] = 0.1
        field = LogisticField(self.rate, self.capacity)
        return Problem(field=field, y0=self.capacity * share, ts=output_times(self.span, self.outputs), exact=_exact)

    def jax_field(self) -> JaxField:
        """The field in JAX."""
        return JaxField(function=_in_jax)


def _exact(problem: Problem, t: float) -> Tensor:
    field, y0 = problem.field, problem.y0
    decay = (-field.rate * (t - problem.ts[0])).exp()
    return field.capacity * y0 / (y0 + (field.capacity - y0) * decay)


def _in_jax(t: Any, y: Any, p: Mapping[str, Any]) -> Any:
    return p["rate"] * y * (1.0 - y / p["capacity"])
