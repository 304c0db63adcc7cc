"""How the weights of a model evolve, as its parameters name it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

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


@dataclass(frozen=True, kw_only=True)
class EvolutionChoice:
    """An evolution of weights, and how a field is made to follow it.

    Attributes:
        evolution: "none", "reaction-diffusion-advection" (over a kernel's places, or over the rows and columns of a matrix), or
            "saturating", q = ρ tanh(w), as an example of a rate that a user writes, integrated by `weight_solver`.
        diffusion, advection, reaction: initial coefficients, the same for all layers.
        train: which of the coefficients are trained, joined by commas; "none" for none of them.
        per_layer: each layer has coefficients of its own.
        nonlinearity: σ of "reaction-diffusion-advection": "none" or "tanh".
        memory: rate r of the kernel K(s) = r exp(-r s), renormalised over [0, t]; 0 is K = δ.
        configuration: 1, or 2, in which weights evolve over the whole span before the state takes its steps.
        weight_steps: steps of the weights over the span; 0 for as few as possible, where their number does not matter.
        weight_solver: name of the solver of "saturating".

    Raises:
        ModelError: a value that describes none.
    """

    evolution: str
    diffusion: float
    advection: float
    reaction: float
    train: str
    per_layer: bool
    nonlinearity: str
    memory: float
    configuration: int
    weight_steps: int
    weight_solver: str

    def __post_init__(self) -> None:
        check_choice("evolution", self.evolution, EVOLUTIONS)
        check_choice("nonlinearity", self.nonlinearity, ("none", "tanh"))
        check_choice("configuration", self.configuration, (1, 2))
        if not (math.isfinite(self.memory) and self.memory >= 0):
            raise ModelError(f"`memory` is {self.memory!r}; it must be finite and at least 0.")
        for word in self.trained:
            check_choice("train", word, (*COEFFICIENTS, "none"))
        self.operator()  # refuses wrong coefficients before any data are loaded

    @property
    def trained(self) -> tuple[str, ...]:
        """The coefficients that are trained."""
        return tuple(word.strip() for word in self.train.split(",")) if self.train != "none" else ()

    def operator(self) -> Evolution:
        """The evolution, with coefficients of its own."""
        if self.evolution == "none":
            return NoEvolution()
        if self.evolution == "saturating":
            rate = Saturating(self.reaction)
            rate.reaction.requires_grad_("reaction" in self.trained)
            return RateEvolution(rate, solver=self.weight_solver)
        return ReactionDiffusionAdvection(
            diffusion=self.diffusion,
            advection=self.advection,
            reaction=self.reaction,
            nonlinearity=None if self.nonlinearity == "none" else self.nonlinearity,
            per_layer=self.per_layer,
            train=self.trained,
        )

    def field(self, module: nn.Module, span: float) -> EvolvingField:
        """The field of `module`, whose matrices and kernels evolve over [0, span]."""
        return EvolvingField(
            module,
            self.operator(),
            kernel=Kernel(self._kernel) if self.memory else None,
            configuration=self.configuration,
            weight_steps=self.weight_steps or None,
            span=(0.0, float(span)),
        )

    def _kernel(self, s: float) -> float:
        return self.memory * math.exp(-self.memory * s)
