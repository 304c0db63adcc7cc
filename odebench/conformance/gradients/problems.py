"""What gradient methods are tried on: small smooth fields in float64, and a loss of all outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from odebench.contract import JaxField, State

FLOAT = torch.float64


class SmoothField(nn.Module):
    """A non-linear field that depends on the time and on three parameters; the same at each call.

    Args:
        size: of a row of the state.
        width: of the hidden layer.
        scale: factor on the weights.
    """

    def __init__(self, size: int = 3, width: int = 5, scale: float = 1.0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(20)
        self.enter = nn.Parameter(scale * torch.randn(size, width, generator=generator, dtype=FLOAT))
        self.leave = nn.Parameter(scale * torch.randn(width, size, generator=generator, dtype=FLOAT))
        self.drift = nn.Parameter(torch.randn(width, generator=generator, dtype=FLOAT))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        """dy/dt."""
        return torch.tanh(y @ self.enter + t * self.drift) @ self.leave


class WideField(nn.Module):
    """A field whose evaluation saves many times the bytes of a state: what is kept for each step or stage shows.

    Attributes:
        size: of a row of the state.
    """

    size = 16

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(21)
        self.enter = nn.Parameter(0.1 * torch.randn(self.size, 4 * self.size, generator=generator, dtype=FLOAT))
        self.leave = nn.Parameter(0.1 * torch.randn(4 * self.size, self.size, generator=generator, dtype=FLOAT))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        """dy/dt."""
        return torch.tanh(y @ self.enter) @ self.leave

    def jax_field(self) -> JaxField:
        """The same in JAX: torch's operations say nothing of a compiled solve."""
        return JaxField(function=_wide_in_jax)


def _wide_in_jax(t: Any, y: Any, p: Mapping[str, Any]) -> Any:
    import jax.numpy as jnp

    return jnp.tanh(y @ p["enter"]) @ p["leave"]


class AwkwardField(SmoothField):
    """With a parameter that is not used, one that is frozen, one that two modules share, and two whose sum alone matters.

    Autograd gives one tensor as the gradient of both terms of a sum: who adds to the one must not add to the other. Its states
    have the shape of `start()`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.ones(2, dtype=FLOAT))
        self.frozen = nn.Parameter(torch.full((3,), 0.5, dtype=FLOAT), requires_grad=False)
        self.shared = nn.Linear(3, 3, bias=False, dtype=FLOAT)
        self.again = nn.Linear(3, 3, bias=False, dtype=FLOAT)
        with torch.no_grad():
            self.shared.weight.copy_(torch.linspace(-0.5, 0.7, 9, dtype=FLOAT).reshape(3, 3))
        self.again.weight = self.shared.weight
        self.term = nn.Parameter(torch.full((4, 3), 0.3, dtype=FLOAT))
        self.other_term = nn.Parameter(torch.full((4, 3), -0.1, dtype=FLOAT))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        """dy/dt."""
        known = super().forward(t, y) * self.frozen + torch.sin(self.shared(y)) + 0.3 * self.again(y.cos())
        return known + (self.term + self.other_term)


class PairField(nn.Module):
    """On a tuple of two tensors of different shapes that drive each other."""

    def __init__(self) -> None:
        super().__init__()
        self.rate = nn.Parameter(torch.tensor([0.7, -0.4, 1.1], dtype=FLOAT))

    def forward(self, t: Tensor, y: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """dy/dt of both."""
        one, other = y
        return torch.sin(self.rate * one) - other[:, :1, 0] * t, torch.cos(other) * one.sum(1)[:, None, None]


class LayeredField(nn.Module):
    """Two linear layers with further ones between them, such as dropout or batch normalisation."""

    def __init__(self, *between: nn.Module) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(22)
        self.enter = nn.Parameter(torch.randn(3, 8, generator=generator, dtype=FLOAT))
        self.leave = nn.Parameter(torch.randn(8, 3, generator=generator, dtype=FLOAT))
        self.between = nn.Sequential(*between).to(FLOAT)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        """dy/dt."""
        return torch.tanh(self.between(y @ self.enter)) @ self.leave


def start(rows: int = 4, size: int = 3) -> Tensor:
    """An initial state that requires a gradient; the same at each call."""
    generator = torch.Generator().manual_seed(23)
    return torch.randn(rows, size, generator=generator, dtype=FLOAT).requires_grad_()


def start_of_pair() -> tuple[Tensor, Tensor]:
    """Likewise for `PairField`."""
    generator = torch.Generator().manual_seed(24)
    shapes = ((4, 3), (4, 2, 2))
    one, other = (torch.randn(shape, generator=generator, dtype=FLOAT).requires_grad_() for shape in shapes)
    return one, other


def loss_of(ys: State) -> Tensor:
    """A loss of all outputs, with another weight for each element."""
    leaves = ys if isinstance(ys, tuple) else (ys,)
    return sum((torch.linspace(1.0, 2.0, y.numel(), dtype=y.dtype).reshape(y.shape) * y.sin()).sum() for y in leaves)


def direction_of(tensor: Tensor) -> Tensor:
    """A direction in which a tensor can be moved; the same at each call."""
    generator = torch.Generator().manual_seed(25)
    return torch.randn(tensor.shape, generator=generator, dtype=FLOAT)
