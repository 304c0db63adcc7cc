"""Small coupled systems in float64 that the tests of evolving weights share."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from odebench.nn import EvolvingField, Kernel, NoEvolution, RateEvolution, ReactionDiffusionAdvection

STEPS = 5


def seeded(*shape: int, seed: int = 0) -> Tensor:
    """Standard normal draws."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def conv_module(channels: int = 2, size: int = 3) -> nn.Module:
    """Two convolutions with biases, called without a time."""
    module = nn.Sequential(
        nn.Conv2d(channels, 3, size, padding=size // 2), nn.Tanh(), nn.Conv2d(3, channels, size, padding=size // 2)
    ).double()
    return filled(module)


class TimedLinear(nn.Module):
    """A matrix and a bias, called with a time."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, t, z):
        return torch.tanh(self.layer(z)) * (1.0 + 0.3 * torch.as_tensor(t, dtype=z.dtype))


def linear_module() -> nn.Module:
    """A linear field that depends on the time."""
    return filled(TimedLinear().double())


def filled(module: nn.Module) -> nn.Module:
    """The module with seeded parameters, so that tests do not depend on torch's initialisation."""
    with torch.no_grad():
        for seed, parameter in enumerate(module.parameters()):
            parameter.copy_(0.4 * seeded(*parameter.shape, seed=seed + 1))
    return module


class Bistable(nn.Module):
    """q(w; r) = r (w - w³), a non-linear rate with one coefficient."""

    def __init__(self) -> None:
        super().__init__()
        self.strength = nn.Parameter(torch.tensor(0.7, dtype=torch.float64))

    def forward(self, w):
        return self.strength * (w - w**3)


def memory(renormalised: bool = True) -> Kernel:
    """K(s) = 2 exp(-2 s), of unit mass on [0, ∞)."""
    return Kernel(lambda s: 2.0 * math.exp(-2.0 * s), renormalised=renormalised)


EVOLUTIONS = {
    "none": NoEvolution,
    "linear": lambda: ReactionDiffusionAdvection(diffusion=0.05, advection=(0.4, -0.3), reaction=0.2),
    "shared": lambda: ReactionDiffusionAdvection(diffusion=0.05, advection=0.4, reaction=0.2, per_layer=False),
    "tanh": lambda: ReactionDiffusionAdvection(diffusion=0.05, advection=0.4, reaction=0.2, nonlinearity="tanh"),
    "rate": lambda: RateEvolution(Bistable(), solver="midpoint"),
}
KERNELS = {"delta": lambda: None, "memory": memory, "raw-memory": lambda: memory(renormalised=False)}
MODULES = {"conv": conv_module, "linear": linear_module}


def evolving(module: str, evolution: str, kernel: str = "delta", **arguments) -> EvolvingField:
    """An evolving field with `STEPS` steps of the weights."""
    return EvolvingField(
        MODULES[module](),
        EVOLUTIONS[evolution](),
        kernel=KERNELS[kernel](),
        **{"weight_steps": STEPS, **arguments},
    )


def start(module: str) -> Tensor:
    """An initial state that requires a gradient."""
    return seeded(*((3, 2, 5, 4) if module == "conv" else (3, 4)), seed=9).requires_grad_()


def loss_of(z: Tensor) -> Tensor:
    """A loss that looks at every element with another weight."""
    return (torch.linspace(1.0, 2.0, z.numel(), dtype=z.dtype).reshape(z.shape) * z.sin()).sum()
