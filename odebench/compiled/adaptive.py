"""Steps with control of the step size, as one loop in one graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from odebench.compiled.emission import Emission
from odebench.compiled.field_graph import FieldGraph
from odebench.compiled.lanes import Lanes
from odebench.compiled.rounds import IN_THE_GRAPH, InChunks, InTheGraph
from odebench.compiled.step_facts import facts_of
from odebench.compiled.traced_field import Shape, TracedField
from odebench.numerics import ExplicitRungeKutta
from odebench.numerics.outputs import CLOSE

RUNNING, TOO_SMALL = 0, 1
"""What a loop says of itself: it can go on, or a step would have to be shorter than the smallest allowed."""


class State(NamedTuple):
    """Where a loop is between two attempts; float64 where nothing else is said, of shape `()`, or `(batch,)` by row.

    Attributes:
        t: time reached.
        dt: signed length of the next attempt.
        previous: scaled error of the last accepted step.
        resting: whether the last attempt was refused, after which a step does not grow; bool.
        pending: index of the next output time; int64.
        y: packed state.
        slope: the derivative there, or an empty tensor where steps do not take it over.
    """

    t: Tensor
    dt: Tensor
    previous: Tensor
    resting: Tensor
    pending: Tensor
    y: Tensor
    slope: Tensor

    @classmethod
    def unpacked(cls, numbers: Tensor, resting: Tensor, pending: Tensor, y: Tensor, slope: Tensor) -> State:
        """From what programs take and give: t, dt and previous are one tensor. Of one number each, TorchDynamo would look for
        the value of each, and compile twice."""
        return cls(*numbers.unbind(), resting, pending, y, slope)


class Counts(NamedTuple):
    """What the host has to know of a run.

    Attributes:
        steps: number of steps accepted; by row, in which some row was.
        attempts: number of attempts.
        refused: of refused steps; by row, in all rows.
        status: `RUNNING` or `TOO_SMALL`.
        unmet: number of output times that were not reached; by row, in all rows.
        evaluations_to_begin: of the field, where the run is the first.
        evaluations_each: of the field in an attempt.
    """

    steps: int
    attempts: int
    refused: int
    status: int
    unmet: int
    evaluations_to_begin: int
    evaluations_each: int


class Chunk(NamedTuple):
    """What one run of the program gives.

    Attributes:
        state: where it stopped, packed.
        counts: those of `Counts`, int64.
        grid: start and length of each step, `(room + 1, 2)` or `(room + 1, 2, batch)`; valid up to the number of steps.
        states: packed states at the starts of steps, `(kept + 1, *y)`, where they were asked for; else empty. The last row
            means nothing.
        outputs: states at the output times, `(times, *y)`; those that were met.
    """

    state: tuple[Tensor, ...]
    counts: Tensor
    grid: Tensor
    states: Tensor
    outputs: Tensor


@dataclass(frozen=True, kw_only=True)
class Adaptive:
    """The program that solves under a tolerance.

    Args:
        solver: a method with an error estimate.
        graph, shape, lanes: the field, its state, and whose steps they are.
        emission: what is stored for output times.
        outputs: whether there are output times between the first and the last.
        keep: whether states at the starts of steps are stored.
        guess: whether the first step is to be found.
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
    guess: bool
    loop: InTheGraph | InChunks = IN_THE_GRAPH
    asks: ClassVar[bool] = True

    def __call__(
        self,
        ts: Tensor,
        settings: Tensor,
        limits: Tensor,
        room: Tensor,
        kept: Tensor,
        fresh: Tensor,
        state: Sequence[Tensor],
        given: Tensor,
        tensors: Sequence[Tensor],
    ) -> tuple[Any, ...]:
        """A `Chunk`: go on from `state` until the last time, until `room` steps are full, or for as many attempts as are allowed.

        Args:
            ts: output times, float64.
            settings: numbers of the step control, in the order of `settings_of`.
            limits: most attempts; and the number of steps of which the state at the start of the first is stored; int64.
            room: any tensor with as many rows as steps find room.
            kept: any tensor with as many rows as states find room.
            fresh: whether this is the start: then the slope and, where it is to be found, the first step are computed.
            given: states at the output times that were met before.
        """
        solver, lanes, emission, start = self.solver, self.lanes, self.emission, State.unpacked(*state)
        t, dt = lanes.time(start.t, start.y), lanes.length(start.dt, start.y)
        probe = lambda field: solver.step(field, t, dt, start.y, start.slope, error=True, dense=emission.inside)  # noqa: E731
        takes_over, kinds, evaluations = self.loop.once(lambda: facts_of(probe, self._field(tensors), emission))
        begin = self._begin(ts, settings, fresh, start, tensors, takes_over)
        start = start._replace(dt=begin[0], slope=begin[1])
        count = ts.shape[0]
        size = room.shape[0] + 1
        # One buffer for what is stored together: two empty ones of one shape would be taken for the same.
        grid = start.t.new_empty((size, 2, *start.t.shape))
        states = start.y.new_empty((kept.shape[0] + 1, *start.y.shape)) if self.keep else None
        slots = count + 1 if not lanes.by_row else size
        stored = start.y.new_empty((slots, kinds, *start.y.shape)) if self.outputs else None

        # Each tensor that a loop carries costs it time in every round, so that it carries few: numbers stand side by side.
        def going(counts, numbers, waiting, y, *others):
            n, attempts, _, status, _ = counts.unbind()
            room_left = (n < grid.shape[0] - 1) & (attempts < limits[0])
            return (status == RUNNING) & room_left & (waiting // 2 < ts.shape[0]).any()

        def attempt(counts, numbers, waiting, y, *others):
            n, attempts, refusals, status, used = counts.unbind()
            t, dt, previous = numbers.unbind()
            pending, resting = waiting // 2, waiting % 2 == 1
            slope = others[0] if takes_over else None
            rtol, atol, safety, least, most, integral, proportional, inverse, smallest = settings.unbind()
            direction = torch.sign(ts[-1] - ts[0])
            lines = columns(ts, t)
            count = ts.shape[0]
            active = pending < count
            goal = ts[-1] if solver.interpolates else _at(ts, pending)
            last = direction * (t + dt * (1.0 + CLOSE) - goal) >= 0.0
            length = torch.where(active, torch.where(last, goal - t, dt), 0.0)
            ahead = torch.where(last & active, goal, t + length)
            step = solver.step(
                self._field(tensors),
                lanes.time(t, y),
                lanes.length(length, y),
                y,
                slope,
                error=True,
                dense=emission.inside,
            )
            error = lanes.norm(step.error, torch.maximum(y.abs(), step.y1.abs()), rtol, atol)
            accepted = active & (error <= 1.0)
            refused = active & ~accepted
            growth = safety * error.clamp_min(1e-30) ** -integral * previous**proportional
            growth = torch.minimum(torch.maximum(growth, least), torch.where(resting, 1.0, most))
            shrink = torch.where(error.isfinite(), safety * error**-inverse, least)
            shrink = torch.maximum(shrink, least).clamp(max=1.0)
            # A step cut short to meet a time says nothing against the length that was planned.
            grown = torch.where(
                last & (growth >= 1.0), direction * torch.maximum((length * growth).abs(), dt.abs()), length * growth
            )
            following = torch.where(accepted, grown, torch.where(refused, length * shrink, dt))
            reached = (direction * (ahead - lines) >= -CLOSE * length.abs()).sum(0)
            met = torch.where(accepted, torch.maximum(pending, reached), pending)

            grid.index_copy_(0, n.reshape(1), torch.stack((t, torch.where(accepted, length, 0.0)))[None])
            if states is not None:
                row = torch.where(n % limits[1] == 0, n // limits[1], states.shape[0] - 1)
                states.index_copy_(0, row.reshape(1), y[None])
            found = ()
            if stored is not None:
                index = columns(torch.arange(count, device=ts.device), t)
                hit = (index >= pending) & (index < met)
                where, slot = others[-1].unbind()
                found = (torch.stack((torch.where(hit, n, where), torch.where(hit, used, slot))),)
                stored.index_copy_(0, used.reshape(1), torch.stack(emission.tensors(step))[None])
                used = used + hit.any()

            now = torch.where(accepted, ahead, t)
            open_ = met < count
            target = ts[-1] if solver.interpolates else _at(ts, met)
            ends = direction * (now + following * (1.0 + CLOSE) - target) >= 0.0
            small = (open_ & ~ends & (following.abs() < smallest)).any()
            ended = torch.where(small, TOO_SMALL, status)
            resting = torch.where(active, refused, resting)
            slopes = (lanes.choose(accepted, step.carry, slope),) if takes_over else ()
            return (
                torch.stack((n + accepted.any(), attempts + 1, refusals + refused.sum(), ended, used)),
                torch.stack((now, following, torch.where(accepted, error.clamp_min(1e-4), previous))),
                2 * met + resting,
                lanes.choose(accepted, step.y1, y),
                *slopes,
                *found,
            )

        others = (start.slope.clone(),) if takes_over else ()
        if stored is not None:
            others += (torch.full((2, count, *start.t.shape), -1, dtype=torch.int64, device=ts.device),)
        counts, numbers, waiting, y, *others = self.loop(
            going,
            attempt,
            (
                torch.zeros(5, dtype=torch.int64, device=ts.device),
                torch.stack((start.t, start.dt, start.previous)),
                2 * start.pending + start.resting,
                start.y.clone(),
                *others,
            ),
        )
        pending = waiting // 2
        state = (numbers, waiting % 2 == 1, pending, y, others[0] if takes_over else start.slope.clone())
        outputs = given.clone()
        if stored is not None:
            outputs = self.interpolated(stored, *others[-1].unbind(), columns(ts, start.t), grid, given)
        kept_states = states if states is not None else start.y.new_empty(0)
        constants = (2 if self.guess else int(takes_over), evaluations)
        unmet = (pending < count).sum()[None]
        told = torch.cat((counts[:4], unmet, *(torch.full_like(unmet, constant) for constant in constants)))
        # A plain tuple: it leaves the program, which may be kept in a file.
        return state, told, grid, kept_states, outputs

    def _field(self, tensors: Sequence[Tensor]) -> TracedField:
        return TracedField(self.graph, self.shape, tensors)

    def _begin(
        self,
        ts: Tensor,
        settings: Tensor,
        fresh: Tensor,
        start: State,
        tensors: Sequence[Tensor],
        takes_over: bool,
    ) -> tuple[Tensor, Tensor]:
        """The first step and the first slope, computed where `fresh` is true: a loop that is run once or not at all."""
        lanes, y, t = self.lanes, start.y, start.t

        def not_begun(fresh, dt, slope):
            return fresh.clone()

        def begin(fresh, dt, slope):
            field = self._field(tensors)
            slope = field(lanes.time(t, y), y)
            if self.guess:
                dt = _first_step(lanes, field, ts, t, y, slope, settings)
            return torch.zeros_like(fresh), dt.clone(), slope.clone()

        if not (self.guess or takes_over):
            return start.dt, start.slope
        first = (fresh.clone(), start.dt.clone(), start.slope.clone())
        return self.loop(not_begun, begin, first, at_most=1)[1:]

    def interpolated(
        self, stored: Tensor, where: Tensor, slot: Tensor, times: Tensor, grid: Tensor, given: Tensor
    ) -> Tensor:
        """The states at the output times that were met, from what was stored of their steps; the others as given."""
        met, rows, slot = where >= 0, where.clamp_min(0), slot.clamp_min(0)
        if self.lanes.by_row:
            batch = torch.arange(where.shape[1], device=where.device)
            t, dt = grid[rows, 0, batch], grid[rows, 1, batch]
            at = [stored[slot, index, batch] for index in range(stored.shape[1])]
        else:
            t, dt = grid[rows, 0], grid[rows, 1]
            at = [stored[slot, index] for index in range(stored.shape[1])]
        share = (times - t) / torch.where(met, dt, 1.0)
        share = torch.where((share - 1.0).abs() <= CLOSE, 1.0, share)
        shape = (*share.shape, *(1,) * (given.dim() - share.dim()))
        wide = lambda values: values.reshape(shape).to(self.lanes.dtype)  # noqa: E731
        return torch.where(met.reshape(shape), self.emission.states(at, wide(share), wide(dt)), given)


def _at(ts: Tensor, index: Tensor) -> Tensor:
    """The output times of these indices, the last one for those beyond."""
    return ts.index_select(0, index.clamp(max=ts.shape[0] - 1).reshape(-1)).reshape(index.shape)


def columns(values: Tensor, lanes: Tensor) -> Tensor:
    """One value for each output time, to be compared with one for each lane."""
    return values.reshape(-1, *(1,) * lanes.dim())


def _first_step(
    lanes: Lanes,
    field: TracedField,
    ts: Tensor,
    t: Tensor,
    y: Tensor,
    slope: Tensor,
    settings: Tensor,
) -> Tensor:
    """`step_control.first_step`, in tensors.

    Source: E. Hairer, S. P. Nørsett, G. Wanner, "Solving ODEs I", 2nd ed., section II.4, "Starting Step Size".
    """
    rtol, atol, *_, inverse, smallest = settings.unbind()
    span = (ts[-1] - ts[0]).abs()
    direction = torch.sign(ts[-1] - ts[0])
    size = y.abs()
    d0, d1 = lanes.norm(y, size, rtol, atol), lanes.norm(slope, size, rtol, atol)
    h0 = torch.where((d0 >= 1e-5) & (d1 >= 1e-5), 0.01 * d0 / d1, 1e-6)
    h0 = torch.minimum(torch.where(h0 == 0.0, 1e-6, h0), span)
    ahead = field(lanes.time(t + direction * h0, y), y + lanes.length(direction * h0, y) * slope)
    d2 = lanes.norm(ahead - slope, size, rtol, atol) / h0
    steepest = torch.maximum(d1, d2)
    h1 = torch.where(steepest <= 1e-15, (h0 * 1e-3).clamp_min(1e-6), (0.01 / steepest) ** inverse)
    step = torch.minimum(torch.minimum(100.0 * h0, h1), span)
    step = torch.where(step.isfinite() & (step > 0.0), step, h0)
    return direction * torch.maximum(step, smallest)
