"""A linear problem with a matrix of choice."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from odebench.contract import JaxField, Model, Problem
from odebench.models.seeded import check_batch, check_choice, generator_of, normal, output_times


class LinearField(nn.Module):
    """f(t, y) = A y."""

    accepts_batched_time = True

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self.matrix = nn.Parameter(matrix)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return y @ self.matrix.mT


class Linear(Model):
    """y' = rate · A y, whose solution is the matrix exponential.

    The matrix A is one of

    * `spiral`: blocks (-0.1, -1; 1, -0.1) on the diagonal: slowly decaying rotations (an odd last component decays);
    * `rotation`: blocks (0, -1; 1, 0): the norm is conserved;
    * `decay`: diagonal, -1 to -10 in a geometric sequence (-1 where dim is 1);
    * `jordan`: -1 on the diagonal and 4 above it: not normal, so the norm rises before it falls;
    * `random`: seeded Gaussian entries of variance 1/dim: the spectrum fills the unit disc.

    A negative `rate` reverses time. `matrix="decay", dim=1, rate=100` is the example by which Gholami et al. show that a
    stable problem cannot be solved backwards.

    The initial states are seeded Gaussian. Span: [0, 2], a free choice.

    Source: matrices of textbooks, for example E. Hairer, G. Wanner, "Solving Ordinary Differential Equations II", section
    IV.2 (stability) and IV.11 (non-normal matrices); the decay: A. Gholami, K. Keutzer, G. Biros, "ANODE", IJCAI 2019,
    arXiv:1902.10298.
    """

    name = "linear"
    source: ClassVar[str] = "Hairer, Wanner, Solving ODEs II, sections IV.2 and IV.11; Gholami et al., arXiv:1902.10298"

    def __init__(
        self,
        *,
        matrix: str = "spiral",
        dim: int = 4,
        rate: float = 1.0,
        batch: int = 64,
        span: float = 2.0,
        outputs: int = 8,
    ) -> None:
        check_choice("matrix", matrix, tuple(_MATRICES))
        self.matrix, self.dim, self.rate = matrix, dim, rate
        self.batch, self.span, self.outputs = check_batch(batch), span, outputs

    def problem(self, seed: int) -> Problem:
        generator = generator_of(seed)
        y0 = normal(generator, self.batch, self.dim)
        matrix = self.rate * _MATRICES[self.matrix](self.dim, generator)
        return Problem(field=LinearField(matrix), y0=y0, ts=output_times(self.span, self.outputs), exact=_exact)

    def jax_field(self) -> JaxField:
        """The field in JAX."""
        return JaxField(function=_in_jax)


def _exact(problem: Problem, t: float) -> Tensor:
    return problem.y0 @ torch.matrix_exp(problem.field.matrix * (t - problem.ts[0])).mT


def _blocks(dim: int, diagonal: float) -> Tensor:
    matrix = diagonal * torch.eye(dim, dtype=torch.float64)
    for i in range(0, dim - 1, 2):
        matrix[i, i + 1], matrix[i + 1, i] = -1.0, 1.0
    return matrix


_MATRICES = {
    "spiral": lambda dim, _: _blocks(dim, -0.1),
    "rotation": lambda dim, _: _blocks(dim, 0.0),
    "decay": lambda dim, _: -torch.diag(torch.logspace(0.0, min(dim - 1, 1), dim, dtype=torch.float64)),
    "jordan": lambda dim, _: torch.diag(4.0 * torch.ones(dim - 1, dtype=torch.float64), 1) - torch.eye(dim).double(),
    "random": lambda dim, generator: normal(generator, dim, dim) / math.sqrt(dim),
}


def _in_jax(t: Any, y: Any, p: Mapping[str, Any]) -> Any:
    return y @ p["matrix"].T
