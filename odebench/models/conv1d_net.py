"""The network of the concentric spheres: convolutions along the coordinates of a point."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from odebench.models.network import Network, check_width, kaiming
from odebench.models.seeded import ModelError, check_choice

LONGEST_DENSE = 3
"""States up to this length are convolved by a matrix under dense="auto": longer ones were faster as convolutions."""


class Conv1dField(nn.Module):
    """f(t, y) = C₃(max(0, C₂(max(0, C₁ y)))): C₂ convolves over 3 neighbours, C₁ and C₃ over single places; with biases.

    On short states torch spends its time on starting the convolutions. There `dense` does the same with three matrix
    products: over places one after the other C₂ is a block Toeplitz matrix, whose block in row q and column p is the
    tap p - q + 1 of the kernel, or zero. The matrix is gathered from the kernel in each evaluation, as part of the
    graph: so gradients reach the kernel, whoever computes them, and nothing can be out of date.

    Args:
        channels, length: state `(batch, channels, length)`.
        width: channels between the convolutions.
        dense: whether to use the matrix.
        generator: where the weights come from.
    """

    accepts_batched_time = True

    def __init__(self, channels: int, length: int, width: int, dense: bool, generator: torch.Generator) -> None:
        super().__init__()
        conv = nn.Conv1d
        self.enter = kaiming(conv(channels, width, 1, device="meta"), channels, generator)
        self.mix = kaiming(conv(width, width, 3, padding=1, device="meta"), 3 * width, generator)
        self.leave = kaiming(conv(width, channels, 1, device="meta"), width, generator)
        self.length, self.dense = length, dense
        if dense:
            # No part of the weights, but it moves with them.
            self.register_buffer("taps", _toeplitz_taps(length, width), persistent=False)
            self.register_buffer("places", torch.arange(width).repeat(length), persistent=False)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        if self.dense:
            return self._by_matrix(y)
        return self.leave(torch.relu(self.mix(torch.relu(self.enter(y)))))

    def _by_matrix(self, y: Tensor) -> Tensor:
        batch, channels, length = y.shape
        width = len(self.mix.bias)
        kernel = self.mix.weight.reshape(-1)
        if length > 2:  # At length 2 every block of the matrix is a tap.
            kernel = torch.cat((kernel, kernel.new_zeros(1)))
        matrix = kernel.index_select(0, self.taps).view(length * width, length * width)
        flat = y.transpose(1, 2).reshape(batch * length, channels)
        hidden = torch.relu(torch.addmm(self.enter.bias, flat, self.enter.weight.squeeze(2).t()))
        hidden = hidden.view(batch, length * width)
        hidden = torch.relu(torch.addmm(self.mix.bias.index_select(0, self.places), hidden, matrix))
        hidden = hidden.view(batch * length, width)
        flat = torch.addmm(self.leave.bias, hidden, self.leave.weight.squeeze(2).t())
        return flat.view(batch, length, channels).transpose(1, 2)


def _toeplitz_taps(length: int, width: int) -> Tensor:
    """Where in the flat kernel `(out, in, 3)` each element of the matrix stands: rows (place, in), columns (place, out).

    Elements that are zero get the place behind the kernel's end.
    """
    places, channels = torch.arange(length), torch.arange(width)
    tap = places[:, None] - places[None, :] + 1  # by place in, place out
    element = (channels[None, :] * width + channels[:, None]) * 3  # by channel in, channel out
    index = element[None, :, None, :] + tap[:, None, :, None]
    return torch.where(((tap >= 0) & (tap < 3))[:, None, :, None], index, 3 * width**2).reshape(-1)


class Conv1dNet(Network):
    """A small convolutional network on sequences, such as the coordinates of a point: 1 → width → width → 1 channels.

    On the concentric spheres of dimension 2 with `width=32` the field has 3201 parameters and the readout 6. State
    `(batch, channels, length)`: the data as they are, without a layer before. The field does not depend on time, and has
    kinks (ReLU). Span: [0, 1].

    `dense` says when the middle convolution is computed by a matrix, see `Conv1dField`: "auto" for lengths up to 3,
    "always" or "never". It is a matter of speed: results agree to rounding.

    Source: K. Ott, P. Katiyar, P. Hennig, M. Tiemann, "ResNet after all? Neural ODEs and their numerical solution", ICLR
    2021, arXiv:2007.15386; the layers as in https://github.com/boschresearch/numerics_independent_neural_odes.
    """

    name = "conv1d-net"
    source: ClassVar[str] = "Ott, Katiyar, Hennig, Tiemann, ResNet after all?, ICLR 2021, arXiv:2007.15386"

    def __init__(
        self,
        *,
        data: str | Mapping[str, Any] = "spheres",
        width: int = 32,
        dense: str = "auto",
        batch: int = 64,
        span: float = 1.0,
        outputs: int = 8,
    ) -> None:
        super().__init__(data=data, batch=batch, span=span, outputs=outputs)
        check_choice("dense", dense, ("auto", "always", "never"))
        self.width, self.dense = check_width(width), dense

    def build_field(self, shape: tuple[int, ...], generator: torch.Generator) -> Conv1dField:
        """As `Network.build_field` says."""
        if len(shape) != 2:
            raise ModelError(
                f"`data` {self.data!r} have inputs of shape {shape}; {self.name} takes (channels, length)."
            )
        channels, length = shape
        dense = {"auto": length <= LONGEST_DENSE, "always": True, "never": False}[self.dense]
        return Conv1dField(channels, length, self.width, dense, generator)
