"""Training: what a plain loop of torch does, the same from the same seed, and the same after any interruption."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from odebench.contract import StepPolicy, StepSize, Tolerance
from odebench.errors import IncompatibleError
from odebench.tasks.batches import Batches
from odebench.tasks.evaluation import evaluate
from odebench.tasks.optimisation import TrainingError
from odebench.tasks.train import Train
from odebench.tasks.trained import WEIGHTS
from tests.tasks.classroom import Net, build_solver, learning, study

#: Columns that a clock made.
CLOCKS = ("time_iteration_s", "time_s")


class Halves(StepPolicy):
    """Tries a finer grid in every third iteration, and takes it where the batch is answered well enough; draws as it likes."""

    name = "halves"

    def begin(self, solver, build_solver, field, y0, ts, grid):
        field(torch.tensor(0.0), y0)
        self._steps, self._told = grid.steps, 0
        return grid

    def after(self, own, attempt):
        self._told += 1
        if self._told % 3 == 0:
            torch.rand(5)
            finer = attempt(build_solver("midpoint"), StepSize(steps=2 * self._steps))
            self._steps = self._steps % 4 + 1 + (finer.metric > own.metric)
        return StepSize(steps=self._steps)

    def state_dict(self):
        return {"steps": self._steps, "told": self._told}

    def load_state_dict(self, state):
        self._steps, self._told = state["steps"], state["told"]


class Noisy(nn.Module):
    """A field with everything that changes behind one's back: dropout and running statistics."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.3), nn.Linear(8, 2))

    def forward(self, t, y):
        return self.layers(y)


def noisy():
    with torch.random.fork_rng():
        torch.manual_seed(7)
        return learning(field=Noisy())


def deterministic(findings):
    """Values and series without what a clock made."""
    values = {name: value for name, value in findings.values.items() if name not in CLOCKS}
    series = {name: column.tolist() for name, column in findings.series.items() if name not in CLOCKS}
    return values, series


def plain_loop(lesson, steps, iterations, batch, optimiser, rate=lambda i: 1.0):
    """Written anew: Euler by hand, torch's own optimiser and loss; the losses and the accuracies."""
    weights = [*lesson.field.parameters(), *lesson.readout.parameters()]
    optimiser = optimiser(weights)
    first = optimiser.param_groups[0]["lr"]
    order = Batches(len(lesson.train), batch, 0, torch.device("cpu"))
    losses, accuracies = [], []
    for iteration in range(iterations):
        rows = order.rows(iteration)
        x, y = lesson.train.inputs[rows], lesson.train.targets[rows]
        for _ in range(steps):
            x = x + lesson.field(torch.tensor(0.0), x) / steps
        logits = lesson.readout(x)
        loss = -torch.log_softmax(logits, -1)[torch.arange(len(y)), y].mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.param_groups[0]["lr"] = first * rate(iteration)
        optimiser.step()
        losses.append(loss.item())
        accuracies.append((logits.argmax(-1) == y).float().mean().item())
    return losses, accuracies


@pytest.mark.parametrize(
    ("parameters", "optimiser"),
    [
        ({"learning_rate": 0.01}, lambda w: torch.optim.Adam(w, lr=0.01)),
        ({"learning_rate": 0.01, "weight_decay": 0.5}, lambda w: torch.optim.Adam(w, lr=0.01, weight_decay=0.5)),
        (
            {"optimizer": "adamw", "learning_rate": 0.01, "weight_decay": 0.5},
            lambda w: torch.optim.AdamW(w, lr=0.01, weight_decay=0.5),
        ),
        (
            {"optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.1},
            lambda w: torch.optim.SGD(w, lr=0.1, momentum=0.9, weight_decay=0.1),
        ),
    ],
    ids=["adam", "adam with decay", "adamw with decay", "sgd with momentum and decay"],
)
def test_a_training_is_what_a_plain_loop_does(tmp_path, parameters, optimiser):
    """Every option reaches the optimiser: the published code had a weight decay that it never passed on."""
    found, _ = study(Train(iterations=40, batch=16, **parameters), tmp_path)
    losses, accuracies = plain_loop(learning(), 4, 40, 16, optimiser)
    assert found.series["loss"] == pytest.approx(losses, rel=1e-6)
    assert found.series["accuracy"].tolist() == accuracies


def test_cosine_falls_from_the_learning_rate_to_nothing(tmp_path):
    task = Train(iterations=40, batch=16, optimizer="sgd", learning_rate=0.5, schedule="cosine")
    found, _ = study(task, tmp_path)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(torch.optim.SGD([torch.zeros(1)], lr=1.0), 40)
    shares = [rate.get_last_lr()[0]]
    for _ in range(39):
        rate.optimizer.step()
        rate.step()
        shares.append(rate.get_last_lr()[0])
    losses, _ = plain_loop(learning(), 4, 40, 16, lambda w: torch.optim.SGD(w, lr=0.5), shares.__getitem__)
    assert found.series["loss"] == pytest.approx(losses, rel=1e-6)
    constant, _ = study(Train(iterations=40, batch=16, optimizer="sgd", learning_rate=0.5), tmp_path / "constant")
    assert found.series["loss"][-1] != pytest.approx(constant.series["loss"][-1], rel=1e-4)


def test_the_same_seed_gives_the_same_weights_whatever_was_drawn_before(tmp_path):
    """The published code seeded the order of the batches only."""
    torch.manual_seed(1)
    first, _ = study(Train(iterations=20, batch=16), tmp_path / "1")
    torch.manual_seed(2)
    torch.rand(17)
    again, _ = study(Train(iterations=20, batch=16), tmp_path / "2")
    other, _ = study(Train(iterations=20, batch=16), tmp_path / "3", seed=1)
    assert deterministic(first) == deterministic(again)
    assert first.values["weights_sha256"] != other.values["weights_sha256"]


@pytest.mark.parametrize("examples", [1000, 1500])
def test_each_example_counts_once(examples):
    """The published code divided by the nominal size of the batches: 1000 examples in batches of 128 gave at most 0.977."""
    lesson = learning(test=examples)
    perfect = replace(lesson, test=replace(lesson.test, targets=torch.ones(examples, dtype=torch.long)))
    with torch.no_grad():
        perfect.readout.weight.zero_()
        perfect.readout.bias.copy_(torch.tensor([0.0, 3.0]))
    found = evaluate(perfect, perfect.field, build_solver("euler"), StepSize(steps=2), perfect.test)
    assert found.metric == 1.0
    assert found.columns(perfect, "test")["correct_test"] == examples

    found = evaluate(lesson, lesson.field, build_solver("euler"), StepSize(steps=1), lesson.test)
    with torch.no_grad():
        logits = lesson.readout(lesson.test.inputs + lesson.field(None, lesson.test.inputs))
        loss = nn.functional.cross_entropy(logits, lesson.test.targets).item()
    assert found.loss == pytest.approx(loss, rel=1e-6)
    assert found.metric == (logits.argmax(-1) == lesson.test.targets).double().mean().item()


def test_an_evaluation_is_without_dropout_and_changes_no_running_statistic():
    lesson = noisy()
    before = {name: value.clone() for name, value in lesson.field.state_dict().items()}
    first, again = (
        evaluate(lesson, lesson.field, build_solver("euler"), StepSize(steps=2), lesson.test) for _ in range(2)
    )
    assert torch.equal(first.outputs, again.outputs) and lesson.field.training
    assert all(torch.equal(value, before[name]) for name, value in lesson.field.state_dict().items())


def test_batches_are_drawn_without_replacement_and_are_of_equal_size():
    order = Batches(10, 3, seed=0, device=torch.device("cpu"))
    batches = [order.rows(iteration).tolist() for iteration in range(12)]
    epochs = [batches[start] + batches[start + 1] + batches[start + 2] for start in range(0, 12, 3)]
    assert all(len(epoch) == len(set(epoch)) == 9 for epoch in epochs)
    assert len(set(map(tuple, epochs))) == 4
    assert {row for epoch in epochs for row in epoch} == set(range(10)), "what one epoch drops, another sees"
    elsewhere = Batches(10, 3, seed=0, device=torch.device("cpu"))
    assert elsewhere.rows(7).tolist() == batches[7], "no earlier iteration is needed to know one"
    assert Batches(10, 3, seed=1, device=torch.device("cpu")).rows(0).tolist() != batches[0]
    assert sorted(Batches(4, 128, seed=0, device=torch.device("cpu")).rows(5).tolist()) == [0, 1, 2, 3]


class StopError(Exception):
    pass


def interrupted_at(*iterations):
    """Raises where progress says so."""

    def tell(progress):
        if progress.done in iterations:
            raise StopError

    return tell


class Hasty(Train):
    """Writes a checkpoint after each iteration."""

    checkpoint_every_s = 0.0


OPTIMISERS = [{"optimizer": "adam"}, {"optimizer": "sgd", "momentum": 0.9, "weight_decay": 0.01, "schedule": "cosine"}]


@pytest.mark.parametrize("parameters", OPTIMISERS, ids=["adam", "sgd"])
def test_a_training_goes_on_from_any_iteration_as_if_nothing_had_been(tmp_path, parameters):
    """Weights, optimiser, policy, batches, random numbers, running statistics and series are those of the undisturbed run."""
    task = Hasty(iterations=14, batch=16, learning_rate=0.01, **parameters)
    whole, _ = study(task, tmp_path / "whole", lesson=noisy(), policy=Halves())
    assert len(set(whole.series["step_size"])) > 2, "the policy does something"
    for at in range(1, 15):
        folder = tmp_path / str(at)
        with pytest.raises(StopError):
            study(task, folder, lesson=noisy(), policy=Halves(), tell=interrupted_at(at))
        torch.rand(at)  # The next process draws otherwise.
        again, _ = study(task, folder, lesson=noisy(), policy=Halves())
        assert deterministic(again) == deterministic(whole), f"interrupted after iteration {at}"
        assert not again.notes


def test_a_training_that_is_interrupted_in_every_iteration_still_ends_the_same(tmp_path):
    task = Hasty(iterations=8, batch=16)
    whole, calls = study(task, tmp_path / "whole", lesson=noisy(), policy=Halves())
    for call in range(3, 20, 2):
        lesson, count = noisy(), [0]

        def stop(module, inputs, count=count, call=call):
            count[0] += 1
            if count[0] == call:
                raise StopError

        lesson.field.register_forward_pre_hook(stop)
        with pytest.raises(StopError):
            study(task, tmp_path / "cut", lesson=lesson, policy=Halves())
    assert call < calls
    again, _ = study(task, tmp_path / "cut", lesson=noisy(), policy=Halves())
    assert deterministic(again) == deterministic(whole)


def test_a_checkpoint_that_was_cut_short_is_put_aside_and_the_one_before_is_taken(tmp_path):
    task = Hasty(iterations=12, batch=16)
    whole, _ = study(task, tmp_path / "whole", lesson=noisy())
    folder = tmp_path / "cut"
    with pytest.raises(StopError):
        study(task, folder, lesson=noisy(), tell=interrupted_at(9))
    file = folder / "checkpoint.pt"
    file.write_bytes(file.read_bytes()[:700])
    told = []
    again, _ = study(task, folder, lesson=noisy(), tell=lambda progress: told.append(progress.done))
    assert told[0] == 8, "the last one was after iteration 8, and the one before after 7"
    assert deterministic(again) == deterministic(whole)
    assert "checkpoint.pt cannot be read" in again.notes[0] and (folder / "broken-checkpoint.pt").exists()


def test_with_no_checkpoint_that_can_be_read_a_training_begins_again(tmp_path):
    task = Hasty(iterations=6, batch=16)
    whole, _ = study(task, tmp_path / "whole")
    folder = tmp_path / "cut"
    with pytest.raises(StopError):
        study(task, folder, tell=interrupted_at(4))
    for file in folder.glob("checkpoint*"):
        file.write_bytes(b"")
    again, _ = study(task, folder)
    assert deterministic(again) == deterministic(whole) and len(again.notes) == 2


def test_nothing_in_a_checkpoint_is_run_when_it_is_read(tmp_path):
    class Attack:
        def __reduce__(self):
            return (pytest.fail, ("code in a checkpoint was run",))

    torch.save({"rows": Attack()}, tmp_path / "checkpoint.pt")
    found, _ = study(Train(iterations=2, batch=16), tmp_path)
    assert "cannot be read" in found.notes[0] and len(found.series["loss"]) == 2


def test_checkpoints_come_as_often_as_asked(tmp_path, monkeypatch):
    import odebench.tasks.training_loop as module

    clock = iter(range(10_000))
    monkeypatch.setattr(module.time, "monotonic", lambda: 7.0 * next(clock))
    saved = []
    monkeypatch.setattr(module, "save_checkpoint", lambda workplace, state: saved.append(len(state["rows"])))
    study(Train(iterations=20, batch=16), tmp_path)
    assert saved and max(np.diff(saved)) <= 20 / 7 + 1


def test_trying_other_grids_leaves_no_trace_in_the_weights(tmp_path):
    class Curious(Halves):
        def after(self, own, attempt):
            first = attempt(build_solver("euler"), StepSize(steps=self._steps))
            attempt(build_solver("rk4"), StepSize(steps=3))
            assert attempt(build_solver("euler"), StepSize(steps=self._steps)) == first
            return StepSize(steps=self._steps)

    task = Train(iterations=10, batch=16)
    fixed, _ = study(task, tmp_path / "fixed", lesson=noisy())
    curious, _ = study(task, tmp_path / "curious", lesson=noisy(), policy=Curious())
    assert curious.values["weights_sha256"] == fixed.values["weights_sha256"]
    assert curious.values["nfe_checks"] == 1 + 10 * (4 + 12 + 4)


def test_every_evaluation_of_the_field_is_accounted_for(tmp_path):
    found, calls = study(Train(iterations=9, batch=16), tmp_path, policy=Halves(), gradient="anode")
    series = found.series
    assert (series["nfe_forward"] == np.round(1.0 / series["step_size"])).all()
    assert (series["nfe_backward"] >= series["nfe_forward"]).all(), "anode computes the steps again"
    assert series["nfe_checks"].nonzero()[0].tolist() == [2, 5, 8]
    assert found.values["nfe_training"] == series["nfe_forward"].sum()
    assert found.values["nfe_checks"] == series["nfe_checks"].sum() + 1, "the policy looked at the first batch"
    assert found.values["nfe_mean"] == (found.values["nfe_training"] + found.values["nfe_checks"]) / 9
    evaluations = 2 * found.values["steps_final"]
    assert calls == sum(series[name].sum() for name in ("nfe_forward", "nfe_backward", "nfe_checks")) + 1 + evaluations
    assert found.values["step_size_final"] == 1.0 / found.values["steps_final"]


def test_the_columns_are_those_of_a_training(tmp_path):
    found, _ = study(Train(iterations=5, batch=16), tmp_path)
    assert set(found.values) == {
        "iterations", "parameters_trained", "nfe_mean", "nfe_training", "nfe_checks", "time_iteration_s", "step_size_final",
        "steps_final",
        "loss_train", "accuracy_train", "loss_test", "accuracy_test", "correct_test", "examples_test", "weights_sha256",
    }  # fmt: skip
    asked = learning()
    trained = [p for module in (asked.field, asked.readout) for p in module.parameters() if p.requires_grad]
    assert found.values["parameters_trained"] == sum(p.numel() for p in trained)
    assert found.series["iteration"].tolist() == [1, 2, 3, 4, 5]
    assert (np.diff(found.series["time_s"]) > 0).all()
    assert found.values["correct_test"] == round(found.values["accuracy_test"] * found.values["examples_test"])
    assert found.diverged is None


def test_a_loss_that_is_not_finite_ends_the_training_and_its_series_is_kept(tmp_path):
    told = []
    task = Train(iterations=50, batch=16, optimizer="sgd", learning_rate=1e30)
    found, _ = study(task, tmp_path, tell=lambda progress: told.append(progress.done))
    last = len(found.series["loss"])
    assert found.diverged == f"The loss of iteration {last} is nan." and 1 < last < 50
    assert not math.isfinite(found.series["loss"][-1]) and math.isfinite(found.series["loss"][0])
    assert told == list(range(1, last))
    assert found.values["iterations"] == last and "accuracy_test" not in found.values
    assert not (tmp_path / WEIGHTS).exists()


def test_a_solve_that_gives_up_ends_the_training_with_the_iteration(tmp_path):
    grid = Tolerance(rtol=1e-3, atol=1e-3, max_steps=40)
    task = Train(iterations=50, batch=16, optimizer="sgd", learning_rate=1e3)
    found, _ = study(task, tmp_path, solver="dopri5", grid=grid)
    last = len(found.series["loss"])
    assert found.diverged.startswith(f"At iteration {last + 1}: Solver 'dopri5' stopped") and last < 50

    class Explodes(Net):
        def forward(self, t, y):
            return y.square() * 1e4 + super().forward(t, y)

    found, _ = study(task, tmp_path / "at once", lesson=learning(field=Explodes()), solver="dopri5", grid=grid)
    assert found.diverged.startswith("At iteration 1: ") and found.values["iterations"] == 0
    assert len(found.series["loss"]) == 0


def test_an_adaptive_training_tells_its_tolerance(tmp_path):
    grid = Tolerance(rtol=1e-3, atol=1e-3)
    found, _ = study(Train(iterations=4, batch=16), tmp_path, solver="dopri5", grid=grid)
    assert found.values["tolerance_final"] == 1e-3 and found.series["tolerance"].tolist() == [1e-3] * 4
    assert found.values["steps_final"] >= 1


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"optimizer": "adma"}, "`optimizer` is 'adma'; it must be one of 'adam'"),
        ({"schedule": "linear"}, "`schedule` is 'linear'"),
        ({"iterations": 0}, "`iterations` is 0"),
        ({"batch": 2.5}, "`batch` is 2.5"),
        ({"learning_rate": -1.0}, "`learning_rate` is -1.0"),
        ({"momentum": 0.9}, "`momentum` is 0.9, and 'adam' has none"),
    ],
)
def test_parameters_that_mean_nothing_are_refused(parameters, said):
    with pytest.raises(TrainingError, match=said):
        Train(**parameters)


def test_a_model_without_weights_is_refused(tmp_path):
    lesson = learning()
    for module in (lesson.field, lesson.readout):
        module.requires_grad_(False)
    with pytest.raises(IncompatibleError, match="no weight that requires a gradient"):
        study(Train(iterations=2), tmp_path, lesson=lesson)
