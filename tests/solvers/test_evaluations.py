"""How often the field is called: what is counted is what is called, and what the method needs."""

from __future__ import annotations

import pytest
import torch

from odebench.api import build, solve
from odebench.contract import Tolerance
from odebench.plugins import build_registry
from tests.oracles.smooth_problems import PROBLEMS

SOLVERS = sorted(entry.name for entry in build_registry(prefixes=()).entries("solver"))
ADAPTIVE = [name for name in SOLVERS if build("solver", name).adaptive]
EXPLICIT = [name for name in SOLVERS if not build("solver", name).implicit]
FIRST_SAME_AS_LAST = {"bosh3", "dopri5", "tsit5", "dopri8"}
# Stages as the papers count them, an evaluation that the next step takes over not counted.
STAGES = {
    "euler": 1, "midpoint": 2, "heun": 2, "ralston": 2, "ssprk3": 3, "heun3": 3, "rk4": 4, "rk38": 4,
    "adaptive-heun": 2, "fehlberg21": 3, "bosh3": 3, "dopri5": 6, "tsit5": 6, "dopri8": 13,
}  # fmt: skip
PROBLEM = PROBLEMS["rotation"]


class Counted:
    """The field, and how often it was called."""

    def __init__(self):
        self.calls = 0

    def __call__(self, t, y):
        self.calls += 1
        return PROBLEM.field(t, y)


def counted(ts=(0.0, 1.0), gradient="direct", **arguments):
    field = Counted()
    y0 = PROBLEM.y0.clone().requires_grad_()
    solution = solve(field, y0, ts, gradient=gradient, **arguments)
    assert field.calls == solution.stats.evaluations_forward
    if gradient != "direct":
        solution.ys.sum().backward()
        assert field.calls == solution.stats.evaluations_forward + solution.stats.evaluations_backward
    return solution


@pytest.mark.parametrize("name", EXPLICIT)
def test_fixed_steps_take_their_stages(name):
    assert set(STAGES) == set(EXPLICIT)
    solver = build("solver", {"name": name, "adaptive": False} if name in ADAPTIVE else name)
    assert solver.stages == STAGES[name]
    for steps in (1, 7):
        stats = counted(solver=solver, steps=steps).stats
        assert (stats.evaluations_forward, stats.accepted, stats.rejected) == (STAGES[name] * steps, steps, 0)


@pytest.mark.parametrize("name", [name for name in ADAPTIVE if name in EXPLICIT])
def test_adaptive_steps(name):
    """The first slope and the trial step of Hairer's choice, then the stages of every attempt. The first attempt has its slope
    already, and so has every attempt of a first-same-as-last method."""
    solution = counted((0.0, 3.0), solver=name, rtol=1e-4, atol=1e-6)
    attempts = solution.stats.accepted + solution.stats.rejected
    known = 1
    expected = 2 + STAGES[name] * attempts - (0 if name in FIRST_SAME_AS_LAST else known)
    assert abs(solution.stats.evaluations_forward - expected) <= (
        0 if name in FIRST_SAME_AS_LAST else solution.stats.rejected
    )


@pytest.mark.parametrize("name", [name for name in ADAPTIVE if name in EXPLICIT])
def test_adaptive_steps_after_a_first_step_that_is_too_long(name):
    """Nothing is known of the first slope then, until a step is accepted."""
    solution = counted((0.0, 3.0), solver=name, grid=Tolerance(rtol=1e-4, atol=1e-6, first_step=2.0))
    attempts, rejected = solution.stats.accepted + solution.stats.rejected, solution.stats.rejected
    least = STAGES[name] * attempts + (1 if name in FIRST_SAME_AS_LAST else 0)
    assert rejected > 0
    assert least <= solution.stats.evaluations_forward <= least + rejected


@pytest.mark.parametrize("name", ["euler", "rk4", "heun"])
def test_an_output_between_steps_takes_one_more(name):
    """The slope at the end of the step, for the cubic: the next step takes it over."""
    between = counted((0.0, 0.45, 1.0), solver=name, steps=10).stats.evaluations_forward
    assert between == STAGES[name] * 10
    last = counted((0.0, 0.95, 1.0), solver=name, steps=10).stats.evaluations_forward
    assert last == STAGES[name] * 10 + 1


@pytest.mark.parametrize("name", EXPLICIT)
@pytest.mark.parametrize("method", ["anode", "step-checkpoint"])
def test_recomputing_takes_the_accepted_steps_once_more(method, name):
    solver = build("solver", {"name": name, "adaptive": False} if name in ADAPTIVE else name)
    stats = counted(gradient=method, solver=solver, steps=9).stats
    assert stats.evaluations_backward == stats.evaluations_forward == 9 * STAGES[name]
    if name in ADAPTIVE:
        stats = counted((0.0, 3.0), gradient=method, solver=name, rtol=1e-4, atol=1e-6).stats
        assert stats.evaluations_backward == stats.accepted * STAGES[name], "no rejected step, no estimate"


def test_the_continuous_adjoint_takes_the_stages_of_the_way_back():
    stats = counted(gradient="continuous-adjoint", solver="rk4", steps=9).stats
    assert (stats.evaluations_forward, stats.evaluations_backward) == (36, 36)


def test_an_implicit_step_counts_every_call():
    stats = counted(solver="kvaerno3", steps=5).stats
    assert build("solver", "kvaerno3").stages is None
    assert stats.evaluations_forward >= 5 * 4


@pytest.mark.parametrize("method", ["direct", "anode", "step-checkpoint", "continuous-adjoint"])
def test_counting_does_not_depend_on_the_state(method):
    torch.manual_seed(0)
    flat = counted(gradient=method, solver="rk4", steps=3).stats

    def pair(t, state):
        return state[1], -state[0]

    y0 = (torch.ones(2, requires_grad=True), torch.zeros(2, 1)[:, 0])
    solution = solve(pair, y0, (0.0, 1.0), solver="rk4", steps=3, gradient=method)
    solution.ys[0].sum().backward()
    assert solution.stats == flat
