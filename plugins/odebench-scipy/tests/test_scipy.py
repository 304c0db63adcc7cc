"""SciPy's methods: `solve_ivp`'s own results, counted evaluations, and refusals in words."""

from __future__ import annotations

import functools
import math
import tomllib
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

import odebench
import odebench_scipy
from odebench import api
from odebench.conformance import parametrize_with_checks
from odebench.errors import DivergedError, IncompatibleError
from odebench.plugins import build_registry

SOLVERS: list[type] = []
odebench_scipy.odebench_register_solvers(SOLVERS.append)
PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))

each = pytest.mark.parametrize("solver", SOLVERS, ids=lambda solver: solver.name)
TIMES = {"rising": [0.0, 0.5, 2.0], "falling": [2.0, 1.0, 0.5]}
both_directions = pytest.mark.parametrize("ts", TIMES.values(), ids=TIMES)
STATE = torch.tensor([[1.2, 0.0], [0.6, -0.8]], dtype=torch.float64)


class Pendulum:
    """A forced pendulum that counts."""

    def __init__(self):
        self.calls = 0

    def __call__(self, t, y):
        assert t.dim() == 0
        self.calls += 1
        return torch.stack([y[..., 1], torch.cos(2.0 * t) - 2.0 * torch.sin(y[..., 0])], dim=-1)


def pendulum_of_numpy(t, y):
    y = y.reshape(2, 2)
    return np.stack([y[:, 1], np.cos(2.0 * t) - 2.0 * np.sin(y[:, 0])], axis=-1).reshape(-1)


@parametrize_with_checks([solver() for solver in SOLVERS])
def test_it_keeps_what_it_promises(plugin, check):
    check(plugin)


@both_directions
@each
def test_the_result_is_that_of_solve_ivp(solver, ts):
    field = Pendulum()
    got = solver().solve(field, STATE, ts, odebench.Tolerance(rtol=1e-6, atol=1e-7))
    expected = solve_ivp(
        pendulum_of_numpy,
        (ts[0], ts[-1]),
        STATE.numpy().reshape(-1),
        solver.method,
        t_eval=ts[1:],
        rtol=1e-6,
        atol=1e-7,
    )
    # Sines of torch and NumPy differ in the last place, which chosen steps carry on.
    np.testing.assert_allclose(got.ys[1:].reshape(2, 4).numpy().T, expected.y, rtol=1e-9, atol=1e-12)
    assert got.stats.evaluations_forward == field.calls >= expected.nfev
    assert got.grid.steps == got.stats.accepted
    assert got.grid.end == ts[-1]
    steps = solve_ivp(
        pendulum_of_numpy, (ts[0], ts[-1]), STATE.numpy().reshape(-1), solver.method, rtol=1e-6, atol=1e-7
    )
    np.testing.assert_allclose([*got.grid.t.tolist(), got.grid.end], steps.t, rtol=1e-6)


def test_scipys_own_count_leaves_out_the_jacobian():
    """Why evaluations are counted at the field."""
    (radau,) = [solver for solver in SOLVERS if solver.name == "scipy/radau"]
    got = radau().solve(Pendulum(), STATE, TIMES["rising"], odebench.Tolerance(rtol=1e-6, atol=1e-7))
    told = solve_ivp(pendulum_of_numpy, (0.0, 2.0), STATE.numpy().reshape(-1), "Radau", rtol=1e-6, atol=1e-7)
    assert got.stats.evaluations_forward == told.nfev + 4 * told.njev


def test_rejected_steps_are_told_where_they_can_be():
    field = Pendulum()
    (rk45,) = [solver for solver in SOLVERS if solver.name == "scipy/rk45"]
    stats = rk45().solve(field, STATE, [0.0, 2.0], odebench.Tolerance(rtol=1e-6, atol=1e-7, first_step=2.0)).stats
    assert stats.rejected > 0
    assert field.calls == 1 + 6 * (stats.accepted + stats.rejected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_field_is_called_in_the_dtype_of_the_state(dtype):
    seen = set()

    def field(t, y):
        seen.add((t.dtype, y.dtype))
        return -y

    ys = SOLVERS[0]().solve(field, torch.ones(2, dtype=dtype), [0.0, 1.0], odebench.Tolerance(rtol=1e-4, atol=1e-4)).ys
    assert seen == {(torch.float32, dtype)}
    assert ys.dtype == dtype
    assert ys[-1, 0].item() == pytest.approx(math.exp(-1.0), abs=1e-2)


def test_a_tuple_state():
    y0 = (torch.ones(2, 1, dtype=torch.float64), torch.zeros(3, dtype=torch.float64))
    ys = (
        SOLVERS[1]()
        .solve(
            lambda t, y: (-y[0], torch.cos(t) + 0.0 * y[1]), y0, [0.0, 1.0], odebench.Tolerance(rtol=1e-8, atol=1e-8)
        )
        .ys
    )
    assert ys[0].shape == (2, 2, 1)
    assert ys[0][-1, 0, 0].item() == pytest.approx(math.exp(-1.0), abs=1e-7)
    assert ys[1][-1, 0].item() == pytest.approx(math.sin(1.0), abs=1e-7)


@each
def test_what_scipy_cannot_do_is_refused(solver):
    solve = functools.partial(solver().solve, Pendulum(), STATE, [0.0, 2.0])
    with pytest.raises(IncompatibleError, match="chooses its steps itself"):
        solve(odebench.StepSize(steps=10))
    with pytest.raises(IncompatibleError, match="joint"):
        solve(odebench.Tolerance(rtol=1e-3, atol=1e-3, batch="per-sample"))
    with pytest.raises(IncompatibleError, match="safety"):
        solve(odebench.Tolerance(rtol=1e-3, atol=1e-3, safety=0.8))
    with pytest.raises(IncompatibleError, match="real states"):
        solver().solve(Pendulum(), STATE + 0j, [0.0, 2.0], odebench.Tolerance(rtol=1e-3, atol=1e-3))


@each
def test_a_solution_that_ends_is_divergence(solver):
    with pytest.raises(DivergedError, match="ended at t ="):
        solver().solve(
            lambda t, y: y**2,
            torch.ones(1, dtype=torch.float64),
            [0.0, 2.0],
            odebench.Tolerance(rtol=1e-4, atol=1e-4, max_steps=3000),
        )
    with pytest.raises(DivergedError, match="3 steps were not enough"):
        solver().solve(Pendulum(), STATE, [0.0, 2.0], odebench.Tolerance(rtol=1e-6, atol=1e-6, max_steps=3))


def test_the_continuous_adjoint_gives_gradients_through_it_and_direct_says_why_not():
    rate = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    y0 = torch.ones(2, 1, dtype=torch.float64, requires_grad=True)
    solve = functools.partial(
        odebench.solve,
        lambda t, y: -rate * y,
        y0,
        [0.0, 1.0],
        solver="scipy/rk45",
        rtol=1e-9,
        atol=1e-9,
        inputs=(rate,),
    )
    solve(gradient="continuous-adjoint").ys[-1].sum().backward()
    assert rate.grad.item() == pytest.approx(-2 * math.exp(-0.7), rel=1e-6)
    assert y0.grad[0, 0].item() == pytest.approx(math.exp(-0.7), rel=1e-6)
    with pytest.raises(IncompatibleError, match="opaque to autograd"):
        solve(gradient="direct")


@pytest.fixture(autouse=True)
def installed(tmp_path, monkeypatch):
    """The plugin as installed from its pyproject, whether it is or not."""
    try:
        metadata.distribution(PROJECT["project"]["name"])
    except metadata.PackageNotFoundError:
        info = tmp_path / "odebench_scipy-0.1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: odebench-scipy\nVersion: 0.1.0\n")
        (info / "entry_points.txt").write_text("[odebench]\nscipy = odebench_scipy\n")
        monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv("ODEBENCH_DISABLE_PLUGINS", raising=False)
    # The registry of a session is built once; here it would be kept beyond the plugin's time.
    monkeypatch.setattr(api, "_registry", functools.cache(api._registry.__wrapped__))


def test_every_method_of_solve_ivp_is_registered():
    registry = build_registry(prefixes=("scipy",), strict=True)
    assert registry.failures == []
    names = {name for name in registry.names("solver") if name.startswith("scipy/")}
    assert names == {f"scipy/{name}" for name in ("rk23", "rk45", "dop853", "radau", "bdf", "lsoda")}


def test_the_pinned_version_is_the_one_that_is_tested():
    assert f"scipy=={metadata.version('scipy')}" in PROJECT["project"]["dependencies"]
