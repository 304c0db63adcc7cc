"""Learning curves by gradient method: medians and ranges over the seeds, and where a training that diverged ends."""

from __future__ import annotations

import numpy as np
import pytest

from odebench.report.chart import Skipped
from odebench.report.draw import draw
from odebench.report.figures.curves import curves
from odebench.report.frame import frame_of
from odebench.report.labels import with_labels
from odebench.report.palette import Palette
from tests.report.classroom import long_frame, study
from tests.report.synthetic import failed


def trained(gradient, steps, seed, outcome="ok", rate=0.1):
    record = study(
        "train", "euler", {"steps": steps}, {"accuracy_test": 0.9, "iterations": 12}, seed=seed,
        parameters={"learning_rate": rate}, gradient={"name": gradient, "parameters": {}},
        policy={"name": "fixed", "parameters": {}},
    )  # fmt: skip
    return record if outcome == "ok" else failed(record, outcome, "The loss is nan.")


def columns(losses, scores=None):
    """Three iterations an epoch; losses a list of iterations, scores one of epochs."""
    at = np.arange(1, len(losses) + 1)
    made = {"iteration": at, "epoch": at / 3, "loss": np.array(losses, dtype=float), "accuracy": np.full(len(at), 0.5)}
    if scores is not None:
        tested = np.full(len(at), np.nan)
        tested[2::3] = scores[: len(at) // 3]
        made["accuracy_test"] = tested
    return made


@pytest.fixture
def lesson():
    """Four epochs: direct ends ok with three seeds, and two of three seeds of the adjoint end in the third epoch."""
    records, series = [], {}
    for steps in (1, 2):
        for seed in range(3):
            record = trained("direct", steps, seed)
            records.append(record)
            losses = [4 + seed, 4 + seed, 1 + seed, *[2 + seed] * 3, *[1 + seed] * 3, *[0.5 + seed] * 3]
            series[record["cell_id"]] = columns(losses, [0.2, 0.4, 0.6, 0.8 - 0.1 * seed])
            lost = seed > 0
            record = trained("continuous-adjoint", steps, seed, "diverged" if lost else "ok")
            records.append(record)
            series[record["cell_id"]] = columns([3.0] * 6 + [3.0, np.nan] if lost else [3.0] * 12, [0.1, 0.3, 0.3, 0.3])
    return records, series


def values(series):
    return [(round(p.x), p.y, p.y_low, p.y_high, p.hollow) for p in series.points]


def test_the_curves_are_medians_with_ranges_and_end_where_most_seeds_diverged(lesson):
    records, series = lesson
    (chart,) = curves(with_labels(frame_of(records)), long_frame(series))
    assert [panel.title for panel in chart.panels] == ["1 step", "2 steps", "", ""] and chart.across == 2
    assert [panel.y.column for panel in chart.panels] == ["loss_train"] * 2 + ["accuracy_test"] * 2
    loss, accuracy = chart.panels[0], chart.panels[2]
    adjoint, direct = loss.series
    assert (adjoint.name, direct.name) == ("continuous-adjoint", "direct")
    assert values(direct) == [(1, 4, 3, 5, False), (2, 3, 2, 4, False), (3, 2, 1, 3, False), (4, 1.5, 0.5, 2.5, False)]
    assert values(adjoint) == [(1, 3, 3, 3, False), (2, 3, None, None, True)]
    adjoint, direct = accuracy.series
    assert values(direct)[-1] == pytest.approx((4, 0.7, 0.6, 0.8, False))
    assert [point.y for point in adjoint.points] == [0.1, 0.3]
    assert chart.notes == (
        "continuous-adjoint, 1 step: 2 of 3 diverged.", "continuous-adjoint, 2 steps: 2 of 3 diverged.",
    )  # fmt: skip
    draw(chart, {"gradient": Palette(["direct", "continuous-adjoint"])})


def test_without_test_figures_the_batches_are_drawn(lesson):
    records, series = lesson
    bare = {cell: {key: one for key, one in table.items() if key != "accuracy_test"} for cell, table in series.items()}
    (chart,) = curves(with_labels(frame_of(records)), long_frame(bare))
    assert chart.panels[2].y.column == "accuracy_train"
    assert {point.y for point in chart.panels[2].series[1].points} == {0.5}


def test_trainings_by_another_recipe_are_another_figure_and_one_method_alone_is_none(lesson):
    records, series = lesson
    other = [trained("direct", 1, 0, rate=0.3)]
    series[other[0]["cell_id"]] = columns([1.0] * 12)
    (chart,) = curves(with_labels(frame_of([*records, *other])), long_frame(series))
    assert "learning_rate=0.1" in chart.title
    (skipped,) = curves(with_labels(frame_of(other)), long_frame(series))
    assert isinstance(skipped, Skipped) and "nothing but their gradient method" in skipped.reason


def test_without_series_the_figure_says_so(lesson):
    (skipped,) = curves(with_labels(frame_of(lesson[0])), long_frame({}))
    assert isinstance(skipped, Skipped) and "no series of two epochs" in skipped.reason
