"""A decay that autograd sees through a kink."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from odebench.contract import JaxField, Model, Problem
from odebench.models.seeded import check_batch, constants, generator_of, output_times, rows_around


class ReluDecayField(nn.Module):
    """f(t, z) = -max(0, rate · z), with the rate as parameter."""

    accepts_batched_time = True

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = constants(rate)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return -torch.relu(self.rate * y)


class ReluDecay(Model):
    """z' = -max(0, 10 z), whose solution is z0 exp(-10 t) for z0 > 0, and z0 itself for z0 ≤ 0.

    Solved backwards from exp(-10), every error made near zero grows by 2e4, and one that crosses zero stays there: the
    example by which Gholami et al. show that adjoints which solve backwards lose the state. State `(batch, 1)`; row 0
    starts from 1, the others from 1 ± 0.2. Span: [0, 1].

    Source: A. Gholami, K. Keutzer, G. Biros, "ANODE: Unconditionally accurate memory-efficient gradients for neural ODEs",
    IJCAI 2019, arXiv:1902.10298.
    """

    name = "relu-decay"
    source: ClassVar[str] = "Gholami, Keutzer, Biros, ANODE, IJCAI 2019, arXiv:1902.10298"

    def __init__(self, *, rate: float = 10.0, batch: int = 16, span: float = 1.0, outputs: int = 8) -> None:
        self.rate, self.batch, self.span, self.outputs = rate, check_batch(batch), span, outputs

    def problem(self, seed: int) -> Problem:
        y0 = rows_around((1.0,), self.batch, 0.2, generator_of(seed))
        return Problem(field=ReluDecayField(self.rate), y0=y0, ts=output_times(self.span, self.outputs), exact=_exact)

    def jax_field(self) -> JaxField:
        """The field in JAX."""
        return JaxField(function=_in_jax)


def _exact(problem: Problem, t: float) -> Tensor:
    y0, rate = problem.y0, problem.field.rate
    # Where rate · z0 > 0 the field is -rate · z for all times; elsewhere it is 0 for all times.
    return torch.where(rate * y0 > 0.0, y0 * (-rate * (t - problem.ts[0])).exp(), y0)


def _in_jax(t: Any, y: Any, p: Mapping[str, Any]) -> Any:
    import jax

    return -jax.nn.relu(p["rate"] * y)
