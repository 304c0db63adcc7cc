"""The Brusselator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from odebench.contract import JaxField, Model, Problem
from odebench.models.seeded import check_batch, constants, generator_of, output_times, rows_around


class BrusselatorField(nn.Module):
    """f(t, (x, y)) = (a + x² y - (b + 1) x, b x - x² y), with a and b as parameters."""

    accepts_batched_time = True

    def __init__(self, a: float, b: float) -> None:
        super().__init__()
        self.a = constants(a)
        self.b = constants(b)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        x, other = y.unbind(-1)
        made = x * (x * other)
        turned = self.b * x
        return torch.stack((self.a + made - turned - x, turned - made), -1)


class Brusselator(Model):
    """x' = a + x² y - (b + 1) x, y' = b x - x² y: a chemical reaction that oscillates for b > 1 + a².

    State `(batch, 2)`; row 0 starts from (1.5, 3), the others within some 10 % of it. Span: [0, 20], with (a, b) = (1, 3):
    about three turns of the limit cycle.

    Source: R. Lefever, G. Nicolis, "Chemical instabilities and sustained oscillations", Journal of Theoretical Biology 30,
    1971, doi:10.1016/0022-5193(71)90054-3; constants, initial state and span of E. Hairer, S. P. Nørsett, G. Wanner,
    "Solving Ordinary Differential Equations I", 2nd ed., section II.4, equation 4.15.
    """

    name = "brusselator"
    source: ClassVar[str] = "Lefever, Nicolis 1971; Hairer, Nørsett, Wanner, Solving ODEs I, section II.4"

    def __init__(
        self, *, a: float = 1.0, b: float = 3.0, batch: int = 16, span: float = 20.0, outputs: int = 8
    ) -> None:
        self.a, self.b, self.batch, self.span, self.outputs = a, b, check_batch(batch), span, outputs

    def problem(self, seed: int) -> Problem:
        y0 = rows_around((1.5, 3.0), self.batch, 0.1, generator_of(seed))
        field = BrusselatorField(self.a, self.b)
        return Problem(field=field, y0=y0, ts=output_times(self.span, self.outputs))

    def jax_field(self) -> JaxField:
        """The field in JAX."""
        return JaxField(function=_in_jax)


def _in_jax(t: Any, y: Any, p: Mapping[str, Any]) -> Any:
    import jax.numpy as jnp

    x, other = y[..., 0], y[..., 1]
    made = x * (x * other)
    turned = p["b"] * x
    return jnp.stack((p["a"] + made - turned - x, turned - made), -1)
