"""A first step from two evaluations of the field."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from odebench.contract import Field, State, modules_of
from odebench.errors import IncompatibleError
from odebench.numerics.packing import Packing
from odebench.numerics.recomputation import Recomputation
from odebench.numerics.timed_field import TimedField
from odebench.policies.parameters import check_number


@dataclass(frozen=True, kw_only=True)
class RowNorm:
    """Mean over the batch of the norm of a row, over all axes and all tensors of its state.

    Attributes:
        kind: "plain": the Euclidean norm; "weighted": the root mean square of v / (atol + rtol |y0|), the textbook's.
        rtol, atol: of the weighted norm.
    """

    kind: str = "plain"
    rtol: float = 1e-3
    atol: float = 1e-3

    def __post_init__(self) -> None:
        if self.kind not in ("plain", "weighted"):
            raise IncompatibleError(f"`norm` is {self.kind!r}; it must be 'plain' or 'weighted'.")
        check_number("norm_rtol", self.rtol, least=0.0)
        check_number("norm_atol", self.atol, above=0.0)

    def at(self, y0: Tensor) -> Callable[[Tensor], float]:
        """The norm of values `(batch, …)` at the states `y0`, of the same shape."""
        size = _rows(y0).abs()

        def norm(value: Tensor) -> float:
            rows = _rows(value)
            if rows.numel() == 0:
                return 0.0
            if self.kind == "plain":
                return torch.linalg.vector_norm(rows, dim=1).mean().item()
            scaled = rows / (self.atol + self.rtol * size)
            return torch.linalg.vector_norm(scaled, dim=1).mean().item() / math.sqrt(rows.shape[1])

        return norm


def first_step(field: Field, y0: State, ts: Sequence[float], order: int, norm: RowNorm) -> float:
    """A first step for a method of this order, as a share of the span; 0.0 where the field is not finite.

    Time is measured in spans, so that a field on [0, T] and T times the field on [0, 1] have the same steps. Costs two
    evaluations (one where the first is not finite), inside the span, which leave no trace: random numbers and running
    statistics are what they were.

    Source: E. Hairer, S. P. Nørsett, G. Wanner, "Solving ODEs I", 2nd ed., section II.4, "Starting Step Size".
    """
    packing = Packing(y0, by_row=True)
    y = packing.pack(y0).detach()
    timed = TimedField(packing.field(field), y)
    size = norm.at(y)
    start, span = float(ts[0]), float(ts[-1]) - float(ts[0])
    repetition = Recomputation(modules_of(field), y.device)
    before = repetition.mark()
    try:
        with torch.no_grad():
            slope = timed(start, y)
            d0, d1 = size(y), abs(span) * size(slope)
            if not (math.isfinite(d0) and math.isfinite(d1)):
                return 0.0
            h0 = 1e-6 if d0 < 1e-5 or d1 < 1e-5 else min(0.01 * d0 / d1, 1.0)
            ahead = timed(start + h0 * span, y + (h0 * span) * slope)
            d2 = abs(span) * size(ahead - slope) / h0
    finally:
        repetition.restore(before)
    if not math.isfinite(d2):
        return 0.0
    steepest = max(d1, d2)
    h1 = max(1e-6, 1e-3 * h0) if steepest < 1e-15 else (0.01 / steepest) ** (1.0 / (order + 1))
    return min(100.0 * h0, h1)


def _rows(value: Tensor) -> Tensor:
    """`(batch, elements)`, in a dtype in which sums of squares do not overflow."""
    value = value.float() if value.dtype in (torch.float16, torch.bfloat16) else value
    return value.flatten(1) if value.dim() > 1 else value.reshape(-1, 1)
