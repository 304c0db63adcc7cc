"""The cubic spiral that neural ODEs are first trained on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from odebench.contract import JaxField, Model, Problem
from odebench.models.seeded import check_batch, generator_of, output_times, rows_around


class SpiralField(nn.Module):
    """f(t, y) = y³ A, the cube taken of each component, with A as parameter."""

    accepts_batched_time = True

    def __init__(self) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.tensor(((-0.1, 2.0), (-2.0, -0.1)), dtype=torch.float64))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return (y * y * y) @ self.matrix


class Spiral(Model):
    """y' = y³ A with A = (-0.1, 2; -2, -0.1): a spiral that turns ever more slowly.

    Not a network but the true field of the example, so that it is the same for everybody. State `(batch, 2)`; row 0 starts
    from (2, 0), the others from radii within some 10 % of 2. Span: [0, 25].

    Source: R. T. Q. Chen et al., "Neural ordinary differential equations", NeurIPS 2018, arXiv:1806.07366, section 5; the
    constants stand in `examples/ode_demo.py` of https://github.com/rtqichen/torchdiffeq.
    """

    name = "spiral"
    source: ClassVar[str] = "Chen et al., NeurIPS 2018, arXiv:1806.07366; torchdiffeq, examples/ode_demo.py"

    def __init__(self, *, batch: int = 16, span: float = 25.0, outputs: int = 8) -> None:
        self.batch, self.span, self.outputs = check_batch(batch), span, outputs

    def problem(self, seed: int) -> Problem:
        y0 = rows_around((2.0, 0.0), self.batch, 0.1, generator_of(seed))
        return Problem(field=SpiralField(), y0=y0, ts=output_times(self.span, self.outputs))

    def jax_field(self) -> JaxField:
        """The field in JAX."""
        return JaxField(function=_in_jax)


def _in_jax(t: Any, y: Any, p: Mapping[str, Any]) -> Any:
    return (y * y * y) @ p["matrix"]
