"""README.md is a test: its files are written, its commands run, its examples executed."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import odebench
from odebench import hookspecs
from odebench.plan.expand import expand
from odebench.plan.suite import parse_suite
from odebench.plugins import KINDS, build_registry

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(kind: str, name: str) -> str:
    """The fenced block below `<!-- kind: name -->`."""
    found = re.search(rf"<!-- {kind}: {re.escape(name)} -->\n```\w+\n(.*?)```", README, re.DOTALL)
    assert found, f"README.md has no block marked <!-- {kind}: {name} -->"
    return found[1]


@pytest.mark.slow
def test_the_plugin_of_the_readme_is_listed_runs_and_is_in_the_report(tmp_path):
    for name in ("my_solver.py", "mine.toml"):
        (tmp_path / name).write_text(block("file", name), encoding="utf-8")
    said = ""
    for line in block("command", "plugin").splitlines():
        command = [sys.executable, "-m", *line.split()]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, env=dict(os.environ))
        assert done.returncode == 0, done.stdout + done.stderr
        said += done.stdout
    for name in ("kutta3", "extrapolated-euler"):
        assert name in said
    frame = odebench.load(tmp_path / "results" / "mine")
    mine = frame[frame["solver"].isin(["kutta3", "extrapolated-euler"])]
    assert len(mine) == 4 + 9
    assert set(mine["outcome"]) == {"ok"}
    exact = mine[mine["gradient"].isin(["direct", "step-checkpoint"])]
    assert (exact["grad_error_discrete"] < 1e-12).all()
    page = (tmp_path / "results" / "mine" / "report" / "index.html").read_text(encoding="utf-8")
    assert "extrapolated-euler" in page and "kutta3" in page


def test_the_plugin_of_the_readme_is_about_forty_lines():
    lines = [line for line in block("file", "my_solver.py").splitlines() if line.strip()]
    assert len(lines) <= 45


def test_the_examples_of_solving_run():
    torch.manual_seed(0)
    section = README[README.index("## Solving") : README.index("## A suite")]
    names: dict[str, object] = {}
    for code in re.findall(r"```python\n(.*?)```", section, re.DOTALL):
        exec(compile(code, "README.md", "exec"), names)  # our own file
    assert names["solution"].ys.shape == (3, 128, 2)
    assert all(parameter.grad is not None for parameter in names["encoder"].parameters())


def test_the_loop_with_a_step_policy_runs():
    torch.manual_seed(0)
    section = README[README.index("## Is a trained model a flow?") : README.index("## Trainings in a suite")]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    names: dict[str, object] = {"torch": torch, "odebench": odebench}
    exec(compile(code, "README.md", "exec"), names)  # our own file
    assert names["watch"].iterations == 60
    assert names["watch"].evaluations > 0


def test_the_training_that_is_shown_can_be_planned():
    section = README[README.index("## Trainings in a suite") : README.index("## The papers")]
    (text,) = re.findall(r"```toml\n(.*?)```", section, re.DOTALL)
    suite = parse_suite(f'schema = 1\n[suite]\nname = "shown"\n{text}', "README.md")
    plan = expand(suite, build_registry(prefixes=(), strict=True), lambda device: None)
    assert len(plan.runnable) == 6 + 36 and not plan.settled
    assert len(suite.claims) == 1


def test_the_number_of_built_in_plugins_is_what_there_is():
    registry = build_registry(prefixes=(), strict=True)
    assert f"out of {sum(len(registry.names(kind)) for kind in KINDS)} built-in plugins" in README


def test_every_suite_of_a_paper_is_named():
    section = README[README.index("## The papers") : README.index("## A plugin of your own")]
    for path in (ROOT / "suites" / "papers").glob("*.toml"):
        _, _, rest = path.stem.partition("-")
        assert f"`{path.stem}`" in section or f"`-{rest}`" in section, path


def test_the_suite_that_is_shown_is_the_quickstart():
    assert (ROOT / "suites" / "quickstart.toml").read_text(encoding="utf-8") in README


@pytest.mark.parametrize("name", [name for name in vars(hookspecs) if name.startswith("odebench_")])
def test_each_hook_stands_in_the_readme_with_its_signature_and_has_a_test(name):
    function = getattr(hookspecs, name)
    signature = str(inspect.signature(function)).replace("'", "")
    assert f"def {name}{signature}: ..." in README
    assert f"def test_hook_{name}(" in (ROOT / "tests" / "test_plugins.py").read_text(encoding="utf-8")


def test_pictures_of_the_readme_are_there():
    for path in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README):
        assert (ROOT / path).is_file(), path


def test_nothing_of_the_readme_is_left_to_be_filled_in():
    words = set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b|\bOVERHEAD\b|\bTODO\b", README))
    sources = {f"ODEBENCH_{code}_SOURCE" for code in ("ANODE", "RAMPDE", "SYMPLECTIC_ADJOINT")}
    assert words <= {"ODEBENCH_CACHE", "ODEBENCH_DATA", "ODEBENCH_DISABLE_PLUGINS", *sources}
