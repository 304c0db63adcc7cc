"""Epochs, schedules, images that are shifted and mirrored, test figures while training, and recipes by name."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from odebench.api import build
from odebench.contract import StepSize
from odebench.errors import IncompatibleError
from odebench.outcome import Outcome
from odebench.plan.expand import expand
from odebench.plan.suite import parse_suite
from odebench.tasks.augmentation import crop_flip
from odebench.tasks.optimisation import TrainingError
from odebench.tasks.train import Train
from tests.data.test_cifar import records
from tests.tasks.classroom import REGISTRY, learning, study
from tests.tasks.test_train import Hasty, StopError, deterministic, interrupted_at, noisy, plain_loop


def test_epochs_are_counted_in_whole_batches(tmp_path):
    found, _ = study(Train(epochs=3, batch=16), tmp_path)  # 60 examples
    assert found.values["iterations"] == 9
    assert found.series["epoch"].tolist() == pytest.approx((np.arange(1, 10) / 3).tolist())


def test_the_learning_rate_falls_by_ten_at_each_milestone(tmp_path):
    task = Train(
        iterations=35, batch=16, optimizer="sgd", learning_rate=0.5, schedule="steps", milestones="1/7, 250/350"
    )
    found, _ = study(task, tmp_path)
    rate = torch.optim.lr_scheduler.MultiStepLR(torch.optim.SGD([torch.zeros(1)], lr=1.0), [5, 25])
    shares = []
    for _ in range(35):
        shares.append(rate.get_last_lr()[0])
        rate.optimizer.step()
        rate.step()
    losses, _ = plain_loop(learning(), 4, 35, 16, lambda w: torch.optim.SGD(w, lr=0.5), shares.__getitem__)
    assert found.series["loss"] == pytest.approx(losses, rel=1e-6)


def cuts(image):
    """All that can become of an image, by numpy: nine shifts down, nine to the right, mirrored or not."""
    wide = np.pad(image, ((0, 0), (4, 4), (4, 4)))
    height, width = image.shape[1:]
    for down, right in itertools.product(range(9), range(9)):
        cut = wide[:, down : down + height, right : right + width]
        yield (down, right, False), cut
        yield (down, right, True), cut[:, :, ::-1]


def test_images_are_shifted_by_up_to_four_pixels_and_mirrored():
    images = torch.rand(60, 2, 6, 5, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(1)
    before = torch.get_rng_state()
    seen = []
    for iteration in range(6):
        for image, got in zip(images.numpy(), crop_flip(images, 3, iteration).numpy(), strict=True):
            (how,) = [how for how, cut in cuts(image) if np.array_equal(cut, got)]
            seen.append(how)
    assert torch.equal(before, torch.get_rng_state())
    down, right, mirrored = (list(values) for values in zip(*seen, strict=True))
    assert set(down) == set(right) == set(range(9)) and 0.4 < np.mean(mirrored) < 0.6
    assert abs(np.corrcoef(down, right)[0, 1]) < 0.2
    assert torch.equal(crop_flip(images, 3, 5), crop_flip(images, 3, 5))
    assert not torch.equal(crop_flip(images, 3, 5), crop_flip(images, 3, 6))
    assert not torch.equal(crop_flip(images, 3, 5), crop_flip(images, 4, 5))


def test_what_are_no_images_is_not_shifted(tmp_path):
    with pytest.raises(IncompatibleError, match="images have"):
        study(Train(iterations=1, augment="crop-flip"), tmp_path)


def test_the_test_data_are_answered_after_every_so_many_epochs_without_a_trace(tmp_path):
    common = {"batch": 16, "learning_rate": 0.05}
    silent, _ = study(Train(epochs=5, **common), tmp_path / "silent", lesson=noisy())
    found, _ = study(Train(epochs=5, evaluate_every=2, **common), tmp_path / "tested", lesson=noisy())
    assert found.values["weights_sha256"] == silent.values["weights_sha256"]
    assert found.series["nfe_forward"].tolist() == silent.series["nfe_forward"].tolist()
    tested = np.isfinite(found.series["loss_test"])
    assert found.series["epoch"][tested].tolist() == [2, 4, 5]
    for epochs in (2, 4, 5):
        short, _ = study(Train(epochs=epochs, **common), tmp_path / str(epochs), lesson=noisy())
        for name in ("loss_test", "accuracy_test"):
            assert found.series[name][3 * epochs - 1] == pytest.approx(short.values[name], rel=1e-6)
    assert "loss_test" not in silent.series


def test_a_training_with_everything_goes_on_as_if_nothing_had_been(tmp_path):
    task = Hasty(
        epochs=1, batch=324, optimizer="sgd", learning_rate=0.05, momentum=0.9, schedule="steps", milestones="1/2",
        augment="crop-flip", evaluate_every=1,
    )  # fmt: skip

    def lesson():
        return build("model", {"name": "resnet4-ode", "width": 4, "norm": "batch-shared"}).learning(0)

    whole, _ = study(task, tmp_path / "whole", lesson=lesson(), gradient="anode")
    plain, _ = study(
        Hasty(**{name: getattr(task, name) for name in ("epochs", "batch", "optimizer", "learning_rate", "momentum")}),
        tmp_path / "plain",
        lesson=lesson(),
    )
    assert whole.series["loss"][0] != plain.series["loss"][0]
    for at in (1, 4):
        with pytest.raises(StopError):
            study(task, tmp_path / str(at), lesson=lesson(), gradient="anode", tell=interrupted_at(at))
        again, _ = study(task, tmp_path / str(at), lesson=lesson(), gradient="anode")
        assert str(deterministic(again)) == str(deterministic(whole))  # as text: nan is not itself


def planned(task):
    text = f"""
schema = 1
[suite]
name = "recipes"
[[experiment]]
name = "training"
task = {task}
model = "resnet4-ode"
solver = "euler"
gradient = "anode"
steps = 2
"""
    (one,) = expand(parse_suite(text, "recipes.toml"), REGISTRY, lambda device: None).cells
    return one


def test_the_recipe_of_anode_is_resolved_in_the_plan_and_other_keys_override_it():
    published = {
        "recipe": "anode", "epochs": 350, "iterations": 0, "optimizer": "sgd", "momentum": 0.9, "weight_decay": 5e-4,
        "learning_rate": 0.1, "schedule": "steps", "milestones": "150/350, 250/350", "batch": 256, "augment": "crop-flip",
        "evaluate_every": 1,
    }  # fmt: skip
    assert planned('{ name = "train", recipe = "anode" }').cell.task.parameters == published
    short = planned('{ name = "train", recipe = "anode", iterations = 3, learning_rate = 1, augment = "none" }')
    assert short.cell.task.parameters == published | {
        "epochs": 0, "iterations": 3, "learning_rate": 1.0, "augment": "none",
    }  # fmt: skip
    task = REGISTRY.get("task", "train").build(recipe="anode", batch=8)
    assert (task.epochs, task.batch, task.learning_rate) == (350, 8, 0.1)
    # A worker is given what was resolved, and must build the same.
    task = REGISTRY.get("task", "train").build(**short.cell.task.parameters)
    assert (task.epochs, task.iterations, task.learning_rate) == (0, 3, 1.0)


def test_without_a_recipe_a_training_is_what_it_was():
    parameters = planned('{ name = "train" }').cell.task.parameters
    assert (parameters["iterations"], parameters["optimizer"], parameters["learning_rate"]) == (10_000, "adam", 1e-4)
    assert planned('{ name = "train", epochs = 4 }').cell.task.parameters["iterations"] == 0


@pytest.mark.parametrize("name", ["resnet18-ode", "squeezenext-ode"])
@pytest.mark.parametrize(("data", "labels"), [("cifar10", (10,)), ("cifar100", (20, 100))])
def test_the_recipe_runs_on_files_in_the_format_of_cifar(tmp_path, monkeypatch, name, data, labels):
    files = {
        "cifar10": [*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin"],
        "cifar100": ["train.bin", "test.bin"],
    }[data]
    for seed, file in enumerate(files):
        (tmp_path / file).write_bytes(records(16, seed, labels)[0])
    monkeypatch.setenv("ODEBENCH_DATA", str(tmp_path))
    parameters = planned('{ name = "train", recipe = "anode", iterations = 3, batch = 8 }').cell.task.parameters
    model = {"name": name, "width": 4, "norm": "batch-shared", "data": {"name": data, "verify": False}}
    found, _ = study(
        Train(**parameters), tmp_path / "work", lesson=build("model", model).learning(0), gradient="anode",
        grid=StepSize(steps=2),
    )  # fmt: skip
    assert found.diverged is None and np.isfinite(found.series["loss"]).all()
    assert found.series["nfe_forward"].tolist() == [8] * 3 and found.series["nfe_backward"].tolist() == [8] * 3
    assert np.isfinite(found.series["loss_test"]).any() and found.values["examples_test"] == 16


@pytest.mark.parametrize(
    ("task", "word"),
    [
        ('{ name = "train", recipe = "anod" }', "`recipe` is 'anod'"),
        ('{ name = "train", epochs = 3, iterations = 4 }', "Give one of them"),
        ('{ name = "train", epochs = -1 }', "`epochs` is -1"),
        ('{ name = "train", augment = "flip" }', "`augment` is 'flip'"),
        ('{ name = "train", schedule = "steps", milestones = "150" }', "fractions of the training"),
        ('{ name = "train", milestones = "1/0" }', "fractions of the training"),
    ],
)
def test_what_makes_no_training_is_told_in_the_plan(task, word):
    one = planned(task)
    assert one.outcome is Outcome.ERROR and word in one.reason


def test_epochs_of_nothing_are_refused():
    with pytest.raises(TrainingError, match="`iterations` is 0"):
        Train(iterations=0)
