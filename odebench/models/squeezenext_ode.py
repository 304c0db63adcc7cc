"""SqueezeNext for small images, half of whose blocks are ODEs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from odebench.models.block_model import BlockModel
from odebench.models.blocks import AveragePlace, Layers, Shortcut
from odebench.models.seeded import ModelError


@dataclass(kw_only=True, eq=False)
class SqueezeNextOde(BlockModel):
    """SqueezeNext as the ANODE paper trains it: w, 2w, 4w and 8w channels, w = 32 by default.

    A 3 × 3 convolution to 2w channels; four stages, all but the first with stride 2, each an ordinary block and an ODE block; a 1 × 1
    convolution to 4w channels; the average over all places; a linear layer. A block is five convolutions, each normalised and
    rectified: 1×1 to half the channels, 1×1 to a quarter, 1×3 and 3×1 to a half, 1×1 to all. An ordinary block first reduces to a
    quarter instead of a half where it has fewer channels after than before, and not at all where its stride is 2. Convolutions have
    biases, and w must be a multiple of 4. On CIFAR-10 it has 461,466 parameters. State `(batch, channels, height, width)`.
    Span: [0, 1].

    Source: A. Gholami, K. Keutzer, G. Biros, "ANODE: unconditionally accurate memory-efficient gradients for neural ODEs", IJCAI
    2019, arXiv:1902.10298; the layers as in https://github.com/amirgholami/anode.
    """

    name = "squeezenext-ode"
    source: ClassVar[str] = "Gholami, Keutzer, Biros, ANODE, IJCAI 2019, arXiv:1902.10298"

    width: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width % 4:
            raise ModelError(f"`width` is {self.width!r}; the blocks of {self.name} need a multiple of 4.")

    def parts(self, layers: Layers, channels: int, classes: int) -> list[nn.Module]:
        """As `BlockModel.parts` says."""
        w = self.width
        parts, before = layers.conv(channels, 2 * w, bias=True), 2 * w
        for stage in range(4):
            after, stride = w * 2**stage, 2 if stage else 1
            parts.append(_ordinary(layers, before, after, stride))
            parts.append(layers.flow(lambda channels=after: _squeezed(layers, channels, channels, 2, 1)))
            before = after
        return [*parts, *layers.conv(8 * w, 4 * w, 1, bias=True), AveragePlace(), layers.linear(4 * w, classes)]


def _ordinary(layers: Layers, inputs: int, outputs: int, stride: int) -> Shortcut:
    reduction = 1 if stride == 2 else 4 if inputs > outputs else 2
    branch = _squeezed(layers, inputs, outputs, reduction, stride)
    same = stride == 1 and inputs == outputs
    shortcut = [] if same else layers.conv(inputs, outputs, 1, stride=stride, bias=True)
    return Shortcut(nn.Sequential(*branch), nn.Sequential(*shortcut))


def _squeezed(layers: Layers, inputs: int, outputs: int, reduction: int, stride: int) -> list[nn.Module]:
    half = inputs // reduction
    return [
        *layers.conv(inputs, half, 1, stride=stride, bias=True),
        *layers.conv(half, half // 2, 1, bias=True),
        *layers.conv(half // 2, half, (1, 3), bias=True),
        *layers.conv(half, half, (3, 1), bias=True),
        *layers.conv(half, outputs, 1, bias=True),
    ]
