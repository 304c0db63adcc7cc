"""Steps of a given grid, as one loop in one graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from odebench.compiled.emission import Emission
from odebench.compiled.field_graph import FieldGraph
from odebench.compiled.host_count import host_count
from odebench.compiled.lanes import Lanes
from odebench.compiled.rounds import IN_THE_GRAPH, InChunks, InTheGraph
from odebench.compiled.step_facts import facts_of
from odebench.compiled.traced_field import Shape, TracedField
from odebench.numerics import ExplicitRungeKutta


class Placed(NamedTuple):
    """Which output time lies in which step.

    Attributes:
        slots: for each step, where it is stored that it has output times; the number of such steps where it has none;
            int64, `(steps,)`.
        slot: for each of these output times, where its step is stored; int64, `(times,)` or `(times, batch)`.
        share: where in that step it lies; float64, likewise.
        dt: length of that step; likewise.
        room: any tensor with as many rows as steps are stored.
    """

    slots: Tensor
    slot: Tensor
    share: Tensor
    dt: Tensor
    room: Tensor


class Replayed(NamedTuple):
    """What the program gives.

    Attributes:
        y: packed state at the end of the grid.
        states: packed states as `rows` asks for them, `(kept + 1, *y)`; the last row means nothing.
        outputs: states at the output times that were placed, `(times, *y)`; empty where there are none.
        evaluations: of the field, to begin with and in a step; int64, `(2,)`, on the CPU.
    """

    y: Tensor
    states: Tensor
    outputs: Tensor
    evaluations: Tensor


@dataclass(frozen=True, kw_only=True)
class Replay:
    """The program that takes the steps of a grid.

    Args:
        solver, graph, shape, lanes: the method, the field, its state, and whose steps they are.
        emission: what is stored for output times.
        outputs: whether there are output times besides the last.
        keep: whether states at the starts of steps are stored.
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
    keep: bool
    loop: InTheGraph | InChunks = IN_THE_GRAPH
    asks: ClassVar[bool] = False

    def __call__(
        self, y: Tensor, grid: Tensor, rows: Tensor, kept: Tensor, placed: Sequence[Tensor], tensors: Sequence[Tensor]
    ) -> tuple[Tensor, ...]:
        """A `Replayed`: take the steps of `grid`.

        Args:
            y: packed state at its start.
            grid: start and length of each step, float64, `(steps, 2)` or `(steps, 2, batch)`.
            rows: where the state at the start of each step is stored; the number of those that are wanted where it is not.
            kept: any tensor with as many rows as states are wanted.
            placed: the output times.
        """
        lanes, emission = self.lanes, self.emission
        placed = Placed(*placed) if self.outputs else None
        probe = lambda field: self._step(field, grid[0, 0], grid[0, 1], y, None)  # noqa: E731
        takes_over, kinds, evaluations = self.loop.once(lambda: facts_of(probe, self._field(tensors), emission))
        slope = self._field(tensors)(lanes.time(grid[0, 0], y), y).clone() if takes_over else y.new_empty(0)
        states = y.new_empty((kept.shape[0] + 1, *y.shape)) if self.keep else None
        stored = None
        if placed is not None:
            stored = y.new_empty((placed.room.shape[0] + 1, kinds, *y.shape))

        def going(n, here, y, slope, *host):
            return (host[0] if host else n) < grid.shape[0]

        # The loop carries the step that it is about to take: looked up where it is used, it would be looked up for each element.
        def advance(n, here, y, slope, *host):
            at = n.reshape(1)
            step = self._step(self._field(tensors), here[0], here[1], y, slope if takes_over else None)
            if states is not None:
                states.index_copy_(0, rows.index_select(0, at), y[None])
            if stored is not None:
                stored.index_copy_(0, placed.slots.index_select(0, at), torch.stack(emission.tensors(step))[None])
            following = grid.index_select(0, (n + 1).clamp(max=grid.shape[0] - 1).reshape(1)).squeeze(0)
            slope = step.carry.clone() if takes_over else slope.clone()
            return n + 1, following, step.y1.clone(), slope, *(count + 1 for count in host)

        zero = torch.zeros((), dtype=torch.int64, device=grid.device)
        host = host_count(grid.device, 0)
        first = (zero, grid[0].clone(), y.clone(), slope, *host)
        _, _, end, *_ = self.loop(going, advance, first, exactly=grid.shape[0])
        outputs = y.new_empty(0)
        if placed is not None:
            outputs = interpolated(emission, lanes, stored, placed, y.dim())
        constants = (int(takes_over), evaluations - takes_over)
        evaluations = torch.stack([torch.full((), number, dtype=torch.int64) for number in constants])
        # A plain tuple: it leaves the program, which may be kept in a file.
        return end, states if states is not None else y.new_empty(0), outputs, evaluations

    def _field(self, tensors: Sequence[Tensor]) -> TracedField:
        return TracedField(self.graph, self.shape, tensors)

    def _step(self, field: TracedField, t: Tensor, dt: Tensor, y: Tensor, slope: Tensor | None):
        lanes = self.lanes
        return self.solver.step(
            field, lanes.time(t, y), lanes.length(dt, y), y, slope, dense=self.emission.inside and self.outputs
        )


def interpolated(emission: Emission, lanes: Lanes, stored: Tensor, placed: Placed, dimensions: int) -> Tensor:
    """The states at the output times, from what was stored of their steps."""
    slot = placed.slot
    if lanes.by_row:
        batch = torch.arange(slot.shape[1], device=slot.device)
        at = [stored[slot, index, batch] for index in range(stored.shape[1])]
    else:
        at = [stored[slot, index] for index in range(stored.shape[1])]
    shape = (*slot.shape, *(1,) * (1 + dimensions - slot.dim()))
    wide = lambda values: values.reshape(shape).to(lanes.dtype)  # noqa: E731
    return emission.states(at, wide(placed.share), wide(placed.dt))
