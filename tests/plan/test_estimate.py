"""Estimated times."""

import pytest

from odebench.outcome import Outcome
from odebench.plan.estimate import GUESSED_S, START_S, PartTime, estimate, part_times
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
