"""A network whose weights evolve while it is solved."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from odebench.models.evolutions import EvolutionChoice
from odebench.models.network import Network, check_width, kaiming, kaiming_linear
from odebench.nn import EvolvingField


class CoupledNet(Network):
    """Two layers whose weights are functions of time: z' = L₂(tanh(L₁ z)) with θ(t) from dw/dt = q(w; p).

    On images the layers are 3 × 3 convolutions that keep the size, on all else linear layers on flattened data. Both matrices or
    kernels evolve, the biases stay. The trained unknowns are their initial values w(0), the coefficients p, and the biases. With
    all coefficients 0, the default, it starts as an ordinary neural ODE. Span: [0, 1].

    Args:
        data, batch, span, outputs: as `Network`.
        width: units or channels between the layers.
        evolution: "none", "reaction-diffusion-advection" (over a kernel's places, or over the rows and columns of a matrix), or
            "saturating", q = ρ tanh(w), as an example of a rate that a user writes, integrated by `weight_solver`.
        diffusion, advection, reaction: initial coefficients, the same for both layers.
        train: which of the coefficients are trained, joined by commas; "none" for none of them.
        per_layer: each layer has coefficients of its own.
        nonlinearity: σ of "reaction-diffusion-advection": "none" or "tanh".
        memory: rate r of the kernel K(s) = r exp(-r s), renormalised over [0, t]; 0 is K = δ.
        configuration: 1, or 2, in which weights evolve over the whole span before z takes its steps.
        weight_steps: steps of the weights over the span; 0 for as few as possible, where their number does not matter.
        weight_solver: name of the solver of "saturating".

    Source: T. Zhang et al., "ANODEV2: a coupled neural ODE framework", NeurIPS 2019, arXiv:1906.04596. What that leaves open is a
    parameter here.
    """

    name = "coupled-net"
    source: ClassVar[str] = "Zhang et al., ANODEV2: A coupled neural ODE framework, NeurIPS 2019, arXiv:1906.04596"

    def __init__(
        self,
        *,
        data: str | Mapping[str, Any] = "spheres",
        width: int = 8,
        evolution: str = "reaction-diffusion-advection",
        diffusion: float = 0.0,
        advection: float = 0.0,
        reaction: float = 0.0,
        train: str = "diffusion,advection,reaction",
        per_layer: bool = True,
        nonlinearity: str = "none",
        memory: float = 0.0,
        configuration: int = 1,
        weight_steps: int = 5,
        weight_solver: str = "rk4",
        batch: int = 64,
        span: float = 1.0,
        outputs: int = 8,
    ) -> None:
        super().__init__(data=data, batch=batch, span=span, outputs=outputs)
        self.width = check_width(width)
        self.choice = EvolutionChoice(
            evolution=evolution,
            diffusion=diffusion,
            advection=advection,
            reaction=reaction,
            train=train,
            per_layer=per_layer,
            nonlinearity=nonlinearity,
            memory=memory,
            configuration=configuration,
            weight_steps=weight_steps,
            weight_solver=weight_solver,
        )

    def state_of(self, inputs: Tensor) -> Tensor:
        """Images as they are, all else flattened."""
        return inputs if inputs.dim() == 4 else inputs.flatten(1)

    def build_field(self, shape: tuple[int, ...], generator: torch.Generator) -> EvolvingField:
        """As `Network.build_field` says."""
        if len(shape) == 3:
            channels, width = shape[0], self.width
            conv = nn.Conv2d
            enter = kaiming(conv(channels, width, 3, padding=1, device="meta"), 9 * channels, generator)
            leave = kaiming(conv(width, channels, 3, padding=1, device="meta"), 9 * width, generator)
        else:
            dim = math.prod(shape)
            enter, leave = kaiming_linear(dim, self.width, generator), kaiming_linear(self.width, dim, generator)
        return self.choice.field(nn.Sequential(enter, nn.Tanh(), leave), self.span)
