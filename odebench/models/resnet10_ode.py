"""A residual network of two stages, each an ordinary block and an ODE block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from odebench.models.block_model import BlockModel
from odebench.models.blocks import AveragePlace, Layers


@dataclass(kw_only=True, eq=False)
class ResNet10Ode(BlockModel):
    """A proxy of the ResNet-10 of the ANODEV2 paper, whose definition is not public: w and 2w channels, w = 16 by default.

    A 3 × 3 convolution; for each stage an ordinary residual block, the second with stride 2, and an ODE block with field
    conv3×3-norm-ReLU-conv3×3-norm-ReLU; the average over all places; a linear layer. The shape follows the rebuilt network of
    https://github.com/juliagusak/neural-ode-norm. On CIFAR-10 it has 43,226 parameters; "about
    44 thousand" is reported of the paper's, unverified. State `(batch, channels, height, width)`. Span: [0, 1].

    Source: T. Zhang et al., "ANODEV2: a coupled neural ODE framework", NeurIPS 2019, arXiv:1906.04596, section 4.
    """

    name = "resnet10-ode"
    source: ClassVar[str] = "Proxy of a network in Zhang et al., ANODEV2, NeurIPS 2019, arXiv:1906.04596"

    def parts(self, layers: Layers, channels: int, classes: int) -> list[nn.Module]:
        """As `BlockModel.parts` says."""
        w = self.width
        return [
            *layers.conv(channels, w),
            layers.basic(w, w, 1),
            layers.basic_flow(w),
            layers.basic(w, 2 * w, 2),
            layers.basic_flow(2 * w),
            AveragePlace(),
            layers.linear(2 * w, classes),
        ]
