"""`odebench.step_policy`: a policy in loops that somebody else wrote."""

from __future__ import annotations

import itertools
import json
import math

import pytest
import torch
import torchdiffeq
from torch import nn

import odebench
from odebench.errors import DivergedError, GridError, IncompatibleError, PluginError, UnknownNameError

STAGES = {"euler": 1, "midpoint": 2, "rk4": 4}


class Field(nn.Module):
    """A small net that counts its calls."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 12), nn.Tanh(), nn.Linear(12, 2))
        self.calls = 0

    def forward(self, t, y):
        self.calls += 1
        return 3.0 * self.net(y)


class Loop:
    """A training as a stranger would write it: rings told apart, one batch an iteration, every check in the third."""

    def __init__(self, span=(0.0, 1.0), grid=None, solver="euler", **parameters):
        torch.manual_seed(3)
        self.field, self.readout = Field().double(), nn.Linear(2, 2).double()
        self.optimiser = torch.optim.Adam([*self.field.parameters(), *self.readout.parameters()], lr=0.02)
        self.batches = [torch.randn(16, 2, dtype=torch.float64) for _ in range(40)]
        self.table = {"name": "step-adaptation", "check_every": 3, "threshold": 0.06} | parameters
        self.watch = odebench.step_policy(self.table, solver=solver, span=span, grid=grid)
        self.span, self.attempted = span, []

    def solve(self, inputs, solver, grid):
        return odebench.solve(self.field, inputs, self.span, solver=solver, grid=grid).y1

    def iterate(self, first: int, last: int):
        for inputs in self.batches[first:last]:
            targets = (inputs.norm(dim=1) > 1.0).long()
            score = lambda y1, targets=targets: (self.readout(y1).argmax(1) == targets).double().mean()  # noqa: E731

            def evaluate(solver, grid, inputs=inputs, score=score):
                assert not torch.is_grad_enabled()
                before = self.field.calls
                found = score(self.solve(inputs, solver, grid))
                self.attempted.append((solver.name, grid, self.field.calls - before))
                return found

            self.optimiser.zero_grad()
            y1 = self.solve(inputs, self.watch.solver, self.watch.grid_for(self.field, inputs))
            nn.functional.cross_entropy(self.readout(y1), targets).backward()
            self.watch.after(metric=lambda y1=y1, score=score: score(y1), evaluate=evaluate)
            self.optimiser.step()
        return self

    def weights(self) -> torch.Tensor:
        return nn.utils.parameters_to_vector([*self.field.parameters(), *self.readout.parameters()]).detach()

    def steps(self) -> list[tuple[int, float]]:
        return [(change.iterations, change.grid.step_size) for change in self.watch.history]


@pytest.mark.parametrize(("solver", "test"), [("euler", "midpoint"), ("midpoint", "rk4"), ("rk4", "rk4")])
@pytest.mark.parametrize("span", [(0.0, 1.0), (1.0, -1.5)])
def test_it_costs_the_evaluations_that_are_documented_and_no_more(solver, test, span):
    """2 for the first step, and for each attempt the stages of its solver times its steps, in every third iteration only."""
    loop = Loop(span, solver=solver)
    length, trained = abs(span[1] - span[0]), 0
    loop.watch.grid_for(loop.field, loop.batches[0])
    for iteration in range(12):
        trained += STAGES[solver] * loop.watch.steps
        checks = len(loop.attempted)
        loop.iterate(iteration, iteration + 1)
        assert [name for name, _, _ in loop.attempted[checks:]] in (
            [[test], [test, solver]] if iteration % 3 == 2 else [[]]
        )
    spent = 2 + sum(STAGES[name] * math.ceil(length / grid.step_size - 1e-9) for name, grid, _ in loop.attempted)
    assert len(loop.attempted) >= 4
    assert loop.watch.evaluations == spent == loop.field.calls - trained
    assert spent == 2 + sum(calls for *_, calls in loop.attempted)


def test_the_step_swings_in_a_real_training():
    """Checked without noise of batches: it shrinks and grows, and each change is a third iteration's."""
    loop = Loop(threshold=0.04, accuracy_factor=200.0, grow=1.5).iterate(0, 40)
    changes = loop.steps()
    ratios = [later / earlier for (_, earlier), (_, later) in itertools.pairwise(changes)]
    assert changes[0][0] == 0 and all(count % 3 == 0 for count, _ in changes)
    assert min(ratios) == 0.5
    assert max(ratios) == pytest.approx(1.5)
    assert loop.watch.step_size == changes[-1][1]
    assert loop.watch.iterations == 40


@pytest.mark.parametrize("cut", [0, 1, 7, 8, 9, 25])
def test_a_loop_that_was_interrupted_ends_with_the_same_bits(cut):
    whole = Loop(grow=1.5).iterate(0, 40)
    before = Loop(grow=1.5).iterate(0, cut)
    text = json.dumps(before.watch.state_dict(), allow_nan=False)
    after = Loop(grow=1.5)
    after.field.load_state_dict(before.field.state_dict())
    after.readout.load_state_dict(before.readout.state_dict())
    after.optimiser.load_state_dict(before.optimiser.state_dict())
    after.watch.load_state_dict(json.loads(text))
    assert after.watch.state_dict() == before.watch.state_dict()
    after.iterate(cut, 40)
    assert torch.equal(after.weights(), whole.weights())
    assert after.watch.state_dict() == whole.watch.state_dict()
    assert len(whole.watch.history) > 5


def test_it_serves_a_loop_on_another_library():
    """torchdiffeq solves; it is told no more than the method's name and the step size. The steps are those of our own loop."""

    class Elsewhere(Loop):
        def solve(self, inputs, solver, grid):
            options = {"step_size": grid.step_size}
            ts = torch.tensor(self.span, dtype=torch.float64)
            return torchdiffeq.odeint(self.field, inputs, ts, method=solver.name, options=options)[-1]

    ours, theirs = Loop(grow=1.5).iterate(0, 30), Elsewhere(grow=1.5).iterate(0, 30)
    assert theirs.steps() == ours.steps()
    assert theirs.watch.evaluations == ours.watch.evaluations
    torch.testing.assert_close(theirs.weights(), ours.weights(), rtol=1e-9, atol=1e-12)


def test_a_tolerance_is_adapted_to_a_regression():
    """The loss of a decay is the metric; what each solve took is told."""
    torch.manual_seed(0)
    field = Field().double()
    optimiser = torch.optim.Adam(field.parameters(), lr=1e-2)
    table = {"name": "tolerance-adaptation", "check_every": 2, "threshold": 0.05, "comparison": "relative", "grow": 2.0}
    grid = odebench.Tolerance(rtol=1e-2, atol=1e-2)
    watch = odebench.step_policy(table, solver="fehlberg21", span=(0.0, 2.0), grid=grid)
    assert (watch.tolerance, watch.step_size, watch.steps) == (1e-2, None, None)
    attempted = 0
    for _ in range(12):
        inputs = torch.randn(8, 2, dtype=torch.float64)

        def solved(solver, grid, inputs=inputs):
            solution = odebench.solve(field, inputs, watch.span, solver=solver, grid=grid)
            return (solution.y1 - math.exp(-2.0) * inputs).square().mean(), solution.stats.evaluations_forward

        def evaluate(solver, grid, solved=solved):
            nonlocal attempted
            loss, cost = solved(solver, grid)
            attempted += cost
            return odebench.Trial(metric=loss, evaluations=cost)

        loss, cost = solved(watch.solver, watch.grid_for(field, inputs))
        optimiser.zero_grad()
        loss.backward()
        watch.after(metric=loss, evaluate=evaluate, evaluations=cost)
        optimiser.step()
    assert watch.evaluations == attempted > 0
    assert len(watch.history) > 1
    resumed = odebench.step_policy(table, solver="fehlberg21", span=(0.0, 2.0), grid=grid)
    resumed.load_state_dict(json.loads(json.dumps(watch.state_dict())))
    assert resumed.tolerance == watch.tolerance and resumed.history == watch.history
    assert resumed.grid_for(field, inputs) == watch.grid


def test_metrics_are_looked_at_only_where_there_is_a_check():
    watch = odebench.step_policy(
        {"name": "step-adaptation", "check_every": 2}, solver="euler", grid=odebench.StepSize(steps=4)
    )
    watch.grid_for(None, None)
    for metric, due in ((lambda: pytest.fail("asked for"), False), (lambda: torch.tensor(0.5), True)):
        assert watch.due is due
        watch.after(metric=metric, evaluate=lambda solver, grid: torch.tensor(0.5))
    assert watch.step_size == pytest.approx(0.275)


def test_attempts_that_cannot_be_counted_leave_the_count_open():
    opaque = type("Opaque", (odebench.OpaqueSolver,), {"name": "their/own", "order": 4, "solve": None})
    opaque.__abstractmethods__ = frozenset()
    watch = odebench.step_policy(
        {"name": "step-adaptation", "check_every": 1}, solver=opaque(), grid=odebench.StepSize(steps=4)
    )
    watch.grid_for(None, None)
    counted = lambda solver, grid: odebench.Trial(metric=0.5, evaluations=7)  # noqa: E731
    watch.after(metric=0.5, evaluate=counted)
    assert watch.evaluations == 14
    watch.after(metric=0.5, evaluate=lambda solver, grid: 0.5)
    assert watch.evaluations is None
    assert json.loads(json.dumps(watch.state_dict()))["evaluations"] is None


def test_a_solve_that_fails_is_a_violation():
    def evaluate(solver, grid):
        raise DivergedError("no step is small enough")

    watch = odebench.step_policy(
        {"name": "step-adaptation", "check_every": 1}, solver="euler", grid=odebench.StepSize(steps=4)
    )
    watch.grid_for(None, None)
    assert watch.after(metric=0.5, evaluate=evaluate).step_size == 0.125
    assert watch.evaluations == 0
    with pytest.raises(ZeroDivisionError):  # A mistake is no solve that went astray.
        watch.after(metric=0.5, evaluate=lambda solver, grid: 1 / 0)


@pytest.mark.parametrize(
    "grid",
    [
        odebench.StepSize(steps=5),
        odebench.Tolerance(rtol=1e-3, atol=1e-4, batch="per-sample", first_step=0.1),
        odebench.solve(lambda t, y: -y, torch.ones(1, 1), (0.0, 1.0), rtol=1e-3).grid,
    ],
    ids=["steps", "tolerance", "grid"],
)
def test_a_fixed_grid_is_kept_and_remembered(grid):
    make = lambda: odebench.step_policy("fixed", solver="dopri5", grid=grid)  # noqa: E731
    watch = make()
    assert watch.grid is grid
    assert watch.grid_for(None, None) is grid
    assert watch.after(metric=0.5, evaluate=None) is grid
    assert (len(watch.history), watch.evaluations, watch.iterations) == (1, 0, 1)
    resumed = make()
    resumed.load_state_dict(json.loads(json.dumps(watch.state_dict())))
    y0 = torch.ones(2, 1)
    field = lambda t, y: -y * (2 + torch.sin(t))  # noqa: E731
    field.accepts_batched_time = True
    again = odebench.solve(field, y0, (0.0, 1.0), grid=resumed.grid)
    assert torch.equal(again.ys, odebench.solve(field, y0, (0.0, 1.0), grid=grid).ys)


class Outside(odebench.StepPolicy):
    """A policy that was not built here: a step less in each iteration, down to one."""

    name = "outside"

    def begin(self, solver, build_solver, field, y0, ts, grid):
        self.steps = grid.steps
        return grid

    def after(self, own, attempt):
        self.steps = max(1, self.steps - 1)
        return odebench.StepSize(steps=self.steps)

    def state_dict(self):
        return {"steps": self.steps}

    def load_state_dict(self, state):
        self.steps = state["steps"]


def test_a_policy_and_a_solver_of_ones_own_are_given_as_they_are():
    watch = odebench.step_policy(Outside(), solver="rk4", grid=odebench.StepSize(steps=3), span=(0.0, 6.0))
    watch.grid_for(None, None)
    steps = [(watch.after(metric=0.0, evaluate=None).steps, watch.step_size) for _ in range(3)]
    assert steps == [(2, 3.0), (1, 6.0), (1, 6.0)]
    assert [change.iterations for change in watch.history] == [0, 1, 2]


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"policy": "step-adaption"}, UnknownNameError, "a step policy named 'step-adaption'; did you mean 'step-adaptation'"),
        ({"policy": {"name": "step-adaptation", "every": 5}}, PluginError, "has no parameter 'every'"),
        ({"solver": "eulr"}, UnknownNameError, "did you mean 'euler'"),
        ({"span": (0.0, 0.0)}, GridError, "span is (0.0, 0.0)"),
        ({"span": (0.0, 1.0, 2.0)}, GridError, "span is (0.0, 1.0, 2.0)"),
        ({"span": (0.0, math.inf)}, GridError, "span is (0.0, inf)"),
        ({"grid": 16}, GridError, "grid is a int"),
        ({"policy": "fixed"}, IncompatibleError, "does not find the first step by itself: give a grid"),
        ({"policy": "tolerance-adaptation"}, IncompatibleError, "cannot work with solver 'euler'"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_at_once(arguments, error, said):
    with pytest.raises(error) as caught:
        odebench.step_policy(**{"policy": "step-adaptation", "solver": "euler"} | arguments)
    assert said in str(caught.value)


def test_a_batch_must_have_been_seen():
    watch = odebench.step_policy("step-adaptation", solver="euler")
    for too_early in (lambda: watch.step_size, lambda: watch.after(metric=0.5, evaluate=None)):
        with pytest.raises(IncompatibleError, match=r"grid_for\(field, y0\)"):
            too_early()
    empty = watch.state_dict()
    watch.load_state_dict(empty)
    assert watch.grid_for(lambda t, y: -4.0 * y, torch.tensor([[1.0, 0.0]])).step_size == pytest.approx(0.025, rel=1e-4)
    watch.load_state_dict(watch.state_dict())
    assert watch.step_size == pytest.approx(0.025, rel=1e-4)
    with pytest.raises(IncompatibleError, match=r"grid_for\(field, y0\)"):
        watch.after(metric=0.5, evaluate=None)


def test_what_is_no_state_is_refused():
    with pytest.raises(
        IncompatibleError, match=r"no policy, .* its keys are \['weights'\]. Give what `state_dict\(\)` returned"
    ):
        odebench.step_policy("step-adaptation", solver="euler").load_state_dict({"weights": 1})


def test_the_state_of_another_loop_is_refused():
    state = odebench.step_policy("step-adaptation", solver="euler").state_dict()
    for policy, solver, span in (
        ("fixed", "euler", (0.0, 1.0)),
        ("step-adaptation", "rk4", (0.0, 1.0)),
        ("step-adaptation", "euler", (0.0, 2.0)),
    ):
        watch = odebench.step_policy(policy, solver=solver, span=span, grid=odebench.StepSize(steps=4))
        with pytest.raises(IncompatibleError, match="The state is one of"):
            watch.load_state_dict(state)
