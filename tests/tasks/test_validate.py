"""The verdict on a training is that of `odebench.validate` on its weights, with its own solver and step."""

from __future__ import annotations

import pytest

import odebench
from odebench.contract import StepSize, TrainedStep
from odebench.errors import IncompatibleError
from odebench.tasks.train import Train
from odebench.tasks.trained import load_training
from odebench.tasks.validate import Validate
from tests.tasks.classroom import learning, study


@pytest.mark.parametrize("steps", [1, 32])
def test_the_columns_are_what_validate_finds_on_the_same_weights(tmp_path, steps):
    folder = tmp_path / "training"
    study(Train(iterations=60, batch=16, learning_rate=0.05), folder, grid=StepSize(steps=steps))
    grid = TrainedStep(factor=1.0)
    found = study(Validate(threshold=0.05), tmp_path / "v", needed=(folder,), grid=grid, gradient=None)[0].values
    lesson = learning()
    load_training(folder, lesson)
    expected = odebench.validate(lesson, solver="euler", steps=steps, threshold=0.05, seed=0, check_forward=False)
    assert found["verdict"] == expected.verdict.value
    assert found["verdict_reason"] == expected.sentence
    assert found["tied"] is (expected.verdict.value == "tied to its solver")
    assert abs(found["worst_change"]) == expected.worst_change
    assert found["worst_change_low"] <= found["worst_change"] <= found["worst_change_high"]
    assert found["numerical_error"] == expected.own.error
    assert found["solvers_tried"] == len(expected.tried) >= found["solvers_judged"] >= 1


def test_without_a_training_there_is_nothing_to_validate(tmp_path):
    with pytest.raises(IncompatibleError, match="the training of exactly one cell"):
        study(Validate(), tmp_path, gradient=None)
