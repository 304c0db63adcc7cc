"""A random layer of rectified linear units."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from odebench.contract import JaxField, Model, Problem
from odebench.models.piecewise_linear import piecewise_linear_flow
from odebench.models.seeded import check_batch, generator_of, normal, output_times


class GaussianReluField(nn.Module):
    """f(t, z) = max(0, W z), with W as parameter."""

    accepts_batched_time = True

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return torch.relu(linear(y, self.weight))


class GaussianRelu(Model):
    """z' = max(0, W z) with W of n × n standard normal entries and z0 standard normal.

    ‖W‖ is about 2 √n, so the Lipschitz constant, and with it what a backward solve loses, grows with `dim`; at about
    n = 100 a round trip fails. `normalised=True` divides W by its spectral norm, which cures it; `scale` multiplies it after
    that. State `(batch, dim)`. Span: [0, 1].

    The right-hand side has a kink in every unit, which limits methods of high order. Between kinks it is linear, so there
    is a closed form in pieces.

    Source: A. Gholami, K. Keutzer, G. Biros, "ANODE: Unconditionally accurate memory-efficient gradients for neural ODEs",
    IJCAI 2019, arXiv:1902.10298.
    """

    name = "gaussian-relu"
    source: ClassVar[str] = "Gholami, Keutzer, Biros, ANODE, IJCAI 2019, arXiv:1902.10298"

    def __init__(
        self,
        *,
        dim: int = 100,
        normalised: bool = False,
        scale: float = 1.0,
        batch: int = 4,
        span: float = 1.0,
        outputs: int = 8,
    ) -> None:
        self.dim, self.normalised, self.scale = dim, normalised, scale
        self.batch, self.span, self.outputs = check_batch(batch), span, outputs

    def problem(self, seed: int) -> Problem:
        generator = generator_of(seed)
        weight = normal(generator, self.dim, self.dim)
        if self.normalised:
            weight = weight / torch.linalg.matrix_norm(weight, 2)
        y0 = normal(generator, self.batch, self.dim)
        return Problem(
            field=GaussianReluField(self.scale * weight), y0=y0, ts=output_times(self.span, self.outputs), exact=_exact
        )

    def jax_field(self) -> JaxField:
        """The field in JAX."""
        return JaxField(function=_in_jax)


def _exact(problem: Problem, t: float) -> Tensor:
    weight = problem.field.weight
    return piecewise_linear_flow(lambda z: linear(z, weight), 0.0, problem.y0, t - problem.ts[0])


def _in_jax(t: Any, y: Any, p: Mapping[str, Any]) -> Any:
    import jax

    return jax.nn.relu(y @ p["weight"].T)
