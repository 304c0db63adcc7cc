"""The network of the concentric spheres: convolutions along the coordinates of a point."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from odebench.contract import JaxField
from odebench.models.network import Network, check_width, kaiming
from odebench.models.seeded import ModelError, check_choice

LONGEST_DENSE = 3
"""States up to this length are convolved by a matrix under dense="auto": longer ones were faster as convolutions."""


class Conv1dField(nn.Module):
    """f(t, y) = C₃(max(0, C₂(max(0, C₁ y)))): C₂ convolves over 3 neighbours, C₁ and C₃ over single places; with biases.

    On short states torch spends its time on starting the convolutions. There `dense` does the same with three matrix
    products: over places one after the other C₂ is a block Toeplitz matrix, whose block in row q and column p is the
    tap p - q + 1 of the kernel, or zero. The matrices are put together from the weights in each evaluation, or once for a
    solve, as part of the graph: so gradients reach the weights, whoever computes them, and nothing can be out of date.

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

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        if self.dense:
            return _by_matrices(self._matrices(), y)
        return self.leave(torch.relu(self.mix(torch.relu(self.enter(y)))))

    def prepared_for_solve(self) -> Callable[[Tensor, Tensor], Tensor]:
        """The field with its matrices made."""
        if not self.dense:
            return self
        matrices = self._matrices()
        return lambda t, y: _by_matrices(matrices, y)

    def _matrices(self) -> tuple[Tensor, ...]:
        """Bias and matrix of each layer on rows that hold one place after the other, and within a place its channels."""
        length = self.length
        taps = self.mix.weight.permute(2, 1, 0)  # (tap, in, out)
        zero = torch.zeros_like(taps[0])
        rows = [[taps[p - q + 1] if abs(p - q) <= 1 else zero for q in range(length)] for p in range(length)]
        mix = torch.cat([torch.cat(row, dim=1) for row in rows])
        enter = torch.block_diag(*[self.enter.weight.squeeze(2).t()] * length)
        leave = torch.block_diag(*[self.leave.weight.squeeze(2).t()] * length)
        biases = (layer.bias.repeat(length) for layer in (self.enter, self.mix, self.leave))
        return tuple(tensor for pair in zip(biases, (enter, mix, leave), strict=True) for tensor in pair)


def _by_matrices(matrices: tuple[Tensor, ...], y: Tensor) -> Tensor:
    batch, channels, length = y.shape
    # With one channel the rows lie in memory as they are needed.
    flat = y.reshape(batch, length) if channels == 1 else y.transpose(1, 2).reshape(batch, length * channels)
    enter_bias, enter, mix_bias, mix, leave_bias, leave = matrices
    hidden = torch.relu(torch.addmm(enter_bias, flat, enter))
    hidden = torch.relu(torch.addmm(mix_bias, hidden, mix))
    flat = torch.addmm(leave_bias, hidden, leave)
    return flat.view(batch, length, channels).transpose(1, 2) if channels > 1 else flat.view(batch, 1, length)


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

    def jax_field(self) -> JaxField:
        """The field in JAX."""
        return JaxField(function=_in_jax)


def _in_jax(t: Any, y: Any, p: Mapping[str, Any]) -> Any:
    import jax

    def layer(name: str, y: Any, around: int) -> Any:
        y = jax.lax.conv_general_dilated(y, p[f"{name}.weight"], (1,), ((around, around),))
        return y + p[f"{name}.bias"][:, None]

    return layer("leave", jax.nn.relu(layer("mix", jax.nn.relu(layer("enter", y, 0)), 1)), 0)
