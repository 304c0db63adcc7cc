"""Robertson's chemical reaction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from odebench.contract import JaxField, Model, Problem
from odebench.models.seeded import check_batch, constants, generator_of, output_times, rows_around


class RobertsonField(nn.Module):
    """f(t, (a, b, c)) = (k3 b c - k1 a, k1 a - k3 b c - k2 b², k2 b²), with k1, k2, k3 as parameters."""

    accepts_batched_time = True

    def __init__(self, k1: float, k2: float, k3: float) -> None:
        super().__init__()
        self.k1 = constants(k1)
        self.k2 = constants(k2)
        self.k3 = constants(k3)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        a, b, c = y.unbind(-1)
        slow = self.k1 * a
        fast = self.k2 * b * b
        back = self.k3 * b * c
        return torch.stack((back - slow, slow - back - fast, fast), -1)


class Robertson(Model):
    """Three reactions with rates 0.04, 3e7 and 1e4: the classic of stiff problems.

    a → b (k1), 2 b → b + c (k2), b + c → a + c (k3); the sum a + b + c is conserved. The middle component stays below
    4e-5, with an initial layer of about 1e-3. State `(batch, 3)`; row 0 starts from (1, 0, 0), the others from a within
    some 5 % of 1. Span: [0, 40], the first that Hindmarsh's programs print to; the test set for IVP solvers goes on to
    1e11 (`span=1e11`). No explicit method gets far.

    Source: H. H. Robertson, "The solution of a set of reaction rate equations", in J. Walsh (ed.), "Numerical Analysis: An
    Introduction", 1966; E. Hairer, G. Wanner, "Solving Ordinary Differential Equations II", equation IV.1.4; F. Mazzia,
    C. Magherini, "Test Set for Initial Value Problem Solvers", 2008, problem ROBER.
    """

    name = "robertson"
    source: ClassVar[str] = "Robertson 1966; Hairer, Wanner, Solving ODEs II, equation IV.1.4; Test Set for IVP Solvers"

    def __init__(
        self,
        *,
        k1: float = 0.04,
        k2: float = 3e7,
        k3: float = 1e4,
        batch: int = 4,
        span: float = 40.0,
        outputs: int = 8,
    ) -> None:
        self.k1, self.k2, self.k3 = k1, k2, k3
        self.batch, self.span, self.outputs = check_batch(batch), span, outputs

    def problem(self, seed: int) -> Problem:
        y0 = rows_around((1.0, 0.0, 0.0), self.batch, 0.05, generator_of(seed))
        field = RobertsonField(self.k1, self.k2, self.k3)
        return Problem(field=field, y0=y0, ts=output_times(self.span, self.outputs), stiff=True)

    def jax_field(self) -> JaxField:
        """The field in JAX."""
        return JaxField(function=_in_jax)


def _in_jax(t: Any, y: Any, p: Mapping[str, Any]) -> Any:
    import jax.numpy as jnp

    a, b, c = y[..., 0], y[..., 1], y[..., 2]
    slow, fast, back = p["k1"] * a, p["k2"] * b * b, p["k3"] * b * c
    return jnp.stack((back - slow, slow - back - fast, fast), -1)
