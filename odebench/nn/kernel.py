"""How weights remember their past."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from odebench.nn.evolution import Weights


class Kernel:
    """θ(t) = ∫₀ᵗ K(t - τ) w(τ) dτ, by the trapezoidal rule on the times at which the weights are known.

    Args:
        function: K, a function of one non-negative float.
        renormalised: divide by ∫₀ᵗ K, so that weights that do not change are θ at all times, and θ(0) = w(0). Otherwise a kernel
            has not yet its whole mass near t = 0, and θ(0) = 0.
    """

    def __init__(self, function: Callable[[float], float], *, renormalised: bool = True) -> None:
        self.function, self.renormalised = function, renormalised

    def weights(self, times: Sequence[float]) -> list[float]:
        """k_m with θ(times[-1]) = Σ k_m w(times[m]); times rise from the first, at which memory begins."""
        gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
        halves = [0.5 * (left + right) for left, right in zip([0.0, *gaps], [*gaps, 0.0], strict=True)]
        found = [half * self.function(times[-1] - t) for half, t in zip(halves, times, strict=True)]
        if not self.renormalised:
            return found
        mass = sum(found)
        return [one / mass for one in found] if len(times) > 1 else [1.0]

    def matrix(self, times: Sequence[float]) -> Tensor:
        """`weights` of each time, `(times, times)` in float64, lower triangular."""
        rows = [self.weights(times[: n + 1]) for n in range(len(times))]
        return torch.tensor([row + [0.0] * (len(times) - len(row)) for row in rows], dtype=torch.float64)

    def applied(self, times: Sequence[float], history: Sequence[Weights]) -> Weights:
        """θ(times[-1]) of weights known at `times`."""
        found = self.weights(times)
        layers = zip(*history, strict=True)
        return tuple(sum(k * w for k, w in zip(found, layer, strict=True)) for layer in layers)
