"""Exclusive or, and an oscillator whose Euler error separates what the flow does not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from odebench.contract import JaxField, Model, Problem
from odebench.data import load
from odebench.models.seeded import check_batch, constants, generator_of, normal, output_times


class XorFanField(nn.Module):
    """f(t, z) = [[alpha, 1], [-gamma ‖z‖^delta, beta]] z, with the four constants as parameters."""

    accepts_batched_time = True

    def __init__(self, alpha: float, beta: float, gamma: float, delta: float) -> None:
        super().__init__()
        self.alpha, self.beta = constants(alpha), constants(beta)
        self.gamma, self.delta = constants(gamma), constants(delta)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        x, v = y.unbind(-1)
        square = x * x + v * v
        # At 0, the power has a derivative that is none, and the force is 0 whatever the power is.
        away = square > 0.0
        power = torch.where(away, torch.where(away, square, 1.0) ** (0.5 * self.delta), 0.0)
        return torch.stack((self.alpha * x + v, self.beta * v - self.gamma * power * x), -1)


class XorFan(Model):
    """The corners of a square, opposite ones of one class, in a field that turns the faster the farther out it is.

    Euler's method spirals outwards, by an error that grows with the step; each corner at its own rate. At a step of
    10^-2.5 the corners end where a line separates the classes, at 10^-3.5 where none does: a decision layer can read the
    classes from the error of the solver. The paper does not print its constants; the default set and
    `alpha=0.5, beta=0, gamma=50, delta=1` show what it shows.

    State `(batch, 2)`; rows 0 to 3 are the corners (0, 0), (0, 1), (1, 0) and (1, 1) for every seed, further rows seeded
    draws around them, at a distance of about 0.05. Span: [0, 1].

    Source: K. Ott, P. Katiyar, P. Hennig, M. Tiemann, "ResNet after all? Neural ODEs and their numerical solution", ICLR
    2021, arXiv:2007.15386, equation 4.
    """

    name = "xor-fan"
    source: ClassVar[str] = "Ott, Katiyar, Hennig, Tiemann, ResNet after all?, ICLR 2021, arXiv:2007.15386, equation 4"
    known_failures: ClassVar[dict[str, str]] = {
        "check_other_seeds_give_other_problems": "The four corners and the field are the same for every seed; rows beyond them are drawn."
    }

    def __init__(
        self,
        *,
        alpha: float = 0.0,
        beta: float = 1.0,
        gamma: float = 50.0,
        delta: float = 1.0,
        batch: int = 4,
        span: float = 1.0,
        outputs: int = 8,
    ) -> None:
        self.alpha, self.beta, self.gamma, self.delta = alpha, beta, gamma, delta
        self.batch, self.span, self.outputs = check_batch(batch), span, outputs

    def problem(self, seed: int) -> Problem:
        corners = load("xor", seed).test
        rows = torch.arange(self.batch) % len(corners)
        y0 = corners.inputs.flatten(1)[rows]
        others = max(self.batch - len(corners), 0)
        y0[len(corners) :] += 0.05 * normal(generator_of(seed), others, 2)
        return Problem(
            field=XorFanField(self.alpha, self.beta, self.gamma, self.delta),
            y0=y0,
            ts=output_times(self.span, self.outputs),
            labels=corners.targets[rows],
        )

    def jax_field(self) -> JaxField:
        """The field in JAX."""
        return JaxField(function=_in_jax)


def _in_jax(t: Any, y: Any, p: Mapping[str, Any]) -> Any:
    import jax.numpy as jnp

    x, v = y[..., 0], y[..., 1]
    square = x * x + v * v
    away = square > 0.0
    power = jnp.where(away, jnp.where(away, square, 1.0) ** (0.5 * p["delta"]), 0.0)
    return jnp.stack((p["alpha"] * x + v, p["beta"] * v - p["gamma"] * power * x), -1)
