"""The gradient of steps, from the last to the first, as one loop in one graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from odebench.compiled.emission import Emission
from odebench.compiled.field_graph import FieldGraph
from odebench.compiled.host_count import host_count
from odebench.compiled.lanes import Lanes
from odebench.compiled.replay import Placed, interpolated
from odebench.compiled.rounds import IN_THE_GRAPH, InChunks, InTheGraph
from odebench.compiled.step_facts import facts_of
from odebench.compiled.traced_field import Shape, TracedField
from odebench.numerics import ExplicitRungeKutta


class Reversed(NamedTuple):
    """What the program gives.

    Attributes:
        y: cotangent of the packed state at the start of the first step.
        gradients: of the tensors that want one, added to those given.
        evaluations: of the field, in a step; int64, `()`, on the CPU.
    """

    y: Tensor
    gradients: tuple[Tensor, ...]
    evaluations: Tensor


@dataclass(frozen=True, kw_only=True)
class Reverse:
    """The program that goes back through stored steps: each is computed again and differentiated.

    Args:
        solver, graph, shape, lanes: the method, the field, its state, and whose steps they are.
        emission: what the forward program stored for output times.
        outputs: whether there are cotangents of output times besides that of the end.
        wanted: which of the field's tensors want a gradient.
        loop: how rounds follow one another.

    Attributes:
        asks: whether the number of rounds is known only when the last one has ended.
    """

    solver: ExplicitRungeKutta
    graph: FieldGraph
    shape: Shape
    lanes: Lanes
    emission: Emission
    outputs: bool
    wanted: tuple[int, ...]
    loop: InTheGraph | InChunks = IN_THE_GRAPH
    asks: ClassVar[bool] = False

    def __call__(
        self,
        cotangent: Tensor,
        grid: Tensor,
        states: Tensor,
        placed: Sequence[Tensor],
        cotangents: Tensor,
        gradients: Sequence[Tensor],
        tensors: Sequence[Tensor],
    ) -> tuple[Any, ...]:
        """A `Reversed`: go back through the steps of `grid`.

        Args:
            cotangent: of the packed state at the end of the last step.
            grid: start and length of each step, float64, `(steps, 2)` or `(steps, 2, batch)`.
            states: packed state at the start of each step, in at least as many rows.
            placed: the output times in these steps.
            cotangents: of the states at these times, `(times, *y)`.
            gradients: what the gradients are added to.
        """
        lanes, emission = self.lanes, self.emission
        placed = Placed(*placed) if self.outputs else None
        probe = lambda field: self._step(field, grid[0, 0], grid[0, 1], states[0])  # noqa: E731
        facts = self.loop.once(lambda: facts_of(probe, TracedField(self.graph, self.shape, tensors), emission))
        weights = None
        if placed is not None:
            weights = weights_of(emission, lanes, placed, cotangents, facts.stored, cotangent).clone()
        differentiated = [tensors[index] for index in self.wanted]

        count, host = len(gradients), host_count(grid.device, grid.shape[0] - 1)

        def going(n, here, y, cotangent, *others):
            return (others[count] if host else n) >= 0

        # The loop carries the step that it is about to reverse: looked up where it is used, it would be looked up for each element.
        def back(n, here, y, cotangent, *others):
            def forward(y, *differentiated):
                replaced = list(tensors)
                for index, tensor in zip(self.wanted, differentiated, strict=True):
                    replaced[index] = tensor
                step = self._step(TracedField(self.graph, self.shape, replaced, "differentiable"), here[0], here[1], y)
                return (step.y1, torch.stack(emission.tensors(step))) if weights is not None else step.y1

            _, pull = torch.func.vjp(forward, y, *differentiated)
            if weights is None:
                pulled = pull(cotangent)
            else:
                slot = placed.slots.index_select(0, n.reshape(1))
                pulled = pull((cotangent, weights.index_select(0, slot).squeeze(0)))
            sums = tuple(total + gradient for total, gradient in zip(others[:count], pulled[1:], strict=True))
            before = (n - 1).clamp(min=0).reshape(1)
            following = (grid.index_select(0, before).squeeze(0), states.index_select(0, before).squeeze(0))
            return n - 1, *following, pulled[0].clone(), *sums, *(left - 1 for left in others[count:])

        last = torch.full((), grid.shape[0] - 1, dtype=torch.int64, device=grid.device)
        at = grid.shape[0] - 1
        first = (last, grid[at].clone(), states[at].clone(), cotangent.clone(), *(g.clone() for g in gradients), *host)
        _, _, _, start, *totals = self.loop(going, back, first, exactly=grid.shape[0])
        # A plain tuple: it leaves the program, which may be kept in a file.
        return start, tuple(totals[:count]), torch.full((), facts.evaluations, dtype=torch.int64)

    def _step(self, field: TracedField, t: Tensor, dt: Tensor, y: Tensor):
        lanes = self.lanes
        dense = self.emission.inside and self.outputs
        return self.solver.step(field, lanes.time(t, y), lanes.length(dt, y), y, None, dense=dense)


def weights_of(
    emission: Emission, lanes: Lanes, placed: Placed, cotangents: Tensor, count: int, like: Tensor
) -> Tensor:
    """The cotangents of what was stored of steps, `(rows + 1, count, *y)`, from those of the states at the output times.

    Args:
        count: how many tensors were stored of a step.
        like: any packed state.
    """
    # Linear in what was stored, so that its derivative is the same at zero.
    stored = like.new_zeros((placed.room.shape[0] + 1, count, *like.shape))
    _, pull = torch.func.vjp(lambda stored: interpolated(emission, lanes, stored, placed, like.dim()), stored)
    return pull(cotangents)[0]
