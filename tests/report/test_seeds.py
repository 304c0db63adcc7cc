"""Trainings over their seeds: a table with least, mean and greatest score, a figure with every seed, and nothing lost."""

from __future__ import annotations

import pytest

from odebench.report.chart import Chart, Skipped
from odebench.report.figures import seeds
from odebench.report.frame import frame_of
from odebench.report.labels import with_labels
from odebench.report.seeds import by_seeds
from odebench.report.tables.seeds import over_seeds
from tests.report.classroom import adapted, training
from tests.report.synthetic import failed

ACCURACIES = {1: (0.90, 0.94, 0.95), 5: (0.80, 0.97, 0.96)}


def of_experiment(record, name, outcome=None, reason="The loss is inf."):
    record["experiments"] = [name]
    return record if outcome is None else failed(record, outcome, reason)


def rows_of(records):
    return with_labels(frame_of(records))


@pytest.fixture
def table():
    """Two step counts of one experiment, three seeds each, and another whose seeds diverge, fail and end."""
    made = [
        of_experiment(training(steps, seed, accuracy, loss_train=0.1 * (seed + 1), parameters_trained=1234), "anode")
        for steps, accuracies in ACCURACIES.items()
        for seed, accuracy in enumerate(accuracies)
    ]
    made += [of_experiment(training(2, seed), "reversed", "diverged") for seed in (0, 1)]
    made += [of_experiment(training(2, 2), "reversed", "out_of_memory"), of_experiment(training(2, 3, 0.5), "reversed")]
    made += [of_experiment(training(4, seed), "lost", "diverged") for seed in (0, 1)]
    made += [of_experiment(training(4, 7), "never", "unsupported")]
    return rows_of(made)


def texts(found):
    assert all(len(row) == len(found.headings) for row in found.rows)
    return [[value.text for value in row] for row in found.rows]


def test_a_row_holds_least_mean_and_greatest_of_its_seeds(table):
    found = over_seeds(table)
    labels = [heading.label for heading in found.headings]
    assert labels[:5] == ["model", "experiment", "least", "mean", "greatest"]
    # The sample deviation of 90, 94, 95 is √7; of 80, 96, 97 it is √91.
    assert texts(found) == [
        ["conv1d-net", "anode · 1 step", "90.0 %", "93.0 %", "95.0 %", "2.6 points", "0.2", "1,234", "0", "0", "3"],
        ["conv1d-net", "anode · 5 steps", "80.0 %", "91.0 %", "97.0 %", "9.5 points", "0.2", "1,234", "0", "0", "3"],
        ["conv1d-net", "lost", "–", "–", "–", "–", "–", "–", "2", "0", "2"],
        ["conv1d-net", "reversed", "50.0 %", "50.0 %", "50.0 %", "–", "–", "–", "2", "1", "4"],
    ]
    assert found.rows[1][3].sort == pytest.approx(0.91)
    assert found.rows[3][8].tone == "bad"


def test_the_figure_holds_every_seed_and_says_what_is_lost(table):
    (chart,) = seeds.over_seeds(table)
    assert isinstance(chart, Chart)
    (panel,) = chart.panels
    assert panel.rows == ("anode · 1 step", "anode · 5 steps", "lost", "reversed")
    faint, means = panel.series
    assert [(point.x, point.y) for point in faint.points] == [
        *((accuracy, 0.0) for accuracy in ACCURACIES[1]), *((accuracy, 1.0) for accuracy in ACCURACIES[5]), (0.5, 3.0)
    ]  # fmt: skip
    assert [(point.x_low, point.x_high, point.y) for point in means.points] == [
        (0.9, 0.95, 0.0),
        (0.8, 0.97, 1.0),
        (0.5, 0.5, 3.0),
    ]
    assert chart.notes == (
        "lost: 2 of 2 seeds diverged.",
        "reversed: 2 of 4 seeds diverged.",
        "reversed: 1 of 4 seeds ended as out_of_memory.",
    )


def test_trainings_without_another_seed_are_not_compared():
    for alone in (rows_of([training(1), training(5)]), rows_of([failed(training(1), "diverged", "x")])):
        assert by_seeds(alone) == [] and over_seeds(alone).rows == ()
        (one,) = seeds.over_seeds(alone)
        assert isinstance(one, Skipped) and one.reason == "No training was repeated with another seed."
    lost = rows_of([failed(training(1, seed), "diverged", "x") for seed in (0, 1)])
    (one,) = seeds.over_seeds(lost)
    assert isinstance(one, Skipped) and one.reason == "No training ended ok."


def test_policies_of_one_experiment_stand_apart_and_tell_what_varies():
    rows = rows_of([training(16, seed) for seed in (0, 1)] + [adapted(seed, 0.1) for seed in (0, 1)])
    assert [one.words for one in by_seeds(rows)] == ["16 steps · fixed", "step-adaptation"]
    others = [adapted(seed, 0.1) for seed in (0, 1)]
    for record in others:
        record["cell_id"] = record["cell_id"][::-1]
        record["cell"]["policy"]["parameters"]["interval"] = 20
    rows = rows_of([adapted(seed, 0.1) for seed in (0, 1)] + others)
    assert [one.words for one in by_seeds(rows)] == ["step-adaptation (interval=20)", "step-adaptation (interval=50)"]


def test_a_training_that_two_experiments_asked_for_stands_in_both(table):
    both = [of_experiment(training(1, seed, 0.9), "anode") for seed in (0, 1)]
    for record in both:
        record["experiments"] = ["one", "two"]
    assert [(one.experiment, len(one.rows)) for one in by_seeds(rows_of(both))] == [("one", 2), ("two", 2)]


def test_many_rows_stand_in_a_chart_for_each_experiment():
    made = [
        of_experiment(training(steps, seed, 0.9), name)
        for name, several in (("few", range(1, 4)), ("many", range(10, 30)))
        for steps in several
        for seed in (0, 1)
    ]
    charts = seeds.over_seeds(rows_of(made))
    assert [chart.title.partition(":")[0] for chart in charts] == ["conv1d-net · few", "conv1d-net · many"]
    assert len({chart.key for chart in charts}) == 2
    assert charts[0].panels[0].rows == ("1 step", "2 steps", "3 steps") and len(charts[1].panels[0].rows) == 20
