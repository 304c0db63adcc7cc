"""TorchDiffEqPack's solvers and gradients against closed forms and autograd, and against what odebench asks of every plugin."""

from __future__ import annotations

import math
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import torch

pytest.importorskip(
    "TorchDiffEqPack", reason="TorchDiffEqPack is not installed: pip install ./plugins/odebench-torchdiffeqpack"
)

import odebench
import odebench_torchdiffeqpack
from odebench.conformance import checks_of, parametrize_with_checks
from odebench.errors import DivergedError, IncompatibleError

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
SOLVERS: list[type] = []
odebench_torchdiffeqpack.odebench_register_solvers(SOLVERS.append)
METHODS: list[type] = []
odebench_torchdiffeqpack.odebench_register_gradients(METHODS.append)
TOLERANCE = odebench.Tolerance(rtol=1e-6, atol=1e-6)
STEPS = odebench.StepSize(steps=40)

each = pytest.mark.parametrize("solver", SOLVERS, ids=lambda solver: solver.name)
each_method = pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)

# These take most of a minute: `odebench check` runs them.
SLOW = {
    "check_observed_order", "check_tolerance_proportionality", "check_gap_follows_the_tolerance", "check_memory_grows_as_claimed",
    "check_gap_falls_at_the_solvers_order", "check_errors_of_the_field_are_passed_on", "check_nan_is_passed_on",
}  # fmt: skip


def quick_checks(plugin):
    return [check for check in checks_of(plugin) if check.__name__ not in SLOW]


@parametrize_with_checks([solver() for solver in SOLVERS], quick_checks)
def test_solvers_keep_what_they_promise(plugin, check):
    check(plugin)


def request_for(solver):
    return TOLERANCE if solver.adaptive else STEPS


@each
@pytest.mark.parametrize("ts", [[0.0, 0.5, 2.0], [2.0, 1.5, 0.0]], ids=["rising", "falling"])
def test_a_linear_equation_is_solved_and_each_evaluation_counted(solver, ts):
    calls = []

    def field(t, y):
        calls.append(t)
        return -y * torch.cos(t)

    y0 = torch.tensor([[1.0, 2.0], [0.5, -1.0]], dtype=torch.float64)
    got = solver().solve(field, y0, ts, request_for(solver()))
    exact = torch.stack([y0 * math.exp(math.sin(ts[0]) - math.sin(t)) for t in ts])
    # `odesolve` interpolates past the end.
    bound = {1: 0.5, 2: 2e-2}.get(solver().order, 1e-4)
    assert (got.ys - exact).abs().max() < (5e-2 if solver.name.endswith("plain") else bound)
    assert got.stats.evaluations_forward == len(calls) > 0
    assert got.grid is None or got.stats.accepted == got.grid.steps


@each_method
def test_gradients_of_a_linear_equation(method):
    rate = torch.tensor([0.7, -0.3], dtype=torch.float64, requires_grad=True)
    y0 = torch.tensor([[1.0, 2.0], [0.5, -1.0]], dtype=torch.float64, requires_grad=True)
    solver = next(s() for s in SOLVERS if s().order > 1 and method().supports(s()) is None)
    solution = method().solve(solver, lambda t, y: rate * y, y0, [0.0, 1.0], request_for(solver), (rate,))
    grads = torch.autograd.grad(solution.ys[-1].sum(), (y0, rate))
    growth = torch.exp(rate.detach())
    assert (grads[0] - growth).abs().max() < 5e-3
    assert (grads[1] - (growth * y0.detach()).sum(0)).abs().max() < 1e-2


@each_method
def test_other_solvers_are_refused_with_the_reason(method):
    from odebench.conformance.gradients.companions import Pair

    assert "torchdiffeqpack/" in method().supports(Pair())


@each
def test_wishes_that_cannot_be_met_are_refused(solver):
    y0 = torch.ones(2, 1, dtype=torch.float64)
    with pytest.raises(IncompatibleError):
        solver().solve(lambda t, y: -y, y0, [0.0, 1.0], odebench.Tolerance(rtol=1e-3, atol=1e-3, proportional=0.1))


@pytest.mark.parametrize("solver", [s for s in SOLVERS if s().adaptive], ids=lambda solver: solver.name)
def test_what_does_not_end_is_divergence(solver):
    y0 = torch.ones(2, 1, dtype=torch.float64)
    # `odesolve_endtime` has a first step that is not a number then, and takes the span as one step.
    nan = lambda t, y: y * math.nan  # noqa: E731
    if solver.name.endswith("plain"):
        with pytest.raises(DivergedError):
            solver().solve(nan, y0, [0.0, 1.0], odebench.Tolerance(rtol=1e-3, atol=1e-3))
    else:
        ys = solver().solve(nan, y0, [0.0, 1.0], odebench.Tolerance(rtol=1e-3, atol=1e-3)).ys
        assert ys[-1].isnan().all()
    with pytest.raises(DivergedError):
        solver().solve(lambda t, y: -100 * y, y0, [0.0, 1.0], odebench.Tolerance(rtol=1e-6, atol=1e-6, max_steps=3))


def test_the_pinned_version_is_the_one_that_is_tested():
    assert f"TorchDiffEqPack=={metadata.version('TorchDiffEqPack')}" in PROJECT["project"]["dependencies"]
