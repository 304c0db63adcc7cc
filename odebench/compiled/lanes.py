"""One value for the batch, or one for each of its rows: the same formulas serve for both."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Lanes:
    """How values that steer steps, float64 of shape `()` or `(batch,)`, meet the state.

    Attributes:
        by_row: whether each row of the batch has a value of its own.
        dtype: in which the field and the sums of a step take times and lengths.
        elements: how many elements of a packed state count in the norm; None counts all.
    """

    by_row: bool
    dtype: torch.dtype
    elements: int | None = None

    def wide(self, values: Tensor, y: Tensor) -> Tensor:
        """Values as they broadcast against the state."""
        return values.reshape(-1, *(1,) * (y.dim() - 1)) if self.by_row else values

    def length(self, dt: Tensor, y: Tensor) -> Tensor:
        """Lengths of steps, as sums of stages take them."""
        return self.wide(dt, y).to(self.dtype)

    def time(self, t: Tensor, y: Tensor) -> Tensor:
        """Times as a step takes them: those of rows in the field's dtype, as the eager loops have them."""
        return self.length(t, y) if self.by_row else t

    def choose(self, which: Tensor, yes: Tensor, no: Tensor) -> Tensor:
        """`yes` where it is true, `no` elsewhere."""
        return torch.where(self.wide(which, yes), yes, no)

    def norm(self, value: Tensor, size: Tensor, rtol: Tensor, atol: Tensor) -> Tensor:
        """Root mean square of value / (atol + rtol·size), float64."""
        ratio = value / (atol.to(value.dtype) + rtol.to(value.dtype) * size)
        ratio = ratio.float() if ratio.dtype.itemsize == 2 else ratio
        if self.by_row:
            flat = ratio.reshape(ratio.shape[0], -1)
            return (flat * flat).mean(1).double().sqrt()
        flat = ratio.reshape(-1)[: self.elements]
        return (flat * flat).mean().double().sqrt()
