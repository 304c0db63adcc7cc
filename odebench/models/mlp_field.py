"""A multilayer perceptron as vector field."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from odebench.contract import JaxField, JaxFunction, Model, Problem
from odebench.models.seeded import check_batch, check_choice, generator_of, normal, output_times, seeded_linear

ACTIVATIONS = {"tanh": nn.Tanh, "softplus": nn.Softplus, "silu": nn.SiLU, "relu": nn.ReLU}


class MlpVectorField(nn.Module):
    """f(t, y) = MLP(y), or MLP((y, t)) with `time`.

    Args:
        dim: size of the state.
        width: units in each hidden layer.
        depth: number of hidden layers.
        activation: name of the non-linearity after each hidden layer.
        gain: standard deviation of the weights is gain/√inputs.
        time: append t to the input.
        generator: where the weights come from.
    """

    accepts_batched_time = True

    def __init__(
        self, dim: int, width: int, depth: int, activation: str, gain: float, time: bool, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.time = time
        layers: list[nn.Module] = []
        inputs = dim + time
        for _ in range(depth):
            layers += [seeded_linear(inputs, width, generator, gain), ACTIVATIONS[activation]()]
            inputs = width
        self.net = nn.Sequential(*layers, seeded_linear(inputs, dim, generator, gain))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        if self.time:
            # t is 0-dim, or (batch, 1) with steps for each row: both broadcast to one column.
            y = torch.cat((y, torch.as_tensor(t, dtype=y.dtype, device=y.device).expand(*y.shape[:-1], 1)), -1)
        return self.net(y)


class MlpField(Model):
    """A random multilayer perceptron: the vector field of most neural ODEs, untrained.

    Weights are seeded Gaussians of variance gain²/inputs, initial states standard normal, `(batch, dim)`. The default is
    2-64-64-2 with tanh, which is smooth and moves states by about their own size. Span: [0, 1], as is usual.

    Source: R. T. Q. Chen et al., "Neural ordinary differential equations", NeurIPS 2018, arXiv:1806.07366.
    """

    name = "mlp-field"
    source: ClassVar[str] = "Chen et al., Neural ordinary differential equations, NeurIPS 2018, arXiv:1806.07366"

    def __init__(
        self,
        *,
        dim: int = 2,
        width: int = 64,
        depth: int = 2,
        activation: str = "tanh",
        gain: float = 1.5,
        time: bool = False,
        batch: int = 64,
        span: float = 1.0,
        outputs: int = 8,
    ) -> None:
        check_choice("activation", activation, tuple(ACTIVATIONS))
        self.dim, self.width, self.depth = dim, width, depth
        self.activation, self.gain, self.time = activation, gain, time
        self.batch, self.span, self.outputs = check_batch(batch), span, outputs

    def problem(self, seed: int) -> Problem:
        generator = generator_of(seed)
        field = MlpVectorField(self.dim, self.width, self.depth, self.activation, self.gain, self.time, generator)
        y0 = normal(generator, self.batch, self.dim)
        return Problem(field=field, y0=y0, ts=output_times(self.span, self.outputs))

    def jax_field(self) -> JaxField:
        """The field in JAX."""
        return JaxField(function=mlp_in_jax(self.depth, self.activation, self.time))


@functools.cache
def mlp_in_jax(depth: int, activation: str, time: bool = False) -> JaxFunction:
    """`MlpVectorField` in JAX; the same function for the same arguments, so that it is compiled once."""

    def in_jax(t: Any, y: Any, p: Mapping[str, Any]) -> Any:
        import jax
        import jax.numpy as jnp

        if time:
            y = jnp.concatenate((y, jnp.full((*y.shape[:-1], 1), t, dtype=y.dtype)), -1)
        act = getattr(jnp, activation, None) or getattr(jax.nn, activation)
        for layer in range(depth):
            y = act(y @ p[f"net.{2 * layer}.weight"].T + p[f"net.{2 * layer}.bias"])
        return y @ p[f"net.{2 * depth}.weight"].T + p[f"net.{2 * depth}.bias"]

    return in_jax
