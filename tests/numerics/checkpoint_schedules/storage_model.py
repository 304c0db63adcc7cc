"""A model of storage that carries out a schedule and refuses whatever cannot be."""

from __future__ import annotations

from dataclasses import dataclass, field

from odebench.numerics.checkpoint_schedules import Action, Advance, Drop, Load, Reverse, Schedule, Store


@dataclass
class Model:
    """Slots, the state at hand, and counts; states are known by their step.

    Attributes:
        most: most slots used at once.
        spans: stretches of steps computed without a graph.
        stores: how often a state was stored.
        reversed: the steps gone back through, in order.
    """

    slots: set[int] = field(default_factory=set)
    hand: int | None = 0
    most: int = 0
    spans: list[tuple[int, int]] = field(default_factory=list)
    reversed: list[int] = field(default_factory=list)
    stores: int = 0

    @property
    def untaped(self) -> int:
        """Steps computed without a graph."""
        return sum(stop - start for start, stop in self.spans)

    @property
    def sweeps(self) -> int:
        """How often a step was computed without a graph, at most."""
        most = now = 0
        for _, change in sorted([(start, 1) for start, _ in self.spans] + [(stop, -1) for _, stop in self.spans]):
            now += change
            most = max(most, now)
        return most

    def do(self, action: Action) -> None:
        match action:
            case Store(step):
                assert self.hand == step and step not in self.slots
                self.slots.add(step)
                self.stores += 1
                self.most = max(self.most, len(self.slots))
            case Drop(step):
                self.slots.remove(step)
            case Load(step):
                assert step in self.slots
                self.hand = step
            case Advance(start, stop):
                assert self.hand == start < stop
                self.spans.append((start, stop))
                self.hand = stop
            case Reverse(step):
                assert self.hand == step
                assert not self.reversed or step == self.reversed[-1] - 1
                self.reversed.append(step)
                self.hand = None


def replay(schedule: Schedule, steps: int) -> Model:
    """Carry out the whole schedule: forward, with the states given away at the end, and back."""
    model = Model()
    for step in range(steps - 1):
        for action in schedule.leave(step):
            model.do(action)
        model.do(Advance(step, step + 1))
    model.spans.append((steps - 1, steps))  # the last step, whose start stays at hand
    for action in schedule.backward(steps):
        model.do(action)
    assert model.reversed == list(range(steps - 1, -1, -1)), "each step once, from the last to the first"
    assert not model.slots, "every slot is free at the end"
    return model
