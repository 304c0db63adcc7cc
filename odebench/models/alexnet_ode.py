"""A small AlexNet with an ODE block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from odebench.models.block_model import BlockModel
from odebench.models.blocks import AveragePlace, Layers


@dataclass(kw_only=True, eq=False)
class AlexNetOde(BlockModel):
    """A proxy of the AlexNet of the ANODEV2 paper, whose definition is not public: w, 3w and 4w channels, w = 64 by default.

    3 × 3 convolutions to w, 3w and 4w channels, the first two followed by the maximum of each 2 × 2 places; an ODE block with field
    conv3×3-norm-ReLU-conv3×3-norm-ReLU in the place of the last two convolutions of AlexNet; the average over all places; a linear
    layer. On CIFAR-10 it has 1,738,954 parameters; "about 1.76 million" is reported of the paper's, unverified. State
    `(batch, channels, height, width)`. Span: [0, 1].

    Source: T. Zhang et al., "ANODEV2: a coupled neural ODE framework", NeurIPS 2019, arXiv:1906.04596, section 4; AlexNet:
    A. Krizhevsky, I. Sutskever, G. E. Hinton, NeurIPS 2012.
    """

    name = "alexnet-ode"
    source: ClassVar[str] = "Proxy of a network in Zhang et al., ANODEV2, NeurIPS 2019, arXiv:1906.04596"

    width: int = 64

    def parts(self, layers: Layers, channels: int, classes: int) -> list[nn.Module]:
        """As `BlockModel.parts` says."""
        w = self.width
        return [
            *layers.conv(channels, w),
            nn.MaxPool2d(2),
            *layers.conv(w, 3 * w),
            nn.MaxPool2d(2),
            *layers.conv(3 * w, 4 * w),
            layers.basic_flow(4 * w),
            AveragePlace(),
            layers.linear(4 * w, classes),
        ]
