"""A small network with one ODE block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from odebench.models.block_model import BlockModel
from odebench.models.blocks import AveragePlace, Layers


@dataclass(kw_only=True, eq=False)
class ResNet4Ode(BlockModel):
    """A proxy of the ResNet-4 of the ANODEV2 paper, whose definition is not public: w channels, w = 16 by default.

    A 3 × 3 convolution, an ODE block with field conv3×3-norm-ReLU-conv3×3-norm-ReLU, the average over all places, a linear layer.
    The shape follows the rebuilt network of https://github.com/juliagusak/neural-ode-norm. On CIFAR-10 it has 5,306 parameters;
    "about 7.7 thousand" is reported of the paper's, unverified. State `(batch, channels, height, width)`. Span: [0, 1].

    Source: T. Zhang et al., "ANODEV2: a coupled neural ODE framework", NeurIPS 2019, arXiv:1906.04596, section 4.
    """

    name = "resnet4-ode"
    source: ClassVar[str] = "Proxy of a network in Zhang et al., ANODEV2, NeurIPS 2019, arXiv:1906.04596"

    def parts(self, layers: Layers, channels: int, classes: int) -> list[nn.Module]:
        """As `BlockModel.parts` says."""
        w = self.width
        return [*layers.conv(channels, w), layers.basic_flow(w), AveragePlace(), layers.linear(w, classes)]
