"""A convolutional network on images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from odebench.contract import JaxField
from odebench.models.network import Network, check_width, kaiming
from odebench.models.seeded import ModelError


class Conv2dField(nn.Module):
    """f(t, y) = C₃(max(0, C₂(max(0, C₁ y)))): C₂ convolves over 3 × 3 neighbours, C₁ and C₃ over single pixels; with biases.

    Args:
        channels: of the state `(batch, channels, height, width)`.
        width: channels between the convolutions.
        generator: where the weights come from.
    """

    accepts_batched_time = True

    def __init__(self, channels: int, width: int, generator: torch.Generator) -> None:
        super().__init__()
        conv = nn.Conv2d
        self.enter = kaiming(conv(channels, width, 1, device="meta"), channels, generator)
        self.mix = kaiming(conv(width, width, 3, padding=1, device="meta"), 9 * width, generator)
        self.leave = kaiming(conv(width, channels, 1, device="meta"), width, generator)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return self.leave(torch.relu(self.mix(torch.relu(self.enter(y)))))


class Conv2dNet(Network):
    """A convolutional network on images, which are the state as they are: C → width → width → C channels.

    On CIFAR-10 with `width=128`, as in the paper, the field has 148,483 parameters and the readout 30,730; on the digits,
    the default data, a width of 16 shows the same effects in seconds. State `(batch, channels, height, width)`. The field
    does not depend on time, and has kinks (ReLU). Span: [0, 1].

    Source: K. Ott, P. Katiyar, P. Hennig, M. Tiemann, "ResNet after all? Neural ODEs and their numerical solution", ICLR
    2021, arXiv:2007.15386; the layers as in https://github.com/boschresearch/numerics_independent_neural_odes.
    """

    name = "conv2d-net"
    source: ClassVar[str] = "Ott, Katiyar, Hennig, Tiemann, ResNet after all?, ICLR 2021, arXiv:2007.15386"

    def __init__(
        self,
        *,
        data: str | Mapping[str, Any] = "digits",
        width: int = 16,
        batch: int = 64,
        span: float = 1.0,
        outputs: int = 8,
    ) -> None:
        super().__init__(data=data, batch=batch, span=span, outputs=outputs)
        self.width = check_width(width)

    def build_field(self, shape: tuple[int, ...], generator: torch.Generator) -> Conv2dField:
        """As `Network.build_field` says."""
        if len(shape) != 3:
            raise ModelError(
                f"`data` {self.data!r} have inputs of shape {shape}; {self.name} takes (channels, height, width)."
            )
        return Conv2dField(shape[0], self.width, generator)

    def jax_field(self) -> JaxField:
        """The field in JAX."""
        return JaxField(function=_in_jax)


def _in_jax(t: Any, y: Any, p: Mapping[str, Any]) -> Any:
    import jax

    def layer(name: str, y: Any, around: int) -> Any:
        y = jax.lax.conv_general_dilated(y, p[f"{name}.weight"], (1, 1), ((around, around),) * 2)
        return y + p[f"{name}.bias"][:, None, None]

    return layer("leave", jax.nn.relu(layer("mix", jax.nn.relu(layer("enter", y, 0)), 1)), 0)
