"""What every adapter of a code that comes as source is tested for without that code. A distribution's test module names its `CODE`
and `PACKAGE`, and imports these tests; a module that needs the code calls `skip_without_source`."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
import torch

import odebench
from odebench.errors import IncompatibleError
from odebench.outcome import Outcome
from odebench.plan.expand import expand
from odebench.plan.suite import parse_suite
from odebench.plugins import Entry, Registry, Source, build_registry
from odebench.research_code import ResearchCode

_SUITE = """schema = 1
[suite]
name = "theirs"
title = "A code that is not there"
[budget]
processes = 1
[[experiment]]
name = "one"
task = "gradient"
model = {{ name = "logistic", batch = 2 }}
solver = "{solver}"
gradient = ["{gradient}", "direct"]
steps = [4, 8]
tolerance = 1e-3
"""


def skip_without_source(code: ResearchCode) -> None:
    """Skip the module that calls this where the code is not to be had."""
    if reason := code.open().unavailable:
        pytest.skip(reason, allow_module_level=True)


def registry_of(package: ModuleType, prefix: str) -> Registry:
    """The built-in plugins, and the adapter's, installed or not."""
    registry = build_registry(prefixes=[], strict=True)
    source = Source(plugin=prefix, distribution=package.__name__.replace("_", "-"), version="0")
    for kind, register in (
        ("solver", package.odebench_register_solvers),
        ("gradient", package.odebench_register_gradients),
    ):
        found: list[type] = []
        register(found.append)
        registry.add([Entry(kind=kind, name=one.name, factory=one, origin=source) for one in found])
    return registry


@pytest.fixture
def package(request) -> ModuleType:
    return request.module.PACKAGE


@pytest.fixture
def code(request, monkeypatch) -> ResearchCode:
    """The code, of which nothing is said."""
    monkeypatch.delenv(request.module.CODE.variable, raising=False)
    return request.module.CODE


@pytest.fixture
def solvers(package) -> list[type]:
    found: list[type] = []
    package.odebench_register_solvers(found.append)
    return found


@pytest.fixture
def lookalike(code, tmp_path) -> Path:
    """A folder with files and functions of the right names, and nothing in them."""
    root = tmp_path / "lookalike"
    for name in code.modules:
        file = root / code.package / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")
        (file.parent / "__init__.py").touch()
    (root / code.package / "__init__.py").write_text("".join(f"def {name}(): pass\n" for name in code.functions))
    return root


def test_without_the_code_every_solver_says_what_to_do(solvers, code):
    for solver in solvers:
        assert code.home in solver().unavailable and code.variable in solver().unavailable
        with pytest.raises(IncompatibleError, match="comes as source only"):
            solver().solve(lambda t, y: -y, torch.ones(1, 1), [0.0, 1.0], odebench.StepSize(steps=2))


def test_a_path_that_leads_nowhere_or_elsewhere_is_a_reason(solvers, code, tmp_path):
    (tmp_path / code.package).mkdir()
    assert "there is no such folder" in solvers[0](source=str(tmp_path / "absent")).unavailable
    assert f"it has no {code.package}/" in solvers[0](source=str(tmp_path)).unavailable
    assert code.home in solvers[0](source=str(tmp_path)).unavailable


def test_another_state_of_the_code_is_used_and_told(solvers, code, lookalike):
    solver = solvers[0](source=str(lookalike))
    assert solver.unavailable is None
    assert solver.used_code[code.name].endswith(f"(tested: {code.commit[:12]})")


def test_a_package_that_lacks_a_function_is_a_reason(solvers, code, lookalike):
    (lookalike / code.package / "__init__.py").write_text("")
    assert f"has no {', '.join(code.functions)}" in solvers[0](source=str(lookalike)).unavailable


def test_cells_are_unsupported_with_the_reason(package, solvers, code):
    methods: list[type] = []
    package.odebench_register_gradients(methods.append)
    suite = parse_suite(_SUITE.format(solver=solvers[-1].name, gradient=methods[-1].name), "theirs.toml")
    cells = expand(suite, registry_of(package, solvers[-1].name.partition("/")[0]), lambda device: None).cells
    assert cells and {one.outcome for one in cells} == {Outcome.UNSUPPORTED}
    assert all(code.variable in one.reason for one in cells)
