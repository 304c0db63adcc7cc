"""What a solve returns."""

from __future__ import annotations

from dataclasses import dataclass, field

from odebench.contract.field import State
from odebench.contract.grid import Grid


@dataclass(kw_only=True)
class ProgramMemory:
    """Bytes that compiled programs hold beyond their inputs, where torch's allocator takes no part, by their compiler's analysis.

    Attributes:
        method: the analysis, as a name for the record: "xla-analysis".
        forward_peak_bytes: temporaries and outputs of the forward program.
        forward_bytes: its outputs, those that the backward needs among them.
        backward_peak_bytes: temporaries and outputs of the backward program; filled in when the backward has run.
    """

    method: str
    forward_peak_bytes: int = 0
    forward_bytes: int = 0
    backward_peak_bytes: int = 0

    @property
    def peak_bytes(self) -> int:
        """The most that is held at once: what the forward left is there as long as the backward runs."""
        return max(self.forward_peak_bytes, self.forward_bytes + self.backward_peak_bytes)


@dataclass(kw_only=True)
class Stats:
    """Counts of one solve. The backward figures are filled in when the backward has run.

    Attributes:
        evaluations_forward: calls of the field in the forward solve, the first-step heuristic and rejected steps included; None from
            a compiled solve that does not tell.
        evaluations_backward: calls of the field in the backward pass, recomputation included; None likewise.
        accepted: accepted steps of the forward solve.
        rejected: rejected ones.
        compiled: whether the solve ran in programs of the compiled engine.
        compiled_as: what its programs are, its backward pass included: "kernel", one function with a trajectory in registers; "loop",
            one graph with the loop in it; "chunks", graphs of some rounds that the host asks for; several joined by " and ". None
            where it did not.
        compile_fallback_reason: why it did not, where it was allowed to run without; None otherwise.
        compile_s: seconds in which programs were compiled for it.
        memory: of compiled programs; None where the solve's memory is torch's.
    """

    evaluations_forward: int | None = 0
    evaluations_backward: int | None = 0
    accepted: int = 0
    rejected: int = 0
    compiled: bool = False
    compiled_as: str | None = None
    compile_fallback_reason: str | None = None
    compile_s: float = 0.0
    memory: ProgramMemory | None = None


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
