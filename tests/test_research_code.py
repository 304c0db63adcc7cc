"""Code in a folder that the user names: what is told of a folder that is not that code, and what is recorded of one that is."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

import odebench
from odebench.cli import main
from odebench.errors import IncompatibleError
from odebench.outcome import Outcome
from odebench.plan.expand import expand
from odebench.plan.suite import read_suite
from odebench.plugins import build_registry
from odebench.research_code import ResearchCode, digest_of
from odebench.run.identity import identity_of

INIT = "from .marching import march\n"
MARCHING = """from . import __name__ as home

def march(func, y0, t, steps):
    h = (t[1] - t[0]) / steps
    y = y0
    for n in range(steps):
        y = y + h * func(t[0] + n * h, y)
    return y
"""
VARIABLE = "ODEBENCH_MARCHER_SOURCE"
PLUGIN = f'''
"""An adapter of a code that comes as source."""

import torch

import odebench
from odebench.research_code import ResearchCode, ResearchSolver


class Marching(ResearchSolver):
    """Euler's method, from somebody's folder."""

    name = "marching"
    order = 1
    code = ResearchCode(
        name="marcher", home="https://example.org/marcher", variable="{VARIABLE}", package="marcher",
        modules=("__init__.py", "marching.py"), functions=("march",), commit="0123456789abcdef", digest="DIGEST",
    )

    def solve(self, field, y0, ts, grid, inputs=()):
        end = self.library.march(field, y0, torch.tensor([ts[0], ts[-1]], dtype=torch.float64), grid.steps)
        return odebench.Solution(ys=torch.stack([y0, end]))


@odebench.hookimpl
def odebench_register_solvers(register):
    register(Marching)
'''
SUITE = """schema = 1
[suite]
name = "theirs"
title = "Somebody's code"
[budget]
processes = 1
[[experiment]]
name = "one"
task = "integrate"
model = { name = "logistic", batch = 2 }
solver = ["euler", SOLVER]
steps = [4, 8]
"""


@pytest.fixture(autouse=True)
def _no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


@pytest.fixture
def call() -> Callable[..., Result]:
    """Runs a command."""

    def call(*arguments: object) -> Result:
        return CliRunner().invoke(main, [str(argument) for argument in arguments])

    return call


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder that holds the code."""
    package = tmp_path / "clone" / "marcher"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(INIT)
    (package / "marching.py").write_text(MARCHING)
    return package.parent


@pytest.fixture
def code(clone: Path) -> ResearchCode:
    return ResearchCode(
        name="marcher",
        home="https://example.org/marcher",
        variable=VARIABLE,
        package="marcher",
        modules=("__init__.py", "marching.py"),
        functions=("march",),
        commit="0123456789abcdef",
        digest=digest_of(clone / "marcher"),
    )


@pytest.fixture
def plugin(tmp_path: Path, code: ResearchCode) -> Path:
    file = tmp_path / "adapter.py"
    file.write_text(PLUGIN.replace("DIGEST", code.digest))
    return file


def test_nothing_said_is_told_with_what_to_do(code):
    found = code.open()
    assert found.module is None and found.state is None
    assert "comes as source only" in found.unavailable
    assert "https://example.org/marcher" in found.unavailable and VARIABLE in found.unavailable


def test_the_code_is_loaded_from_where_the_variable_points_and_hides_nothing(code, clone, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(clone))
    before = list(sys.path)
    found = code.open()
    assert found.unavailable is None
    got = found.module.march(lambda t, y: -y, torch.ones(1, dtype=torch.float64), (0.0, 1.0), 10)
    assert got.item() == pytest.approx(0.9**10, rel=1e-12)
    assert "marcher" not in sys.modules and sys.path == before


def test_the_parameter_wins_over_the_variable(code, clone, monkeypatch):
    monkeypatch.setenv(VARIABLE, "/nowhere/at/all")
    assert code.open(str(clone)).unavailable is None
    assert VARIABLE + " is '/nowhere/at/all': there is no such folder" in code.open().unavailable


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("absent", "there is no such folder. Clone https://example.org/marcher"),
        ("file.txt", "that is a file"),
        ("other", "it has no marcher/__init__.py, so it is no clone of https://example.org/marcher"),
        ("clone/marcher", "that is the package itself. Give the folder above it"),
    ],
)
def test_a_folder_that_is_something_else_is_a_reason(code, clone, given, why):
    (clone.parent / "file.txt").write_text("")
    (clone.parent / "other" / "marcher").mkdir(parents=True)
    found = code.open(str(clone.parent / given))
    assert found.unavailable.startswith("`source` is '") and why in found.unavailable


def test_a_relative_path_is_refused_since_measured_processes_work_elsewhere(code, clone, monkeypatch):
    monkeypatch.chdir(clone.parent)
    assert "a relative path means another folder in each process" in code.open("clone").unavailable


def test_a_path_may_begin_with_the_home_folder(code, clone, monkeypatch):
    monkeypatch.setenv("HOME", str(clone.parent))
    assert code.open("~/clone").unavailable is None


def test_nothing_of_a_folder_that_is_something_else_is_run(code, clone):
    (clone / "marcher" / "__init__.py").write_text("raise SystemExit('it was run')\n")
    (clone / "marcher" / "marching.py").unlink()
    assert "it has no marcher/marching.py" in code.open(str(clone)).unavailable


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import torch\nfrom torch._six import inf\n", "ModuleNotFoundError: No module named 'torch._six'"),
        ("raise SystemExit('no GPU, goodbye')\n", "SystemExit: no GPU, goodbye"),
        ("march = (\n", "SyntaxError"),
    ],
)
def test_an_import_that_fails_is_a_reason_and_leaves_nothing(code, clone, text, said):
    """As of a code that today's torch has outgrown."""
    (clone / "marcher" / "marching.py").write_text(text)
    before = set(sys.modules)
    found = code.open(str(clone))
    assert f"its package marcher cannot be imported: {said}" in found.unavailable
    assert not [name for name in set(sys.modules) - before if "odebench_research" in name]


def test_a_package_without_the_functions_is_something_else(code, clone):
    (clone / "marcher" / "__init__.py").write_text("march = 3\n")
    assert "its package marcher has no march" in code.open(str(clone)).unavailable


def test_the_tested_state_is_told_by_its_commit_however_it_came_here(code, clone):
    """An archive has no history, and another system other line ends."""
    (clone / "marcher" / "marching.py").write_bytes(MARCHING.replace("\n", "\r\n").encode())
    assert code.open(str(clone)).state == "0123456789ab"


def test_another_state_is_used_and_told_beside_the_tested_one(code, clone):
    (clone / "marcher" / "marching.py").write_text(MARCHING + "\n# a word\n")
    found = code.open(str(clone))
    assert found.unavailable is None
    assert found.state == f"files {digest_of(clone / 'marcher')[:12]} (tested: 0123456789ab)"


def test_of_a_clone_the_commit_is_told_and_not_that_of_a_repository_around_it(code, clone):
    git = ["git", "-C", str(clone), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    (clone / "marcher" / "marching.py").write_text(MARCHING + "\n# a word\n")
    subprocess.run(["git", "init", "-q", str(clone.parent)], check=True)
    assert code.open(str(clone)).state.startswith("files ")
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "one"]):
        subprocess.run([*git, *words], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout[:12]
    assert re.fullmatch(rf"{commit} files [0-9a-f]{{12}} \(tested: 0123456789ab\)", code.open(str(clone)).state)


def test_an_edited_file_is_read_again(code, clone):
    first = code.open(str(clone)).module
    (clone / "marcher" / "marching.py").write_text(MARCHING.replace("y + h", "y + 2 * h"))
    second = code.open(str(clone)).module
    assert first.march(lambda t, y: y, 1.0, (0.0, 1.0), 1) == 2.0
    assert second.march(lambda t, y: y, 1.0, (0.0, 1.0), 1) == 3.0


def test_a_solver_can_be_copied_although_a_module_cannot(plugin, clone):
    solver = (
        build_registry(prefixes=[], local_files=[plugin], strict=True)
        .get("solver", "marching")
        .build(source=str(clone))
    )
    copied = copy.deepcopy(solver)
    assert copied is not solver and copied.library is solver.library


def test_a_solver_without_its_code_says_so_when_it_is_used(plugin):
    solver = build_registry(prefixes=[], local_files=[plugin], strict=True).get("solver", "marching").build()
    assert "comes as source only" in solver.unavailable and solver.used_code == {}
    with pytest.raises(IncompatibleError, match="comes as source only"):
        solver.solve(lambda t, y: -y, torch.ones(1, 1), [0.0, 1.0], odebench.StepSize(steps=2))


def suite_of(tmp_path: Path, solver: str = '"marching"') -> Path:
    suite = tmp_path / "theirs.toml"
    suite.write_text(SUITE.replace("SOLVER", solver))
    return suite


def planned(plugin: Path, tmp_path: Path):
    registry = build_registry(prefixes=[], local_files=[plugin], strict=True)
    return expand(read_suite(suite_of(tmp_path)), registry, lambda device: None).cells


def test_cells_of_a_solver_without_its_code_are_unsupported_with_the_reason_and_keep_their_names(
    plugin, clone, tmp_path, monkeypatch
):
    without = planned(plugin, tmp_path)
    mine = [one for one in without if one.cell.solver.name == "marching"]
    assert [one.outcome for one in mine] == [Outcome.UNSUPPORTED] * 2
    assert all("comes as source only" in one.reason for one in mine)
    assert all(one.outcome is None for one in without if one not in mine)
    monkeypatch.setenv(VARIABLE, str(clone))
    assert [(one.cell.id, one.outcome) for one in planned(plugin, tmp_path)] == [(one.cell.id, None) for one in without]


def test_a_suite_that_says_where_code_lies_is_run_only_where_that_is_allowed(call, plugin, clone, tmp_path):
    suite = suite_of(tmp_path, f'{{ name = "marching", source = "{clone}" }}')
    refused = call("plan", suite, "--plugin", plugin)
    assert refused.exit_code == 2
    assert re.search(r"marching: source = .*pass\s+--allow-local-plugins", " ".join(refused.output.split()))
    allowed = call("plan", suite, "--plugin", plugin, "--allow-local-plugins", "--json")
    assert allowed.exit_code == 0 and "comes as source only" not in allowed.output


def test_the_state_of_the_code_is_recorded_and_makes_a_record_stale(plugin, clone, tmp_path, monkeypatch):
    registry = build_registry(prefixes=[], local_files=[plugin], strict=True)
    cell = next(one.cell for one in planned(plugin, tmp_path) if one.cell.solver.name == "marching")
    assert "marcher" not in identity_of(cell, registry).versions
    monkeypatch.setenv(VARIABLE, str(clone))
    tested = identity_of(cell, registry)
    assert tested.versions["marcher"] == "0123456789ab"
    (clone / "marcher" / "marching.py").write_text(MARCHING + "\n# a word\n")
    edited = identity_of(cell, registry)
    assert edited.versions["marcher"].endswith("(tested: 0123456789ab)")
    assert edited.freshness != tested.freshness


def test_every_command_that_tells_of_solvers_tells_why_one_cannot_be_used(call, plugin, monkeypatch):
    from odebench.cli import doctor

    monkeypatch.setattr(doctor, "_processes", lambda: doctor.Finding("processes", "not looked at"))
    why = "comes as source only"
    shown = call("show", "marching", "--plugin", plugin)
    assert re.search(rf"cannot be used here +marcher {why}", shown.output) and "order" in shown.output
    assert re.search(
        rf"cannot be used here: marching\. marcher {why}", call("list", "solvers", "--plugin", plugin).stderr
    )
    assert re.search(rf"1 solver cannot be used here\.\nmarcher {why}", call("plugins", "--plugin", plugin).output)
    assert re.search(rf"warn  plugins .*cannot be used here: marcher {why}", call("doctor", "--plugin", plugin).output)


def test_the_state_of_the_code_is_shown(call, plugin, clone, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(clone))
    shown = call("show", "marching", "--plugin", plugin).output
    assert re.search(r"code +marcher 0123456789ab\n", shown) and "cannot be used here" not in shown


def test_what_cannot_be_used_is_not_checked_and_that_is_no_pass(call, plugin):
    result = call("check", "marching", "--plugin", plugin, "--json")
    (told,) = json.loads(result.output)["plugins"]
    assert result.exit_code == 1
    assert "comes as source only" in told["unavailable"] and not told["checks"] and not told["faults"]
