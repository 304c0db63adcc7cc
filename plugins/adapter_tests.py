"""What every adapter of another library is tested for. A distribution's test module names its `ADAPTER`, and imports these tests."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import ModuleType

import pytest
import torch

import odebench
from odebench.conformance import checks_of, parametrize_with_checks
from odebench.conformance.gradients.companions import Pair
from odebench.errors import DivergedError, IncompatibleError
from odebench.research_code import ResearchCode

TOLERANCE = odebench.Tolerance(rtol=1e-6, atol=1e-6)

# These take most of a minute: `odebench check` runs them.
SLOW = {
    "check_observed_order", "check_tolerance_proportionality", "check_gap_follows_the_tolerance", "check_memory_grows_as_claimed",
    "check_gap_falls_at_the_solvers_order", "check_errors_of_the_field_are_passed_on", "check_nan_is_passed_on",
}  # fmt: skip


def error_by_order(solver: odebench.Solver) -> float:
    """The largest error of the linear equation with 40 steps, or at a tolerance of 1e-6."""
    return {1: 0.5, 2: 2e-2}.get(solver.order, 1e-5)


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """A distribution of this folder.

    Attributes:
        package: the adapter.
        library: the distribution that it adapts.
        code: what it adapts in its place, where no distribution has it.
        steps: of a solver without a tolerance.
        largest_error: of the linear equation, by solver.
        stops_at_nan: whether a solver says that a state is no number, or answers with it.
    """

    package: ModuleType
    library: str
    code: ResearchCode | None = None
    steps: int = 40
    largest_error: Callable[[odebench.Solver], float] = error_by_order
    stops_at_nan: Callable[[odebench.Solver], bool] = lambda solver: True

    def solvers(self) -> list[type]:
        """All of them."""
        found: list[type] = []
        self.package.odebench_register_solvers(found.append)
        return found

    def methods(self) -> list[type]:
        """Its gradient methods."""
        found: list[type] = []
        self.package.odebench_register_gradients(found.append)
        return found

    def request_for(self, solver: odebench.Solver):
        """A tolerance, or steps where it takes none."""
        return TOLERANCE if solver.adaptive else odebench.StepSize(steps=self.steps)


def quick_checks(plugin):
    return [check for check in checks_of(plugin) if check.__name__ not in SLOW]


def pytest_generate_tests(metafunc):
    """Over the solvers, methods and checks of the module's `ADAPTER`."""
    adapter, wanted = metafunc.module.ADAPTER, metafunc.fixturenames
    if "adapter" in wanted:
        metafunc.parametrize("adapter", [adapter], ids=[adapter.library])
    if "check" in wanted:
        mark = parametrize_with_checks([solver() for solver in adapter.solvers()], quick_checks).mark
        metafunc.parametrize(*mark.args, **mark.kwargs)
    for name, found in (("adaptive", [s for s in adapter.solvers() if s().adaptive]), ("solver", adapter.solvers())):
        if name in wanted:
            metafunc.parametrize(name, found, ids=[one.name for one in found])
    if "method" in wanted:
        metafunc.parametrize("method", adapter.methods(), ids=[one.name for one in adapter.methods()])


def test_solvers_keep_what_they_promise(plugin, check):
    check(plugin)


@pytest.mark.parametrize("ts", [[0.0, 0.5, 2.0], [2.0, 1.5, 0.0]], ids=["rising", "falling"])
def test_a_linear_equation_is_solved_and_each_evaluation_counted(adapter, solver, ts):
    calls = []

    def field(t, y):
        calls.append(t)
        return -y * torch.cos(t)

    y0 = torch.tensor([[1.0, 2.0], [0.5, -1.0]], dtype=torch.float64)
    got = solver().solve(field, y0, ts, adapter.request_for(solver()))
    exact = torch.stack([y0 * math.exp(math.sin(ts[0]) - math.sin(t)) for t in ts])
    assert (got.ys - exact).abs().max() < adapter.largest_error(solver())
    assert got.stats.evaluations_forward == len(calls) > 0
    assert got.grid is None or got.stats.accepted == got.grid.steps


def test_a_declared_tableau_is_that_of_the_steps(adapter, solver):
    """The host judges gradients by what it computes from the tableau on the grid that the solver tells."""
    tableau = getattr(solver, "tableau", None)
    if tableau is None:
        pytest.skip("it declares none, and exactness is not judged")

    def field(t, y):
        return torch.sin(3.0 * t) * y.flip(-1) - y**2

    y0 = torch.tensor([[1.0, 2.0], [0.5, -1.0]], dtype=torch.float64)
    request = odebench.StepSize(steps=5) if solver.takes_grids else odebench.Tolerance(rtol=1e-4, atol=1e-4)
    got = solver().solve(field, y0, [0.5, 1.5], request)
    y = y0
    for t, dt in zip(got.grid.t.tolist(), got.grid.dt.tolist(), strict=True):
        k = []
        for c, row in zip(tableau.c_floats, tableau.a_floats, strict=True):
            k.append(
                field(
                    torch.tensor(t + c * dt, dtype=torch.float64),
                    y + dt * sum(a * one for a, one in zip(row, k, strict=False)),
                )
            )
        y = y + dt * sum(b * one for b, one in zip(tableau.b_floats, k, strict=True))
    torch.testing.assert_close(got.ys[-1], y, rtol=1e-12, atol=1e-12)


def test_gradients_of_a_linear_equation(adapter, method):
    rate = torch.tensor([0.7, -0.3], dtype=torch.float64, requires_grad=True)
    y0 = torch.tensor([[1.0, 2.0], [0.5, -1.0]], dtype=torch.float64, requires_grad=True)
    solver = next(s() for s in adapter.solvers() if s().order > 1 and method().supports(s()) is None)
    solution = method().solve(solver, lambda t, y: rate * y, y0, [0.0, 1.0], adapter.request_for(solver), (rate,))
    grads = torch.autograd.grad(solution.ys[-1].sum(), (y0, rate))
    growth = torch.exp(rate.detach())
    assert (grads[0] - growth).abs().max() < 5e-3
    assert (grads[1] - (growth * y0.detach()).sum(0)).abs().max() < 1e-2


def test_other_solvers_are_refused_with_the_reason(adapter, method):
    prefix = adapter.package.__name__.removeprefix("odebench_").replace("_", "-")
    assert f"{prefix}/" in method().supports(Pair())


def test_wishes_that_cannot_be_met_are_refused(solver):
    y0 = torch.ones(2, 1, dtype=torch.float64)
    with pytest.raises(IncompatibleError):
        solver().solve(lambda t, y: -y, y0, [0.0, 1.0], odebench.Tolerance(rtol=1e-3, atol=1e-3, proportional=0.1))


def test_what_does_not_end_is_divergence(adapter, adaptive):
    y0 = torch.ones(2, 1, dtype=torch.float64)

    def solve(factor, tolerance):
        return adaptive().solve(lambda t, y: y * factor, y0, [0.0, 1.0], tolerance)

    if adapter.stops_at_nan(adaptive()):
        with pytest.raises(DivergedError):
            solve(math.nan, odebench.Tolerance(rtol=1e-3, atol=1e-3))
    else:
        assert solve(math.nan, odebench.Tolerance(rtol=1e-3, atol=1e-3)).ys[-1].isnan().all()
    with pytest.raises(DivergedError):
        solve(-100.0, odebench.Tolerance(rtol=1e-6, atol=1e-6, max_steps=3))


def test_the_pinned_version_is_the_one_that_is_tested(adapter, request):
    if adapter.code is not None:
        assert adapter.code.open().state == adapter.code.commit[:12], "this is another state than the adapter describes"
        return
    text = (Path(request.module.__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    assert f"{adapter.library}=={metadata.version(adapter.library)}" in tomllib.loads(text)["project"]["dependencies"]
