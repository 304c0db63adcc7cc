"""A network of linear layers on states without structure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from odebench.contract import JaxField
from odebench.models.network import Network, check_width, kaiming_linear


class LinearNetField(nn.Module):
    """f(t, y) = L₃(max(0, L₂(max(0, L₁ y)))) with linear layers and biases.

    Args:
        dim: of the state `(batch, dim)`.
        width: of the layers between.
        generator: where the weights come from.
    """

    accepts_batched_time = True

    def __init__(self, dim: int, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.enter = kaiming_linear(dim, width, generator)
        self.mix = kaiming_linear(width, width, generator)
        self.leave = kaiming_linear(width, dim, generator)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return self.leave(torch.relu(self.mix(torch.relu(self.enter(y)))))


class LinearNet(Network):
    """Three linear layers on flattened data: dim → width → width → dim.

    Any data will do; with `data="saddle"` it learns a function instead of classes. State `(batch, dim)`. The field does
    not depend on time, and has kinks (ReLU). Span: [0, 1].

    Source: K. Ott, P. Katiyar, P. Hennig, M. Tiemann, "ResNet after all? Neural ODEs and their numerical solution", ICLR
    2021, arXiv:2007.15386; the layers as in https://github.com/boschresearch/numerics_independent_neural_odes.
    """

    name = "linear-net"
    source: ClassVar[str] = "Ott, Katiyar, Hennig, Tiemann, ResNet after all?, ICLR 2021, arXiv:2007.15386"

    def __init__(
        self,
        *,
        data: str | Mapping[str, Any] = "spheres",
        width: int = 32,
        batch: int = 64,
        span: float = 1.0,
        outputs: int = 8,
    ) -> None:
        super().__init__(data=data, batch=batch, span=span, outputs=outputs)
        self.width = check_width(width)

    def state_of(self, inputs: Tensor) -> Tensor:
        """The inputs, flattened."""
        return inputs.flatten(1)

    def build_field(self, shape: tuple[int, ...], generator: torch.Generator) -> LinearNetField:
        """As `Network.build_field` says."""
        return LinearNetField(math.prod(shape), self.width, generator)

    def jax_field(self) -> JaxField:
        """The field in JAX."""
        return JaxField(function=_in_jax)


def _in_jax(t: Any, y: Any, p: Mapping[str, Any]) -> Any:
    import jax

    y = jax.nn.relu(y @ p["enter.weight"].T + p["enter.bias"])
    y = jax.nn.relu(y @ p["mix.weight"].T + p["mix.bias"])
    return y @ p["leave.weight"].T + p["leave.bias"]
