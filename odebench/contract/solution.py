"""What a solve returns."""

from __future__ import annotations

from dataclasses import dataclass, field

from odebench.contract.field import State
from odebench.contract.grid import Grid


@dataclass(kw_only=True)
class Stats:
    """Counts of one solve. The backward figures are filled in when the backward has run.

    Attributes:
        evaluations_forward: calls of the field in the forward solve, the first-step heuristic and rejected steps included.
        evaluations_backward: calls of the field in the backward pass, recomputation included.
        accepted: accepted steps of the forward solve.
        rejected: rejected ones.
    """

    evaluations_forward: int = 0
    evaluations_backward: int = 0
    accepted: int = 0
    rejected: int = 0


@dataclass(frozen=True, kw_only=True)
class Solution:
    """The states at the output times.

    Attributes:
        ys: `(times, batch, *state)`, the initial state first; a tuple of such tensors for a tuple state.
        grid: the accepted steps; None from a library that does not tell them.
        stats: counts of the solve.
    """

    ys: State
    grid: Grid | None
    stats: Stats = field(default_factory=Stats)

    @property
    def y1(self) -> State:
        """The state at the last output time, `(batch, *state)`."""
        return tuple(y[-1] for y in self.ys) if isinstance(self.ys, tuple) else self.ys[-1]
