"""A continuous normalising flow."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from odebench.contract import JaxField, Model, Problem
from odebench.models.seeded import (
    ModelError,
    check_batch,
    check_choice,
    generator_of,
    normal,
    output_times,
    seeded_linear,
)


class CnfField(nn.Module):
    """f(t, (z, logp)) = (g(t, z), -tr ∂g/∂z), with g a perceptron of two tanh layers that sees t.

    The trace is Σ p·(∂g/∂z) p over the rows p of `probes`: the unit vectors give it exactly, random signs estimate it
    without bias (Hutchinson). The tangents go forward through the layers together with z, so the field needs no autograd
    of its own, and works under `no_grad`, `torch.func` and a backward alike.
    """

    accepts_batched_time = True

    def __init__(self, dim: int, width: int, probes: Tensor, generator: torch.Generator) -> None:
        super().__init__()
        self.inner = seeded_linear(dim, width, generator, 1.5)
        self.middle = seeded_linear(width, width, generator, 1.5)
        self.outer = seeded_linear(width, dim, generator, 1.0)
        self.time_weight = nn.Parameter(normal(generator, width))
        self.register_buffer("probes", probes)

    def forward(self, t: Tensor, y: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        z, _ = y
        first = torch.tanh(self.inner(z) + t * self.time_weight)
        second = torch.tanh(self.middle(first))
        tangents = (1.0 - first.square()).unsqueeze(-2) * linear(self.probes, self.inner.weight)
        tangents = (1.0 - second.square()).unsqueeze(-2) * linear(tangents, self.middle.weight)
        divergence = (self.probes * linear(tangents, self.outer.weight)).sum((-2, -1))
        return self.outer(second), -divergence.unsqueeze(-1)


class Cnf(Model):
    """A normalising flow from data to a standard normal, with the log-density it gains: a tuple state.

    State (z, logp): `(batch, dim)` and `(batch, 1)`; z starts on a noisy ring (in its first two components), logp at 0. The
    loss is the mean negative log-likelihood. `trace` is `exact` or `hutchinson`; the latter draws `probes` vectors of
    random signs once for a seed, the same for all rows and times, so that the field is a function. Span: [0, 1].

    Source: R. T. Q. Chen et al., "Neural ordinary differential equations", NeurIPS 2018, arXiv:1806.07366, section 4;
    W. Grathwohl et al., "FFJORD", ICLR 2019, arXiv:1810.01367, section 3.1.
    """

    name = "cnf"
    source: ClassVar[str] = "Chen et al., arXiv:1806.07366, section 4; Grathwohl et al., FFJORD, arXiv:1810.01367"

    def __init__(
        self,
        *,
        dim: int = 2,
        width: int = 32,
        trace: str = "exact",
        probes: int = 1,
        batch: int = 32,
        span: float = 1.0,
        outputs: int = 8,
    ) -> None:
        check_choice("trace", trace, ("exact", "hutchinson"))
        if dim < 2 or probes < 1:
            raise ModelError(f"`dim` is {dim!r} and `probes` {probes!r}; they must be at least 2 and 1.")
        self.dim, self.width, self.trace, self.probes = dim, width, trace, probes
        self.batch, self.span, self.outputs = check_batch(batch), span, outputs

    def problem(self, seed: int) -> Problem:
        generator = generator_of(seed)
        if self.trace == "exact":
            probes = torch.eye(self.dim, dtype=torch.float64)
        else:
            signs = torch.randint(2, (self.probes, self.dim), generator=generator, dtype=torch.float64)
            probes = (2.0 * signs - 1.0) / math.sqrt(self.probes)
        field = CnfField(self.dim, self.width, probes, generator)
        angle = 2.0 * math.pi * torch.rand(self.batch, generator=generator, dtype=torch.float64)
        z = 0.1 * normal(generator, self.batch, self.dim)
        z[:, 0] += 1.5 * angle.cos()
        z[:, 1] += 1.5 * angle.sin()
        return Problem(
            field=field,
            y0=(z, torch.zeros(self.batch, 1, dtype=torch.float64)),
            ts=output_times(self.span, self.outputs),
            loss=negative_log_likelihood,
        )

    def jax_field(self) -> JaxField:
        """The field in JAX."""
        return JaxField(function=_in_jax)


def negative_log_likelihood(ys: tuple[Tensor, Tensor]) -> Tensor:
    """-mean over the batch of log N(z(T)) - (logp(T) - logp(0)), the log-density of the data under the flow."""
    z, logp = ys
    gain = (logp[-1] - logp[0]).sum()
    normalisation = 0.5 * math.log(2.0 * math.pi) * z[-1].numel()
    return (0.5 * z[-1].square().sum() + normalisation + gain) / max(z.shape[1], 1)


def _in_jax(t: Any, y: Any, p: Mapping[str, Any]) -> Any:
    import jax.numpy as jnp

    z, _ = y
    first = jnp.tanh(z @ p["inner.weight"].T + p["inner.bias"] + t * p["time_weight"])
    second = jnp.tanh(first @ p["middle.weight"].T + p["middle.bias"])
    tangents = (1.0 - jnp.square(first))[..., None, :] * (p["probes"] @ p["inner.weight"].T)
    tangents = (1.0 - jnp.square(second))[..., None, :] * (tangents @ p["middle.weight"].T)
    divergence = (p["probes"] * (tangents @ p["outer.weight"].T)).sum((-2, -1))
    return second @ p["outer.weight"].T + p["outer.bias"], -divergence[..., None]
