"""Weights that stay as they are."""

from __future__ import annotations

import torch
from torch import Tensor

from odebench.nn.evolution import Evolution, Weights


class NoEvolution(Evolution):
    """q = 0: an ordinary neural ODE, bit for bit, and with one Euler step a ResNet.

    Source: A. Gholami, K. Keutzer, G. Biros, "ANODE: unconditionally accurate memory-efficient gradients for neural ODEs",
    IJCAI 2019, arXiv:1902.10298.
    """

    is_flow = True

    def step(self, weights: Weights, dt: float | Tensor) -> Weights:
        """The same tensors."""
        return weights

    def rate(self, weights: Weights) -> Weights:
        """Zeros."""
        return tuple(torch.zeros_like(w) for w in weights)
