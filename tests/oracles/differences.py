"""Directional derivatives by central differences, extrapolated: what a gradient is held against."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def directional_derivative(
    value: Callable[..., Tensor], at: Sequence[Tensor], along: Sequence[Tensor], step: float = 1e-3
) -> float:
    """d/ds value(at + s·along) at s = 0, by Richardson's extrapolation of central differences of steps h, h/2 and h/4.

    The error is O(h^6) plus rounding over h.
    """
    with torch.no_grad():

        def central(h: float) -> float:
            ahead, behind = ([a + sign * h * d for a, d in zip(at, along, strict=True)] for sign in (1, -1))
            return ((value(*ahead) - value(*behind)) / (2 * h)).item()

        first, second, third = central(step), central(step / 2), central(step / 4)
    once, again = (4 * second - first) / 3, (4 * third - second) / 3
    return (16 * again - once) / 15


def random_directions(tensors: Sequence[Tensor], seed: int = 0) -> list[Tensor]:
    """A seeded normal direction for each tensor, scaled to its largest element (1 where all are 0)."""
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(t.shape, generator=generator, dtype=torch.float64)
        * ((t.abs().max().item() if t.numel() else 0.0) or 1.0)
        for t in tensors
    ]
