"""Trainings of networks of several ODE blocks: solved block by block, counted over all of them, taken up where they were."""

from __future__ import annotations

import pytest
import torch

from odebench.api import build
from odebench.contract import StepSize
from odebench.errors import IncompatibleError
from odebench.models.evaluation_norm import EvaluationNorm
from odebench.outcome import Outcome
from odebench.plan.expand import expand
from odebench.plan.suite import parse_suite
from odebench.run.opaque import opaque, opaque_network
from odebench.tasks.kkt import Kkt
from odebench.tasks.swap import Swap
from odebench.tasks.train import Train
from tests.tasks.classroom import REGISTRY, study
from tests.tasks.test_train import Halves, Hasty, StopError, deterministic, interrupted_at


def lesson(name="resnet10-ode", **parameters):
    return build("model", {"name": name, "width": 4} | parameters).learning(0)


@pytest.mark.parametrize(
    ("gradient", "backward"), [("direct", 0), ("anode", 6), ("step-checkpoint", 6), ("continuous-adjoint", 6)]
)
def test_the_evaluations_of_all_blocks_are_counted(tmp_path, gradient, backward):
    found, calls = study(
        Train(iterations=3, batch=8), tmp_path, lesson=lesson(), gradient=gradient, grid=StepSize(steps=3)
    )
    assert found.series["nfe_forward"].tolist() == [6, 6, 6], "two blocks of three Euler steps"
    assert found.series["nfe_backward"].tolist() == [backward] * 3
    evaluations_of_both_sets = 2 * 3 * (2 + 1)  # 1297 and 500 examples, at most 1024 at once
    assert calls == 3 * (6 + backward) + evaluations_of_both_sets
    assert found.values["steps_final"] == 3


def test_exact_gradients_train_alike(tmp_path):
    losses = {}
    for gradient in ("direct", "anode", "continuous-adjoint"):
        found, _ = study(
            Train(iterations=6, batch=16, optimizer="sgd", learning_rate=0.05),
            tmp_path / gradient,
            lesson=lesson(norm="none"),
            gradient=gradient,
            grid=StepSize(steps=2),
        )
        losses[gradient] = found.series["loss"].tolist()
    assert losses["anode"] == pytest.approx(losses["direct"], rel=1e-5)
    assert losses["continuous-adjoint"] != pytest.approx(losses["direct"], rel=1e-3)


def test_a_swap_solves_every_block_otherwise(tmp_path):
    study(Train(iterations=3, batch=8), tmp_path / "training", lesson=lesson())
    swapped, calls = study(
        Swap(), tmp_path / "swap", lesson=lesson(), solver="midpoint", gradient=None, needed=(tmp_path / "training",),
        grid=StepSize(steps=5),
    )  # fmt: skip
    assert calls == 2 * 5 * 2
    assert (swapped.values["nfe_forward"], swapped.values["steps_accepted"]) == (20, 5)


@pytest.mark.parametrize("norm", ["group", "batch", "batch-shared"])
def test_a_training_of_blocks_goes_on_from_any_iteration_as_if_nothing_had_been(tmp_path, norm):
    task = Hasty(iterations=6, batch=16, learning_rate=0.01)
    whole, _ = study(task, tmp_path / "whole", lesson=lesson(norm=norm), gradient="anode", policy=Halves())
    for at in (1, 4):
        with pytest.raises(StopError):
            study(
                task, tmp_path / str(at), lesson=lesson(norm=norm), gradient="anode", policy=Halves(),
                tell=interrupted_at(at),
            )  # fmt: skip
        again, _ = study(task, tmp_path / str(at), lesson=lesson(norm=norm), gradient="anode", policy=Halves())
        assert deterministic(again) == deterministic(whole)


@pytest.mark.parametrize("gradient", ["direct", "anode", "step-checkpoint", "revolve"])
def test_batch_statistics_of_a_field_are_updated_once_for_each_forward_evaluation(tmp_path, gradient):
    network = lesson(norm="batch-shared")
    study(Train(iterations=2, batch=8), tmp_path, lesson=network, gradient=gradient, grid=StepSize(steps=3))
    tracked = {key: value for key, value in network.field.state_dict().items() if key.endswith("num_batches_tracked")}
    inside = [int(value) for key, value in tracked.items() if ".field." in key]
    outside = [int(value) for key, value in tracked.items() if ".field." not in key]
    assert inside == [2 * 3] * 4, "two iterations of three evaluations"
    assert outside == [2] * 6


@pytest.mark.parametrize("gradient", ["anode", "step-checkpoint", "revolve", "continuous-adjoint", "otd-stored"])
def test_each_evaluation_of_a_solve_has_batch_statistics_of_its_own(tmp_path, gradient):
    states = {}
    for name in ("direct", gradient):
        network = lesson(norm="batch")
        task = Train(iterations=3, batch=8, optimizer="sgd", learning_rate=0.0)
        study(task, tmp_path / name, lesson=network, gradient=name, grid=StepSize(steps=2), solver="heun")
        states[name] = network.field.state_dict()
    tracked = [value for key, value in states["direct"].items() if key.endswith("batches_tracked") and value.dim()]
    assert len(tracked) == 4
    for counts in tracked:
        assert counts[:4].tolist() == [3] * 4 and not counts[4:].any(), "two stages of two steps, in three iterations"
    for key, value in states["direct"].items():
        assert torch.equal(states[gradient][key], value), f"{key}: what is evaluated again teaches nothing"
    first = next(value for key, value in states["direct"].items() if key.endswith("running_mean") and value.dim() == 2)
    assert (first[0] - first[3]).abs().max() > 1e-3


def test_running_statistics_are_those_of_torch(tmp_path):
    ours, theirs = EvaluationNorm(3).float(), [torch.nn.BatchNorm2d(3) for _ in range(2)]
    draw = torch.Generator().manual_seed(0)
    for _ in range(4):
        ours.begin()
        for one in theirs:
            z = torch.randn(5, 3, 4, 4, generator=draw) * 2 + 1
            assert torch.equal(ours(z), one(z))
    ours.eval()
    ours.begin()
    for place, one in enumerate(theirs):
        torch.testing.assert_close(ours.running_mean[place], one.running_mean)
        torch.testing.assert_close(ours.running_var[place], one.running_var)
        torch.testing.assert_close(ours(z), one.eval()(z))
    with pytest.raises(IncompatibleError, match="Evaluation 3 of a field"):
        ours(z)


def test_a_network_with_statistics_for_each_evaluation_answers_at_test_time_as_in_training():
    gaps = {}
    for norm in ("batch", "batch-shared"):
        network = lesson(norm=norm, last_relu=False)
        rows = network.train[:64]
        solver = build("solver", "euler")

        def solve(field, z, solver=solver):
            return solver.solve(field, z, (0.0, 1.0), StepSize(steps=4)).y1

        with torch.no_grad():
            for _ in range(60):  # until the running statistics are those of this batch
                trained = network.answer(rows.inputs, solve)
            network.field.eval()
            gaps[norm] = (network.answer(rows.inputs, solve) - trained).abs().max().item()
    assert gaps["batch"] < 0.02 < 0.2 < gaps["batch-shared"]


def test_with_other_steps_there_are_no_statistics(tmp_path):
    network = lesson(norm="batch")
    study(Train(iterations=2, batch=8), tmp_path / "training", lesson=network, grid=StepSize(steps=2))
    needed = {"lesson": lesson(norm="batch"), "gradient": None, "needed": (tmp_path / "training",)}
    study(Swap(), tmp_path / "same", grid=StepSize(steps=2), **needed)
    with pytest.raises(IncompatibleError, match="Evaluation 3 of a field"):
        study(Swap(), tmp_path / "finer", grid=StepSize(steps=4), **needed)


def test_a_policy_that_needs_a_field_gets_that_of_the_first_block_and_its_input(tmp_path):
    network, seen = lesson(), []

    class Looks(Halves):
        def begin(self, solver, build_solver, field, y0, ts, grid):
            seen.extend((field(torch.tensor(0.0), y0), y0))
            return super().begin(solver, build_solver, field, y0, ts, grid)

    before = {key: value.clone() for key, value in network.field.state_dict().items()}
    study(Train(iterations=1, batch=8), tmp_path / "looks", lesson=network, policy=Looks())
    slope, start = seen
    assert start.shape == (8, 4, 8, 8) and start.min() >= 0, "after a convolution and a rectifier"
    fresh = lesson()
    assert all(torch.equal(before[key], value) for key, value in fresh.field.state_dict().items())
    first = next(part for part in fresh.field.network.parts if hasattr(part, "field"))
    torch.testing.assert_close(first.field(torch.tensor(0.0), start), slope)


def test_the_first_step_can_be_chosen_by_a_policy(tmp_path):
    policy = REGISTRY.get("step_policy", "step-adaptation").build()
    found, _ = study(Train(iterations=2, batch=8), tmp_path, lesson=lesson(), policy=policy, grid=None)
    assert 0 < found.series["step_size"][0] <= 1


def test_what_a_network_hands_over_leads_to_no_module():
    network, seen = lesson().network, []
    outputs = opaque_network(network, opaque)(
        lesson().test.inputs[:2], lambda field, z: seen.append(field) or z + field(torch.tensor(0.0), z)
    )
    assert outputs.shape == (2, 10) and len(seen) == 2
    assert not any(isinstance(field, torch.nn.Module) for field in seen)
    assert [len(list(field.parameters())) for field in seen] == [6, 6]


def test_a_task_that_needs_one_field_is_unsupported_for_a_network_and_for_a_training_of_one():
    suite = """
schema = 1
[suite]
name = "refused"
[[experiment]]
name = "training"
task = "train"
model = "resnet4-ode"
solver = "euler"
gradient = "anode"
steps = 2
[[experiment]]
name = "swaps"
task = "swap"
trained = "training"
solver = "euler"
factor = 1.0
[[experiment]]
name = "gradient"
task = "gradient"
model = "resnet4-ode"
solver = "euler"
gradient = "anode"
steps = 2
"""
    tasks = {"crossings": "trained", "validate": "trained", "kkt": "trained"}
    for task in tasks:
        more = 'gradient = "direct"\n' if task == "kkt" else ""
        suite += f'[[experiment]]\nname = "{task}"\ntask = "{task}"\ntrained = "training"\nsolver = "euler"\nfactor = 1.0\n{more}'
    plan = expand(parse_suite(suite, "refused.toml"), REGISTRY, lambda device: None)
    outcomes = {one.cell.task.name: (one.outcome, one.reason) for one in plan.cells}
    assert outcomes.pop("train")[0] is None and outcomes.pop("swap")[0] is None
    assert set(outcomes) == {"gradient", *tasks}
    for task, (outcome, reason) in outcomes.items():
        assert outcome is Outcome.UNSUPPORTED and "'resnet4-ode' is a network of several ODE blocks" in reason
        assert repr(task) in reason


def test_a_task_about_evolving_weights_refuses_a_network_itself(tmp_path):
    with pytest.raises(IncompatibleError, match="weights that evolve"):
        study(Kkt(), tmp_path, lesson=lesson(), needed=(tmp_path,))
