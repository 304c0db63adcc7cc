"""Schedules replayed against a model of storage, and their counts against formulas, a dynamic programme and another library."""

from __future__ import annotations

from functools import cache
from math import comb, sqrt

import pytest
from checkpoint_schedules import EndReverse, Forward, MultistageCheckpointSchedule

from odebench.numerics.checkpoint_schedules import (
    Advance,
    Binomial,
    Drop,
    Load,
    Online,
    Reverse,
    SquareRoot,
    Store,
    untaped_steps,
)
from tests.numerics.checkpoint_schedules.storage_model import Model, replay

STEPS = range(1, 201)
SLOTS = range(1, 21)


@cache
def fewest(steps: int, slots: int) -> int:
    """The least number of steps without a graph, the loss inside, by trying every place for the next checkpoint."""
    if slots == 1 or steps <= 2:
        return steps * (steps - 1) // 2
    return min(ahead + fewest(steps - ahead, slots - 1) + fewest(ahead, slots) for ahead in range(1, steps))


def most_repeated(steps: int, slots: int) -> int:
    """The least r with C(slots + r, slots) ≥ steps."""
    return next(r for r in range(steps) if comb(slots + r, slots) >= steps)


@pytest.mark.parametrize("slots", SLOTS)
def test_binomial_schedules_take_the_fewest_steps_that_the_slots_allow(slots):
    for steps in STEPS:
        model = replay(Binomial(steps, slots), steps)
        assert model.most <= slots
        r = most_repeated(steps, slots)
        formula = r * steps - comb(slots + r, r - 1) if r else 0
        assert model.untaped - 1 == formula == untaped_steps(steps, slots)
        assert model.sweeps == max(r, 1)


def test_the_formula_against_a_dynamic_programme():
    for slots in range(1, 9):
        for steps in range(1, 81):
            assert untaped_steps(steps, slots) == fewest(steps, slots)
    assert [untaped_steps(*case) for case in ((10, 3), (16, 4), (64, 6))] == [15, 27, 156]


@pytest.mark.parametrize("slots", SLOTS)
def test_as_many_steps_as_an_independent_library(slots):
    for steps in (*range(1, 41), *range(43, 201, 3), 200):
        untaped = taped = 0
        for action in MultistageCheckpointSchedule(steps, slots, 0):
            if isinstance(action, Forward):
                taped += action.n1 - action.n0 if action.write_adj_deps else 0
                untaped += 0 if action.write_adj_deps else action.n1 - action.n0
            elif isinstance(action, EndReverse):
                break
        assert (untaped, taped) == (untaped_steps(steps, slots), steps)


def test_binomial_schedules_of_many_steps():
    for steps, slots in ((1000, 1), (3000, 2), (3000, 10), (7, 100)):
        model = replay(Binomial(steps, slots), steps)
        assert model.most <= slots and model.untaped - 1 == untaped_steps(steps, slots)


def test_one_slot_goes_back_to_the_start_each_time():
    assert list(Binomial(3, 1).backward(3)) == [
        Reverse(2), Load(0), Advance(0, 1), Reverse(1), Load(0), Drop(0), Reverse(0),
    ]  # fmt: skip


def test_enough_slots_compute_nothing_again():
    schedule = Binomial(4, 4)
    assert [action for step in range(3) for action in schedule.leave(step)] == [Store(0), Store(1), Store(2)]
    assert list(schedule.backward(4)) == [
        Reverse(3), Load(2), Drop(2), Reverse(2), Load(1), Drop(1), Reverse(1), Load(0), Drop(0), Reverse(0),
    ]  # fmt: skip


@pytest.mark.parametrize("slots", SLOTS)
def test_without_the_number_of_steps_none_is_repeated_more_often_than_with_it_and_a_slot_less(slots):
    for steps in STEPS:
        model = replay(Online(slots), steps)
        r = most_repeated(steps, slots - 1) if slots > 1 else steps - 1
        assert model.most <= slots
        assert model.sweeps <= max(r, 1)
        assert untaped_steps(steps, slots) < model.untaped <= max(r, 1) * steps
        if slots == 1 or steps <= slots + 1:
            assert model.untaped == untaped_steps(steps, slots) + 1, "nothing to decide"


def test_online_schedules_of_many_steps():
    for steps, slots in ((1000, 2), (1000, 5), (4000, 30)):
        model = replay(Online(slots), steps)
        assert model.most <= slots and model.sweeps <= most_repeated(steps, slots - 1)


@pytest.mark.parametrize("known", [True, False])
def test_square_root_schedules_keep_their_bounds(known):
    for steps in (*range(1, 150), 1023, 1024, 1025, 4096, 4097):
        model = replay(SquareRoot(steps if known else None), steps)
        assert model.most <= (2 if known else 3 / sqrt(2)) * sqrt(steps) + 1
        assert model.untaped < 2 * steps or steps == 1 == model.untaped


def test_the_model_refuses_what_cannot_be():
    """Otherwise the tests above would pass on any sequence."""
    for broken in (
        [Store(1)],  # another state is at hand
        [Store(0), Store(0)],  # twice
        [Drop(0)],  # never stored
        [Load(0)],
        [Store(0), Drop(0), Load(0)],
        [Advance(1, 2)],
        [Reverse(1)],
        [Reverse(0), Advance(0, 1)],  # going back uses up the state
        [Advance(0, 2), Reverse(2), Store(2)],
    ):
        model = Model()
        with pytest.raises((AssertionError, KeyError)):
            for action in broken:
                model.do(action)
