"""Estimated times."""

import pytest

from odebench.outcome import Outcome
from odebench.plan.estimate import (
    GUESSED_S,
    GUESSED_STUDY_S,
    GUESSED_TRAINING_S,
    START_S,
    PartTime,
    estimate,
    part_times,
)
from odebench.plan.expand import expand
from odebench.plan.suite import parse_suite
from odebench.records import Part, Record, RecordFault, Round

SUITE = """\
schema = 1
[suite]
name = "trial"
[budget]
processes = 2
timeout = "10s"
[[experiment]]
name = "first"
task = "integrate"
model = ["lotka-volterra", "mlp-field"]
solver = ["euler", "midpoint", "dopri5"]
steps = [16, 32]
"""


@pytest.fixture
def plan(catalogue):
    return expand(parse_suite(SUITE, "trial.toml"), catalogue(), lambda device: None)


def only(plan, index, **parts):
    return {planned.cell.id: parts if position == index else {} for position, planned in enumerate(plan.runnable)}


def test_without_any_measurement_every_part_is_guessed(plan):
    guess = estimate(plan)
    assert len(plan.runnable) == 8
    assert guess.parts == guess.guessed == 8 * 4
    one = GUESSED_S["quality"] + GUESSED_S["memory"] + 2 * GUESSED_S["timing"] + 4 * START_S
    assert guess.seconds == pytest.approx(8 * one)


def test_workers_share_quality_and_memory_and_never_timing(plan):
    many = estimate(plan, workers=4)
    quality = 8 * (GUESSED_S["quality"] + GUESSED_S["memory"] + 2 * START_S)
    assert estimate(plan).seconds - many.seconds == pytest.approx(quality * 3 / 4)


def test_the_nearest_measurement_counts(plan):
    cells = [planned.cell for planned in plan.runnable]  # two models, two solvers, two step counts
    measured = [PartTime(cell=cells[0], part="quality", seconds=s) for s in (1.0, 2.0, 9.0)]
    measured += [PartTime(cell=cells[2], part="quality", seconds=4.0)]
    for index, seconds in [(0, 2.0), (1, 2.0), (2, 4.0), (4, 3.0)]:
        # the same cell; the same solver; the same cell; nothing but the same part: the median of all four
        got = estimate(plan, measured, only(plan, index, quality=1))
        assert got.seconds == pytest.approx(seconds + START_S)
        assert (got.parts, got.guessed) == (1, 0)


def test_done_cells_cost_nothing_and_missing_rounds_are_counted(plan):
    assert estimate(plan, missing={}).seconds == 0
    got = estimate(plan, missing=only(plan, 3, timing=5))
    assert (got.parts, got.guessed) == (5, 5)
    assert got.seconds == pytest.approx(5 * (GUESSED_S["timing"] + START_S))


def test_nothing_takes_longer_than_the_limit(plan):
    measured = [PartTime(cell=plan.runnable[0].cell, part="quality", seconds=500.0)]
    assert estimate(plan, measured, only(plan, 0, quality=1)).seconds == pytest.approx(10 + START_S)


def test_stored_records_tell_what_their_parts_took(plan, tmp_path):
    cell = plan.runnable[0].cell
    known = Record(
        cell_id=cell.id,
        cell=cell.to_json(),
        suite="trial",
        experiments=("first",),
        freshness="0",
        machine_id="0" * 16,
    )
    known = known.with_part("quality", Part(outcome=Outcome.OK, seconds=3.0))
    known = known.with_part("memory", Part(outcome=Outcome.OK))
    for number in range(2):
        known = known.with_part("timing", Round(round=number, outcome=Outcome.OK, seconds=1.0 + number))
    stranger = known.model_copy(update={"cell": {"question": 42}})
    times = list(part_times([RecordFault(file=tmp_path, reason="broken"), stranger, known]))
    assert [(time.cell, time.part, time.seconds) for time in times] == [
        (cell, "quality", 3.0),
        (cell, "timing", 1.0),
        (cell, "timing", 2.0),
    ]
    assert estimate(plan, times, only(plan, 0, timing=2)).seconds == pytest.approx(2 * (1.5 + START_S))


STUDIES = """\
schema = 1
[suite]
name = "studies"
[budget]
timeout = "1h"
[[experiment]]
name = "plain"
task = "integrate"
model = "mlp-field"
solver = "euler"
steps = 2
[[experiment]]
name = "training"
task = "train"
model = "mlp-field"
solver = "euler"
gradient = "direct"
steps = [2, 256]
seed = [0, 1]
[[experiment]]
name = "swap"
task = "swap"
trained = "training"
solver = "midpoint"
factor = 1
"""


@pytest.fixture
def studies(catalogue):
    registry = catalogue()
    registry.get("task", "swap").factory = type("Judging", (registry.get("task", "swap").factory,), {"parts": ()})
    return expand(parse_suite(STUDIES, "studies.toml"), registry, lambda device: None)


def test_a_study_has_a_quality_only_and_is_guessed_to_take_its_time(studies):
    guess = estimate(studies)
    plain = sum(GUESSED_S[part] for part in ("quality", "memory")) + 3 * GUESSED_S["timing"] + 5 * START_S
    assert guess.parts == guess.guessed == 5 + 4 + 4
    assert guess.trainings == 4
    assert guess.seconds == pytest.approx(plain + 4 * (GUESSED_TRAINING_S + START_S) + 4 * (GUESSED_STUDY_S + START_S))


def test_a_study_takes_what_another_seed_of_the_same_question_took(studies):
    cells = [planned.cell for planned in studies.cells]
    measured = [
        PartTime(cell=cell, part="quality", seconds=seconds)
        for cell, seconds in [(cells[1], 100.0), (cells[3], 900.0), (cells[5], 7.0), (cells[7], 8.0)]
    ]
    for index, seconds in [(2, 100.0), (4, 900.0), (6, 7.0), (8, 8.0)]:
        # Steps and seeds are (2, 0), (2, 1), (256, 0), (256, 1); swaps differ by their trainings alone.
        got = estimate(studies, measured, only(studies, index, quality=1))
        assert (got.seconds, got.guessed) == (pytest.approx(seconds + START_S), 0)


def test_studies_and_other_tasks_say_nothing_about_each_other(studies):
    cells = [planned.cell for planned in studies.cells]
    trained = [PartTime(cell=cells[1], part="quality", seconds=500.0)]
    assert estimate(studies, trained, only(studies, 0, quality=1)).guessed == 1
    assert estimate(studies, trained, only(studies, 5, quality=1)).guessed == 1
    plain = [PartTime(cell=cells[0], part="quality", seconds=0.5)]
    assert estimate(studies, plain, only(studies, 1, quality=1)).guessed == 1


def test_a_training_of_an_earlier_suite_says_nothing_about_other_tasks(plan, studies):
    measured = [PartTime(cell=studies.cells[1].cell, part="quality", seconds=500.0)]
    assert estimate(plan, measured, only(plan, 0, quality=1)).guessed == 1
