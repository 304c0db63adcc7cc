"""Keep every √N-th state, and compute the steps between two of them again in the backward."""

from __future__ import annotations

from odebench.gradients.checkpointed_call import Checkpointing
from odebench.numerics.checkpoint_schedules import Schedule, SquareRoot


class SqrtCheckpoint(Checkpointing):
    """Gradient of the discrete solution with about 2 √N states at once; exact for the discretisation.

    The forward pass stores every m-th state, m about √N; the backward pass fills one stretch after the other, and goes back
    through it one step at a time. Cost: less than one more forward pass without a graph, besides the one with it. There is
    nothing to choose, which is why it stands beside `revolve`, whose slots are.

    Where the steps are chosen on the way, m doubles as they become more: at most 2.13 √N + 1 states.

    Source: T. Chen, B. Xu, C. Zhang, C. Guestrin, "Training deep nets with sublinear memory cost", 2016, arXiv:1604.06174,
    section 4.
    """

    name = "sqrt-checkpoint"
    memory = "O(sqrt N)"
    compiled_memory = "segments"
    source = "T. Chen et al., 2016, arXiv:1604.06174"

    def schedule(self, steps: int | None) -> Schedule:
        """As `Checkpointing.schedule` says."""
        return SquareRoot(steps)
