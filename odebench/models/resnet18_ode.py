"""ResNet-18 for small images, half of whose blocks are ODEs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from odebench.models.block_model import BlockModel
from odebench.models.blocks import AveragePlace, Layers


@dataclass(kw_only=True, eq=False)
class ResNet18Ode(BlockModel):
    """ResNet-18 as the ANODE paper trains it: w, 2w, 4w and 8w channels, w = 64 by default.

    A 3 × 3 convolution; four stages, all but the first with stride 2, each an ordinary residual block and an ODE block with field
    conv3×3-norm-ReLU-conv3×3-norm-ReLU, without biases; the average over all places; a linear layer. On CIFAR-10 it has 11,173,962
    parameters, as the ordinary ResNet-18 has. State `(batch, channels, height, width)`. Span: [0, 1].

    Source: A. Gholami, K. Keutzer, G. Biros, "ANODE: unconditionally accurate memory-efficient gradients for neural ODEs", IJCAI
    2019, arXiv:1902.10298; the layers as in https://github.com/amirgholami/anode.
    """

    name = "resnet18-ode"
    source: ClassVar[str] = "Gholami, Keutzer, Biros, ANODE, IJCAI 2019, arXiv:1902.10298"

    width: int = 64

    def parts(self, layers: Layers, channels: int, classes: int) -> list[nn.Module]:
        """As `BlockModel.parts` says."""
        parts, before = layers.conv(channels, self.width), self.width
        for stage in range(4):
            after = self.width * 2**stage
            parts += [layers.basic(before, after, 2 if stage else 1), layers.basic_flow(after)]
            before = after
        return [*parts, AveragePlace(), layers.linear(before, classes)]
