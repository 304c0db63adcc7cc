"""The critical step by its definition, and which answers of trained models count for it."""

from __future__ import annotations

import numpy as np
import pytest

from odebench.report.critical_step import critical_step, worst_change
from odebench.report.frame import frame_of
from odebench.report.labels import with_labels
from odebench.report.learners import critical_steps, seeds_of, size_words, swaps, trainings
from tests.report.classroom import OWN, adapted, lesson, study, swapped, training
from tests.report.synthetic import failed


def rows_of(records):
    return with_labels(frame_of(records))


def test_the_largest_step_whose_mean_worst_change_is_small_enough():
    found = critical_step(
        {
            1 / 2: {0: [-0.5, -0.3], 1: [-0.4]},
            1 / 16: {0: [-0.01, 0.03], 1: [-0.02, -0.002]},
            1 / 64: {0: [-0.01, 0.004], 1: [-0.03, 0.0]},
            1 / 256: {0: [-0.001], 1: [-0.002]},
        }
    )
    # Worst changes: .5 .4, .03 .02, .01 .03, .001 .002.
    assert [(one.step, round(one.worst, 12), one.largest, one.holds) for one in found.findings] == [
        (1 / 2, 0.45, 0.5, False), (1 / 16, 0.025, 0.03, False), (1 / 64, 0.02, 0.03, True), (1 / 256, 0.0015, 0.002, True),
    ]  # fmt: skip
    assert (found.step, found.above, found.exceptions) == (1 / 64, 1 / 16, ())
    assert found.findings[1].spread == pytest.approx(0.005 * 2**0.5)


def test_the_threshold_is_a_parameter():
    changes = {0.5: {0: [-0.04]}, 0.25: {0: [-0.03]}}
    assert critical_step(changes).step is None
    assert critical_step(changes, 0.03).step == 0.25
    assert critical_step(changes, 0.05).step == 0.5
    assert critical_step(changes, 0.05).above is None
    assert critical_step(changes).above == 0.25


def test_gains_count_as_losses_do_and_models_without_a_comparison_for_nothing():
    assert worst_change([0.03, -0.01]) == 0.03
    found = critical_step({0.5: {0: [0.03], 1: []}, 0.25: {0: []}})
    assert [(one.step, one.seeds) for one in found.findings] == [(0.5, 1)]
    assert critical_step({}).step is None


def test_a_finer_step_that_fails_is_named():
    found = critical_step({0.5: {0: [0.01]}, 0.25: {0: [0.05]}, 0.125: {0: [0.0]}})
    assert (found.step, found.exceptions) == (0.5, (0.25,))


def test_trained_models_that_lose_40_per_cent_over_the_steps_are_flows_from_64_steps_on():
    (((model, who, tolerance), found),) = critical_steps(swaps(rows_of(lesson()))).items()
    assert (model, who, tolerance) == ("conv1d-net", "euler", False)
    # 0.4 / steps, times 1, 1.1, 1.2 over the seeds.
    assert [(one.step, one.seeds) for one in found.findings] == [(1 / steps, 3) for steps in (2, 16, 64, 256)]
    assert [one.worst for one in found.findings] == pytest.approx([0.22, 0.0275, 0.006875, 0.00171875])
    assert (found.step, found.above) == (1 / 64, 1 / 16)


def test_longer_steps_fewer_evaluations_and_the_own_solve_do_not_count():
    origin = study("train", "midpoint", {"steps": 8}, training(8)["parts"]["quality"]["values"] | {"nfe_training": 1600},
                   gradient={"name": "direct", "parameters": {}}, policy={"name": "fixed", "parameters": {}})  # fmt: skip
    table = swaps(rows_of([
        origin, swapped(origin, "midpoint", OWN, factor=1.0), swapped(origin, "midpoint", 0.9, factor=0.5),
        swapped(origin, "midpoint", 0.9, factor=1.5), swapped(origin, "rk4", 0.9, factor=1.0), swapped(origin, "rk4", 0.9, factor=2.0),
        swapped(origin, "euler", 0.9, factor=1.0), swapped(origin, "rk4", 0.9, steps=8), swapped(origin, "rk4", 0.9, steps=7),
    ]))  # fmt: skip
    told = list(zip(table["solver"], table["factor"].round(3), table["itself"], table["comparable"], strict=True))
    assert told == [
        ("midpoint", 1.0, True, False), ("midpoint", 0.5, False, True), ("midpoint", 1.5, False, False), ("rk4", 1.0, False, True),
        ("rk4", 2.0, False, False), ("euler", 1.0, False, False), ("rk4", 1.0, False, True), ("rk4", 1.143, False, False),
    ]  # fmt: skip


def test_what_the_training_spends_is_known_without_its_own_solver_among_the_tests():
    origin = study("train", "midpoint", {"steps": 8}, training(8)["parts"]["quality"]["values"] | {"nfe_training": 1600},
                   policy={"name": "fixed", "parameters": {}})  # fmt: skip
    table = swaps(rows_of([origin, swapped(origin, "euler", 0.9, factor=1.0), swapped(origin, "rk4", 0.9, factor=1.0)]))
    assert dict(zip(table["solver"], table["comparable"], strict=True)) == {"euler": False, "rk4": True}


def test_tolerances_are_compared_with_tolerances_only():
    values = {
        "accuracy_test": OWN,
        "iterations": 100,
        "tolerance_final": 1e-3,
        "nfe_mean": 40.0,
        "nfe_training": 4000,
        "nfe_checks": 0,
    }
    grid = {"rtol": 1e-3, "atol": 1e-3, "batch": "joint"}
    origin = study("train", "bosh3", grid, values, policy={"name": "fixed", "parameters": {}})

    def answer(solver, **size):
        found = {"accuracy_test": 0.9, "accuracy_change": -0.08, "nfe_forward": 40, "steps_accepted": 10} | size
        return study("swap", solver, {"factor": 0.1}, found, needs=[origin["cell_id"]])

    table = swaps(
        rows_of(
            [origin, answer("bosh3", tolerance=1e-4), answer("dopri5", tolerance=1e-2), answer("rk4", step_size=0.1)]
        )
    )
    assert list(table["tolerance"]) == [True] * 3
    assert list(table["factor"][:2].round(9)) == [0.1, 10.0] and np.isnan(table["factor"][2])
    assert list(table["comparable"]) == [True, False, False]
    assert list(critical_steps(table)) == [("conv1d-net", "bosh3", True)]


def test_a_policy_that_changed_the_step_is_told_from_a_grid():
    origin, free = training(16), adapted(1, 0.02)
    table = rows_of(
        [origin, free, swapped(free, "midpoint", 0.9, factor=1.0), swapped(origin, "rk4", 0.97, factor=1.0)]
    )
    learnt = trainings(table)
    assert list(learnt["adapts"]) == [False, True]
    assert list(learnt["who"]) == ["euler", "euler"]
    assert list(learnt["size"]) == [1 / 16, 0.02]
    assert list(learnt["nfe"]) == [16.0, 90.0]
    tested = swaps(table)
    assert list(tested["adapts"]) == [True, False]
    assert [step.step for found in critical_steps(tested).values() for step in found.findings] == [1 / 16]


def test_what_varies_between_trainings_is_told():
    slow, fast = training(8), training(8)
    fast["cell"]["task"]["parameters"] = {"iterations": 1000}
    fast["cell_id"] = "a" * 16
    table = trainings(rows_of([slow, fast]))
    assert list(table["who"]) == ["euler · iterations=100", "euler · iterations=1000"]


def test_failed_trainings_and_answers_are_no_rows():
    origin = training(8)
    table = rows_of([failed(origin, "diverged", "x"), failed(swapped(origin, "rk4", 0.9, factor=1.0), "blocked", "x")])
    assert trainings(table).empty and swaps(table).empty
    assert critical_steps(swaps(table)) == {}


def test_a_frame_without_trainings_has_none(labelled):
    assert trainings(labelled).empty and swaps(labelled).empty


@pytest.mark.parametrize(
    ("size", "tolerance", "words"),
    [
        (1 / 64, False, "1/64"),
        (1 / 3, False, "1/3"),
        (1.0, False, "1"),
        (0.3, False, "0.3"),
        (1e-3, True, "tolerance 0.001"),
    ],
)
def test_steps_in_words(size, tolerance, words):
    assert size_words(size, tolerance) == words


def test_spread_is_that_of_a_sample():
    assert seeds_of([0.5]) == (0.5, None, 1)
    mean, spread, count = seeds_of([1.0, 2.0, 4.0])
    assert (mean, count) == (pytest.approx(7 / 3), 3)
    assert spread == pytest.approx(((1.7777777777 + 0.1111111111 + 2.7777777777) / 2) ** 0.5)
