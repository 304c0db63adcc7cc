"""The distribution: its entry point, what it offers, and what it promises about torchdiffeq."""

from __future__ import annotations

import functools
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import torch
from torchdiffeq._impl.odeint import SOLVERS

import odebench
import odebench_torchdiffeq
from odebench import api
from odebench.plugins import build_registry

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """The plugin as installed from its pyproject, whether it is or not."""
    try:
        metadata.distribution(PROJECT["project"]["name"])
    except metadata.PackageNotFoundError:
        info = tmp_path / "odebench_torchdiffeq-0.1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: odebench-torchdiffeq\nVersion: 0.1.0\n")
        points = PROJECT["project"]["entry-points"]["odebench"]
        lines = "".join(f"{name} = {target}\n" for name, target in points.items())
        (info / "entry_points.txt").write_text(f"[odebench]\n{lines}")
        monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv("ODEBENCH_DISABLE_PLUGINS", raising=False)
    # The registry of a session is built once; here it would be kept beyond the plugin's time.
    monkeypatch.setattr(api, "_registry", functools.cache(api._registry.__wrapped__))


def test_every_solver_and_gradient_is_registered(installed):
    registry = build_registry(prefixes=("torchdiffeq",), strict=True)
    assert registry.failures == []
    solvers = {registry.get("solver", name).factory.method for name in registry.names("solver") if "/" in name}
    assert solvers == set(SOLVERS) - {"fixed_adams"}
    assert SOLVERS["fixed_adams"] is SOLVERS["implicit_adams"]
    gradients = [name for name in registry.names("gradient") if "/" in name]
    assert gradients == ["torchdiffeq/adjoint", "torchdiffeq/adjoint-seminorm", "torchdiffeq/direct"]


def test_names_are_torchdiffeqs_in_kebab_case(installed):
    registry = build_registry(prefixes=("torchdiffeq",), strict=True)
    for name in registry.names("solver"):
        if "/" in name:
            entry = registry.get("solver", name)
            assert name == "torchdiffeq/" + entry.factory.method.replace("_", "-")
            assert entry.distribution == "odebench-torchdiffeq"
            assert entry.description
            solver = entry.build()
            assert solver.order >= 1
            assert solver.source


def test_it_is_solved_with_by_name(installed):
    field = torch.nn.Linear(2, 2, dtype=torch.float64)
    solution = odebench.solve(
        lambda t, y: field(y),
        torch.ones(3, 2, dtype=torch.float64),
        [0.0, 0.5, 1.0],
        solver={"name": "torchdiffeq/explicit-adams", "max_order": 5},
        gradient="torchdiffeq/direct",
        steps=10,
    )
    solution.ys.sum().backward()
    assert field.weight.grad is not None


def test_the_pinned_version_is_the_one_that_is_tested():
    (pin,) = (line for line in PROJECT["project"]["dependencies"] if line.startswith("torchdiffeq"))
    assert pin == f"torchdiffeq=={metadata.version('torchdiffeq')}"


def test_odebench_does_not_know_of_it():
    package = Path(odebench.__file__).parent
    found = [path for path in package.rglob("*.py") if "import torchdiffeq" in path.read_text(encoding="utf-8")]
    assert found == []


def test_the_package_is_its_hooks():
    public = [name for name in vars(odebench_torchdiffeq) if name.startswith("odebench_register")]
    assert public == ["odebench_register_solvers", "odebench_register_gradients"]
