"""A trained model with other solvers and steps: whole test set, right step, honest differences."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from odebench.contract import StepSize, Tolerance, TrainedStep, Unknown
from odebench.errors import IncompatibleError, MeasurementError
from odebench.tasks.swap import Swap
from odebench.tasks.train import Train
from odebench.tasks.trained import TRAINING, WEIGHTS
from tests.tasks.classroom import learning, study

TASK = Train(iterations=150, batch=16, learning_rate=0.05)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A training with 64 Euler steps, its folder and findings."""
    folder = tmp_path_factory.mktemp("training")
    found = study(TASK, folder, grid=StepSize(steps=64))[0]
    assert found.values["accuracy_test"] > 0.85, "something was learnt"
    return folder, found


@pytest.fixture(scope="module")
def coarse(tmp_path_factory):
    """A training with 2 Euler steps."""
    folder = tmp_path_factory.mktemp("training")
    return folder, study(TASK, folder, grid=StepSize(steps=2))[0]


def swap(trained, tmp_path, grid, solver="euler"):
    return study(Swap(), tmp_path, needed=(trained[0],), grid=grid, solver=solver, gradient=None)[0].values


def test_the_same_solver_and_step_give_the_same_answers(trained, tmp_path):
    found = swap(trained, tmp_path, TrainedStep(factor=1.0))
    for name in ("accuracy_test", "loss_test", "correct_test", "examples_test"):
        assert found[name] == trained[1].values[name]
    assert (found["accuracy_change"], found["changed_answers"]) == (0.0, 0)


@pytest.mark.parametrize(("factor", "steps"), [(0.5, 128), (0.75, 86), (1.0, 64), (1.5, 43), (2.0, 32), (0.1, 640)])
def test_the_tested_step_is_the_trained_one_times_the_factor(trained, tmp_path, factor, steps):
    """The published code inverted it: h = 1/(h_trained · factor), a single step for every model."""
    found = swap(trained, tmp_path, TrainedStep(factor=factor))
    assert (found["nfe_forward"], found["steps_accepted"]) == (steps, steps)
    assert found["step_size"] == pytest.approx(factor / 64, rel=1e-12)


def test_a_step_is_never_longer_than_the_span(trained, tmp_path):
    found = swap(trained, tmp_path, TrainedStep(factor=1000.0))
    assert (found["nfe_forward"], found["step_size"]) == (1, 1.0)


def test_another_solver_answers_as_computed_by_hand(coarse, tmp_path):
    """Midpoint with one step, from the weights on disk."""
    found = swap(coarse, tmp_path, StepSize(steps=1), "midpoint")
    lesson, weights = learning(), torch.load(coarse[0] / WEIGHTS, weights_only=True)
    lesson.field.load_state_dict(weights["field"])
    lesson.readout.load_state_dict(weights["readout"])
    with torch.no_grad():
        y = lesson.test.inputs
        by_midpoint = lesson.readout(y + lesson.field(None, y + 0.5 * lesson.field(None, y))).argmax(-1)
        half = y + 0.5 * lesson.field(None, y)
        by_euler = lesson.readout(half + 0.5 * lesson.field(None, half)).argmax(-1)
    right = int((by_midpoint == lesson.test.targets).sum())
    assert (found["correct_test"], found["examples_test"]) == (right, 30)
    assert found["accuracy_test"] == right / 30
    assert found["changed_answers"] == int((by_midpoint != by_euler).sum()) > 0
    assert found["accuracy_change"] == pytest.approx(right / 30 - coarse[1].values["accuracy_test"])
    assert found["nfe_forward"] == 2


def test_a_factor_multiplies_a_tolerance_too(tmp_path):
    folder = tmp_path / "training"
    grid = Tolerance(rtol=1e-4, atol=1e-5)
    study(Train(iterations=3, batch=16), folder, grid=grid, solver="dopri5")
    found = swap((folder,), tmp_path / "swap", TrainedStep(factor=0.1), "dopri5")
    exact = swap((folder,), tmp_path / "exact", Tolerance(rtol=1e-5, atol=1e-6), "dopri5")
    assert found == exact and found["tolerance"] == pytest.approx(1e-5)
    with pytest.raises(IncompatibleError, match="ended with a tolerance, and solver 'rk4' takes fixed steps"):
        swap((folder,), tmp_path / "swap", TrainedStep(factor=0.1), "rk4")


def test_a_factor_of_a_step_is_no_tolerance(trained, tmp_path):
    with pytest.raises(IncompatibleError, match="ended with a step size, and solver 'dopri5' cannot take a factor"):
        swap(trained, tmp_path, TrainedStep(factor=0.5), "dopri5")
    with pytest.raises(IncompatibleError, match="Nothing says how to divide time"):
        swap(trained, tmp_path, None)


def test_values_have_no_classes_that_could_change(trained, tmp_path):
    lesson = learning()
    lesson = replace(
        lesson,
        test=replace(lesson.test, targets=lesson.test.inputs.clone()),
        loss=torch.nn.functional.mse_loss,
        score=lambda outputs, targets: -(outputs - targets).square().mean(-1),
        metric="fit",
    )
    found = study(Swap(), tmp_path, lesson=lesson, needed=(trained[0],), grid=StepSize(steps=1))[0].values
    assert isinstance(found["changed_answers"], Unknown) and isinstance(found["correct_test"], Unknown)
    assert found["fit_test"] == pytest.approx(-found["loss_test"], rel=1e-6) and "fit_change" in found


@pytest.mark.parametrize("name", [WEIGHTS, TRAINING])
def test_a_broken_training_is_told_in_words(coarse, tmp_path, name):
    folder = tmp_path / "training"
    folder.mkdir()
    for file in (WEIGHTS, TRAINING):
        (folder / file).write_bytes((coarse[0] / file).read_bytes())
    (folder / name).write_bytes((folder / name).read_bytes()[:100])
    with pytest.raises(MeasurementError, match=f"{name}: cannot be read"):
        swap((folder,), tmp_path / "swap", StepSize(steps=1))
    (folder / name).unlink()
    with pytest.raises(MeasurementError, match=f"{name}: is not there"):
        swap((folder,), tmp_path / "swap", StepSize(steps=1))


def test_a_training_of_another_model_is_refused(coarse, tmp_path):
    lesson = replace(learning(), readout=torch.nn.Linear(2, 3))
    with pytest.raises(MeasurementError, match="is of another model"):
        study(Swap(), tmp_path, lesson=lesson, needed=(coarse[0],), grid=StepSize(steps=1))
