"""A latent ODE observed at irregular times."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from odebench.contract import JaxField, Model, Problem
from odebench.models.mlp_field import MlpVectorField, mlp_in_jax
from odebench.models.seeded import check_batch, generator_of, normal, output_times


class ObservationLoss(nn.Module):
    """Mean squared error of a fixed linear readout over what was observed.

    Args:
        readout: `(features, latent)`.
        targets: `(times, batch, features)`.
        observed: 1.0 where a row was observed at a time, else 0.0; `(times, batch, 1)`.
    """

    def __init__(self, readout: Tensor, targets: Tensor, observed: Tensor) -> None:
        super().__init__()
        self.register_buffer("readout", readout)
        self.register_buffer("targets", targets)
        self.register_buffer("observed", observed)
        self.count = max(1.0, observed.sum().item() * targets.shape[-1])

    def forward(self, ys: Tensor) -> Tensor:
        errors = (ys @ self.readout.mT - self.targets) * self.observed
        return 0.5 * errors.square().sum() / self.count


class LatentIrregular(Model):
    """A latent state moved by a network, and observed at irregular times through a linear readout.

    The times are those at which any row was observed: seeded gaps, exponential above a floor of a tenth of their mean,
    the same for all rows; each row was observed at about half of them. The loss looks at all of them, so gradients flow
    in at every output time. Latent state `(batch, latent)`, standard normal at time 0; targets are noisy sines.
    `outputs` is the number of observation times after the first. Span: [0, 2].

    Fixed grids do not meet these times: a method needs dense output, or adaptive steps.

    Source: Y. Rubanova, R. T. Q. Chen, D. Duvenaud, "Latent ODEs for irregularly-sampled time series", NeurIPS 2019,
    arXiv:1907.03907.
    """

    name = "latent-irregular"
    source: ClassVar[str] = "Rubanova, Chen, Duvenaud, Latent ODEs, NeurIPS 2019, arXiv:1907.03907"

    def __init__(
        self,
        *,
        latent: int = 4,
        width: int = 32,
        depth: int = 1,
        features: int = 2,
        batch: int = 32,
        span: float = 2.0,
        outputs: int = 16,
    ) -> None:
        self.latent, self.width, self.depth, self.features = latent, width, depth, features
        self.batch, self.span, self.outputs = check_batch(batch), span, outputs

    def problem(self, seed: int) -> Problem:
        generator = generator_of(seed)
        field = MlpVectorField(self.latent, self.width, self.depth, "tanh", 1.5, False, generator)
        ts = self._times(generator)
        loss = self._observations(torch.tensor(ts, dtype=torch.float64), generator)
        return Problem(field=field, y0=normal(generator, self.batch, self.latent), ts=ts, loss=loss, loss_ts=ts)

    def jax_field(self) -> JaxField:
        """The field in JAX."""
        return JaxField(function=mlp_in_jax(self.depth, "tanh"))

    def _times(self, generator: torch.Generator) -> tuple[float, ...]:
        regular = output_times(self.span, self.outputs)
        gaps = 0.1 - torch.rand(self.outputs, generator=generator, dtype=torch.float64).log()
        inner = (gaps.cumsum(0) / gaps.sum() * self.span)[:-1].tolist()
        return (0.0, *inner, regular[-1])

    def _observations(self, ts: Tensor, generator: torch.Generator) -> ObservationLoss:
        shape = (len(ts), self.batch, self.features)
        readout = normal(generator, self.features, self.latent) / self.latent**0.5
        frequency, phase = normal(generator, self.batch, self.features), normal(generator, self.batch, self.features)
        targets = torch.sin(ts[:, None, None] * (2.0 + frequency) + phase) + 0.1 * normal(generator, *shape)
        observed = torch.rand(*shape[:2], 1, generator=generator, dtype=torch.float64) < 0.5
        return ObservationLoss(readout, targets, observed.double())
