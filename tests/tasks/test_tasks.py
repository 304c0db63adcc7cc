"""Each task on its own: what it solves, and how its answers are judged."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from odebench.contract import Known, Problem, Reference, Setting, StepSize, Tolerance, Unknown
from odebench.errors import IncompatibleError, NotKnownError
from odebench.plugins import build_registry
from odebench.tasks.answers import named, state_of


@pytest.fixture(scope="module")
def registry():
    return build_registry(prefixes=[], strict=True)


class Decay(nn.Module):
    def __init__(self):
        super().__init__()
        self.rate = nn.Parameter(torch.tensor(2.0, dtype=torch.float64))
        self.unused = nn.Parameter(torch.ones(3, dtype=torch.float64))

    def forward(self, t, y):
        return tuple(-self.rate * leaf for leaf in y) if isinstance(y, tuple) else -self.rate * y


Y0 = torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.float64)


def setting_of(registry, y0=Y0, steps=40, gradient=None, ts=(0.0, 0.5, 1.0), **problem) -> Setting:
    return Setting(
        problem=Problem(field=Decay(), y0=y0, ts=ts, **problem),
        solver=registry.get("solver", "rk4").build(),
        gradient=registry.get("gradient", gradient).build() if gradient else None,
        grid=StepSize(steps=steps),
    )


class FakeKnown(Known):
    """Knows the decay in closed form, as well as it is told to."""

    def __init__(self, problem, uncertainty=1e-15, discrete=None):
        self.problem, self.uncertainty, self.discrete = problem, uncertainty, discrete

    def solution(self, ts):
        states = [self.problem.y0 * math.exp(-2.0 * (t - ts[0])) for t in ts]
        return Reference(value=torch.stack(states), uncertainty=self.uncertainty, method="closed form")

    def gradient(self):
        y1 = self.problem.y0 * math.exp(-2.0)
        grad_y1 = y1 / 2  # of the default loss: half the mean square over a batch of 2
        grad_rate = (grad_y1 * -y1).sum()
        value = {"grad_y0": (grad_y1 * math.exp(-2.0)).reshape(-1)}
        if list(self.problem.field.parameters()):
            value["grad_params"] = torch.cat([grad_rate.reshape(1), torch.zeros(3, dtype=torch.float64)])
        return Reference(value=value, uncertainty=self.uncertainty, method="closed form")

    def discrete_gradient(self):
        if self.discrete is None:
            raise NotKnownError("Solver 'x' does not tell its steps.")
        return Reference(value=self.discrete, uncertainty=0.0, method="replay")


def answer_of(task, setting):
    answer = task.forward(setting, setting.problem.y0)
    if answer.backward is not None:
        answer.backward()
    return answer


def test_integrate_solves_at_the_output_times_without_a_graph(registry):
    task, setting = registry.get("task", "integrate").build(), setting_of(registry)
    answer = answer_of(task, setting)
    assert answer.states["ys"].shape == (3, 2, 2) and not answer.states["ys"].requires_grad
    assert (answer.accepted, answer.rejected, answer.grid.steps) == (40, 0, 40)
    found = task.judge(answer.states, FakeKnown(setting.problem))
    exact = torch.exp(torch.tensor([-1.0, -2.0], dtype=torch.float64))
    errors = [abs(answer.states["ys"][i + 1, 0, 0].item() / exact[i].item() - 1) for i in range(2)]
    assert found["error_final"] == pytest.approx(errors[1], rel=1e-6)
    assert found["error_trajectory_max"] == pytest.approx(max(errors), rel=1e-6)
    assert found["error_trajectory_rms"] == pytest.approx(math.sqrt((errors[0] ** 2 + errors[1] ** 2) / 2), rel=1e-6)
    assert (found["reference"], found["reference_digits"]) == ("closed form", pytest.approx(15.0))


def test_no_error_is_told_that_could_be_the_references_own(registry):
    task, setting = registry.get("task", "integrate").build(), setting_of(registry)
    answer = answer_of(task, setting)
    found = task.judge(answer.states, FakeKnown(setting.problem, uncertainty=1e-6))
    for name in ("error_final", "error_trajectory_max", "error_trajectory_rms"):
        assert isinstance(found[name], Unknown)
        assert "Below 10 times the reference's own uncertainty 1.0e-06" in found[name].reason


def test_a_reference_that_is_not_known_leaves_its_reason_in_each_column(registry):
    task, setting = registry.get("task", "integrate").build(), setting_of(registry)

    class Ignorant(FakeKnown):
        def solution(self, ts):
            raise NotKnownError("No two ways agree.")

    found = task.judge(answer_of(task, setting).states, Ignorant(setting.problem))
    assert set(found.values()) == {Unknown("No two ways agree.")}
    assert set(found) == {
        "error_final", "error_trajectory_max", "error_trajectory_rms", "reference", "reference_digits",
    }  # fmt: skip


def test_gradient_is_that_of_the_loss_in_y0_and_in_every_parameter(registry):
    task, setting = registry.get("task", "gradient").build(), setting_of(registry, gradient="direct")
    answer = answer_of(task, setting)
    exact = FakeKnown(setting.problem)
    found = task.judge(answer.states, FakeKnown(setting.problem, discrete=exact.gradient().value))
    assert answer.states["ys"].shape == (2, 2, 2), "the loss looks at the first and the last time only"
    assert answer.states["grad_params.1"].tolist() == [0.0] * 3, "unused means zero"
    assert 0 < found["grad_error_y0"] < 1e-6 and 0 < found["grad_error_params"] < 1e-6
    assert found["grad_error_discrete"] == pytest.approx(found["grad_error_y0"], rel=10)
    assert found["grad_cosine"] == pytest.approx(1.0, abs=1e-9)
    assert 0 < found["error_final"] < 1e-6
    assert setting.problem.y0.grad is None, "the given state is not touched"


def test_an_exact_gradient_is_zero_off_and_not_hidden(registry):
    task, setting = registry.get("task", "gradient").build(), setting_of(registry, gradient="direct")
    states = answer_of(task, setting).states
    own = {"grad_y0": states["grad_y0.0"].reshape(-1), "grad_params": torch.cat([states["grad_params.0"].reshape(1), states["grad_params.1"]])}  # fmt: skip
    found = task.judge(states, FakeKnown(setting.problem, discrete=own))
    assert found["grad_error_discrete"] == 0.0


def test_a_wrong_gradient_is_told_as_such(registry):
    task, setting = registry.get("task", "gradient").build(), setting_of(registry, gradient="direct")
    states = dict(answer_of(task, setting).states)
    states["grad_y0.0"] = -states["grad_y0.0"]
    found = task.judge(states, FakeKnown(setting.problem))
    assert found["grad_error_y0"] == pytest.approx(2.0, abs=1e-5)
    assert found["grad_error_params"] < 1e-6
    assert found["grad_cosine"] < 0.95, "both gradients together"
    assert found["grad_error_discrete"] == Unknown("Solver 'x' does not tell its steps.")


def test_without_parameters_there_is_no_error_of_theirs(registry):
    class Bare(nn.Module):
        def forward(self, t, y):
            return -2.0 * y

    setting = setting_of(registry, gradient="direct")
    setting = replace(setting, problem=replace(setting.problem, field=Bare()))
    task = registry.get("task", "gradient").build()
    found = task.judge(answer_of(task, setting).states, FakeKnown(setting.problem))
    assert found["grad_error_params"] == Unknown("The field owns no parameter that requires a gradient.")
    assert found["grad_error_y0"] < 1e-6


@pytest.mark.parametrize("task", ["integrate", "gradient", "reversibility"])
def test_tuple_states_are_taken_apart_and_put_together(registry, task):
    y0 = (Y0, Y0[:, :1].clone())
    setting = setting_of(registry, y0=y0, gradient="direct" if task == "gradient" else None)
    answer = answer_of(registry.get("task", task).build(), setting)
    name = "returned" if task == "reversibility" else "ys"
    shapes = [tuple(leaf.shape[-2:]) for leaf in state_of(answer.states, name)]
    assert shapes == [(2, 2), (2, 1)]
    if task == "gradient":
        assert [tuple(leaf.shape) for leaf in state_of(answer.states, "grad_y0")] == [(2, 2), (2, 1)]


def test_reversibility_goes_there_and_back(registry):
    task = registry.get("task", "reversibility").build()
    errors = []
    for steps in (8, 16, 32):
        setting = setting_of(registry, steps=steps)
        answer = answer_of(task, setting)
        assert answer.accepted == 2 * steps
        errors.append(task.judge(answer.states, FakeKnown(setting.problem))["roundtrip_error"])
    orders = [math.log2(a / b) for a, b in itertools.pairwise(errors)]
    assert min(orders) > 3.8, "rk4 finds back to its own order, at least"


def test_reversibility_keeps_to_the_problems_span(registry):
    task = registry.get("task", "reversibility").build()
    long, short = (answer_of(task, setting_of(registry, reversible_span=span)).grid.end for span in (None, 0.25))
    assert (long, short) == (1.0, 0.25)


def test_a_round_trip_from_nothing_has_no_relative_error(registry):
    task = registry.get("task", "reversibility").build()
    found = task.judge({"y0": torch.zeros(2), "returned": torch.ones(2)}, None)
    assert isinstance(found["roundtrip_error"], Unknown)


def test_a_solver_that_tells_no_steps_has_no_counts(registry):
    from odebench.contract import Solution, Solver

    class Silent(Solver):
        name = "silent"
        order = 4

        def solve(self, field, y0, ts, grid, inputs=()):
            return Solution(ys=registry.get("solver", "rk4").build().solve(field, y0, ts, grid).ys, grid=None)

    setting = replace(setting_of(registry), solver=Silent())
    answer = answer_of(registry.get("task", "integrate").build(), setting)
    assert (answer.accepted, answer.rejected, answer.grid) == (None, None, None)


def test_names_of_an_answer():
    assert list(named("ys", torch.ones(2))) == ["ys"]
    assert list(named("ys", (torch.ones(2), torch.ones(1)))) == ["ys.0", "ys.1"]
    with pytest.raises(KeyError):
        state_of({}, "ys")


@pytest.mark.parametrize("vjp", [False, True], ids=["alone", "with its VJP"])
@pytest.mark.parametrize("y0", [Y0, (Y0, Y0[:, :1].clone())], ids=["tensor", "tuple"])
def test_evaluate_asks_the_field_so_many_times_and_the_solver_never(registry, vjp, y0):
    calls, tracked = [], []

    class Counting(Decay):
        def forward(self, t, y):
            calls.append(float(t))
            first = super().forward(t, y)
            for leaf in first if isinstance(first, tuple) else (first,):
                if leaf.requires_grad:
                    leaf.register_hook(tracked.append)
            return first

    setting = setting_of(registry, y0=y0, steps=7, ts=(0.25, 1.0))
    setting = replace(setting, problem=replace(setting.problem, field=Counting()), solver=None)
    answer = registry.get("task", "evaluate").build(vjp=vjp).forward(setting, y0)
    assert (calls, answer.accepted, answer.rejected) == ([0.25] * 7, 7, 0)
    assert len(tracked) == (7 * (1 + isinstance(y0, tuple)) if vjp else 0), "each is differentiated, or none is"
    slope = state_of(answer.states, "slope")
    assert torch.equal(slope[0] if isinstance(y0, tuple) else slope, -2.0 * Y0)
    assert setting.problem.field.rate.grad is None, "nothing is left behind"


def test_evaluate_must_be_told_how_often(registry):
    setting = replace(setting_of(registry), grid=Tolerance(rtol=1e-3, atol=1e-3))
    with pytest.raises(IncompatibleError, match="asks for no number of them. Give `steps`"):
        registry.get("task", "evaluate").build().forward(setting, Y0)
