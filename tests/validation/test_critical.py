"""The critical step, where what each training gives is known."""

from __future__ import annotations

import pytest

from odebench.errors import IncompatibleError
from odebench.validation import critical_step
from tests.validation.turning import Turning, clear, doubtful, euler_degrees, points


def border(steps):
    """Points of which exactly those between the border of so many steps and the true one change their side."""
    inputs, targets = clear(100)
    first = 180 - euler_degrees(steps) - 0.01
    inputs[:10] = points(first - (first - 90.0) * (inputs[:10, 0].abs() * 0 + 0.5))
    return inputs, targets


def test_it_is_the_largest_step_whose_mean_worst_change_is_within_the_threshold():
    """Two steps lose 30 of 100 answers, four lose 10 with one seed and none with the other, eight none."""
    asked = []

    def train(steps, seed):
        asked.append((steps, seed))
        data = {2: doubtful(300, 0.3), 4: border(4) if seed else clear(300), 8: clear(300)}[steps]
        return Turning(steps), data

    found = critical_step(train, steps=[2, 8, 4], seeds=(0, 1), solver="euler", threshold=0.02)
    assert asked == [(8, 0), (8, 1), (4, 0), (4, 1), (2, 0), (2, 1)]
    assert found.means == {2: pytest.approx(0.3), 4: pytest.approx(0.05), 8: 0.0}
    assert (found.steps, found.step_size) == (8, 0.125)
    assert critical_step(train, steps=[2, 4, 8], seeds=(0, 1), solver="euler", threshold=0.06).steps == 4
    assert [t.verdict for t in found.trainings if t.steps == 2] == ["tied to its solver"] * 2
    assert "The critical step is that of 8 steps" in found.sentence


def test_where_none_is_fine_enough_there_is_none():
    found = critical_step(lambda steps, seed: Turning(steps), doubtful(300, 0.3), steps=[2], seeds=[0], solver="euler")
    assert (found.steps, found.step_size) == (None, None)
    assert "No step that was tried is fine enough" in found.sentence


def test_finer_steps_that_do_worse_are_named():
    def train(steps, seed):
        return Turning(steps), clear(300) if steps == 2 else border(4)

    found = critical_step(train, steps=[2, 4], seeds=[0], solver="euler")
    assert found.steps == 2
    assert "Finer steps do worse again, though: 4." in found.sentence


@pytest.mark.parametrize(("steps", "seeds"), [([], [0]), ([2], []), ([0], [0]), ([2.5], [0])])
def test_steps_that_are_none_are_refused(steps, seeds):
    with pytest.raises(IncompatibleError, match=r"at least one|whole and at least 1"):
        critical_step(lambda steps, seed: Turning(), clear(10), steps=steps, seeds=seeds, solver="euler")
