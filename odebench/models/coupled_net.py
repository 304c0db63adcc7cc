"""A network whose weights evolve while it is solved."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from odebench.models.network import Network, check_width, kaiming, kaiming_linear
from odebench.models.seeded import ModelError, check_choice
from odebench.nn import Evolution, EvolvingField, Kernel, NoEvolution, RateEvolution, ReactionDiffusionAdvection

EVOLUTIONS = ("none", "reaction-diffusion-advection", "saturating")
COEFFICIENTS = ("diffusion", "advection", "reaction")


class Saturating(nn.Module):
    """q(w) = ρ tanh(w): growth or decay of a bounded rate, so that no weight explodes whatever ρ becomes."""

    def __init__(self, reaction: float) -> None:
        super().__init__()
        self.reaction = nn.Parameter(torch.tensor(reaction, dtype=torch.float64))

    def forward(self, w: Tensor) -> Tensor:
        return self.reaction * torch.tanh(w)


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
        check_choice("evolution", evolution, EVOLUTIONS)
        check_choice("nonlinearity", nonlinearity, ("none", "tanh"))
        check_choice("configuration", configuration, (1, 2))
        if not (math.isfinite(memory) and memory >= 0):
            raise ModelError(f"`memory` is {memory!r}; it must be finite and at least 0.")
        self.train = tuple(word.strip() for word in train.split(",")) if train != "none" else ()
        for word in self.train:
            check_choice("train", word, (*COEFFICIENTS, "none"))
        self.width, self.evolution, self.nonlinearity = check_width(width), evolution, nonlinearity
        self.diffusion, self.advection, self.reaction, self.per_layer = diffusion, advection, reaction, per_layer
        self.memory, self.configuration = memory, configuration
        self.weight_steps, self.weight_solver = weight_steps, weight_solver
        self._evolution()  # refuses wrong coefficients before any data are loaded

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
        return EvolvingField(
            nn.Sequential(enter, nn.Tanh(), leave),
            self._evolution(),
            kernel=Kernel(self._memory) if self.memory else None,
            configuration=self.configuration,
            weight_steps=self.weight_steps or None,
            span=(0.0, float(self.span)),
        )

    def _evolution(self) -> Evolution:
        if self.evolution == "none":
            return NoEvolution()
        if self.evolution == "saturating":
            rate = Saturating(self.reaction)
            rate.reaction.requires_grad_("reaction" in self.train)
            return RateEvolution(rate, solver=self.weight_solver)
        return ReactionDiffusionAdvection(
            diffusion=self.diffusion,
            advection=self.advection,
            reaction=self.reaction,
            nonlinearity=None if self.nonlinearity == "none" else self.nonlinearity,
            per_layer=self.per_layer,
            train=self.train,
        )

    def _memory(self, s: float) -> float:
        return self.memory * math.exp(-self.memory * s)
