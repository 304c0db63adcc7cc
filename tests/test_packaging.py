"""What a stranger relies on before the first line of code runs: metadata, pinned versions, the commands of the README, CI."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

import odebench

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
# Modules that are not called as the distribution that brings them.
DISTRIBUTION_OF = {"PIL": "pillow", "markupsafe": "jinja2", "pydantic_core": "pydantic"}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def required(lines: list[str]) -> set[str]:
    """Names of the distributions in requirements."""
    return {normal(re.match(r"[A-Za-z0-9_.-]+", line)[0]) for line in lines}


def pinned() -> dict[str, str]:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][0-9A-Za-z.]*", line) for line in lines), lines
    return {normal(name): version for name, _, version in (line.partition("==") for line in lines)}


def command_of(name: str) -> str:
    """The one line of README.md below `<!-- command: name -->`."""
    block = re.search(rf"<!-- command: {name} -->\n```console\n(.*?)\n```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert block, f"README.md has no block marked <!-- command: {name} -->"
    return block[1]


def test_every_import_of_the_package_is_a_declared_dependency():
    declared = required(PROJECT["project"]["dependencies"])
    missing = set()
    for path in (ROOT / "odebench").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
            for root in (name.partition(".")[0] for name in names):
                if root not in sys.stdlib_module_names and root != "odebench":
                    distribution = DISTRIBUTION_OF.get(root, root)
                    # Who parametrises a test with checks has pytest, and nobody else imports that module's function.
                    if (path.name, root) == ("parametrize.py", "pytest"):
                        continue
                    # Who solves with a library written in JAX has it; fields import it when they are called there.
                    # torch for CUDA devices brings triton, which is looked for where a state lies on one.
                    if root in ("jax", "ml_dtypes", "triton") and node not in tree.body:
                        continue
                    if normal(distribution) not in declared:
                        missing.add(f"{path.relative_to(ROOT)} imports {root}")
    assert not missing


def test_every_dependency_is_used():
    text = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "odebench").rglob("*.py"))
    module_of = {distribution: module for module, distribution in DISTRIBUTION_OF.items()}
    unused = [
        name
        for name in required(PROJECT["project"]["dependencies"])
        # pandas writes parquet through pyarrow; of scikit-learn one data file is read, and no module.
        if name not in ("pyarrow", "scikit-learn")
        and not re.search(rf"^\s*(?:import|from) {module_of.get(name, name)}\b", text, re.MULTILINE)
    ]
    assert not unused


def test_constraints_pin_everything_that_the_extras_need():
    extras = PROJECT["project"]["optional-dependencies"]
    wanted = required(PROJECT["project"]["dependencies"] + extras["test"] + extras["dev"]) - {"odebench"}
    assert wanted <= pinned().keys()


def test_constraints_name_no_build_of_torch():
    """A version without a suffix is met by the CPU and the CUDA build alike."""
    assert pinned()["torch"] == "2.13.0"


def test_the_pinned_versions_satisfy_the_bounds():
    for line in PROJECT["project"]["dependencies"]:
        name, _, bound = line.partition(">=")
        have = tuple(int(part) for part in pinned()[normal(name)].split(".")[:2])
        assert have >= tuple(int(part) for part in bound.split(".")[:2]), line


def test_the_version_is_written_once():
    assert "version" in PROJECT["project"]["dynamic"]
    assert f"version: {odebench.__version__}" in (ROOT / "CITATION.cff").read_text()
    assert f"## {odebench.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_console_script_is_the_command_line():
    try:
        points = metadata.distribution("odebench").entry_points
    except metadata.PackageNotFoundError:
        pytest.skip("odebench is not installed here, only on the path")
    (script,) = (point for point in points if point.group == "console_scripts")
    assert (script.name, script.value) == ("odebench", "odebench.cli:main")


@pytest.mark.parametrize("name", ["run", "test"])
def test_the_commands_of_the_readme_are_one_line_each(name: str):
    command = command_of(name)
    assert "\n" not in command
    assert command.startswith("python3 -m venv .venv && .venv/bin/pip install -c constraints.txt")


def test_the_first_command_ends_with_the_quickstart():
    assert command_of("run").endswith("odebench run suites/quickstart.toml")
    assert (ROOT / "suites" / "quickstart.toml").is_file()


def test_the_second_command_installs_what_the_tests_need():
    command = command_of("test")
    # Before 23.3, the pip of a fresh environment of Python 3.11 does not see that `.[test]` also is the `odebench` that a
    # plugin requires, unless it is named without its extra too.
    assert "-e . -e '.[test]'" in command
    assert "./plugins/odebench-torchdiffeq" in command
    assert command.endswith("-m pytest")


def test_ci_runs_exactly_the_test_command_of_the_readme(tmp_path: Path):
    """The script is run beside a README whose command can be seen to have run, and nothing else."""
    (tmp_path / ".ci").mkdir()
    script = tmp_path / ".ci" / "run"
    script.write_bytes((ROOT / ".ci" / "run").read_bytes())
    script.chmod(0o755)
    readme = (ROOT / "README.md").read_text().replace(command_of("test"), "echo one 'two' > ran && echo three >> ran")
    (tmp_path / "README.md").write_text(readme)
    (tmp_path / "bin").mkdir()
    browser = tmp_path / "bin" / "chromedriver"  # Nothing is to be installed here.
    browser.write_text("#!/bin/sh\n")
    browser.chmod(0o755)
    environment = {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"}
    done = subprocess.run([script], capture_output=True, text=True, env=environment, cwd="/", check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "ran").read_text() == "one two\nthree\n"
    assert "+ echo one 'two' > ran && echo three >> ran" in done.stdout


def test_ci_fails_where_the_test_command_fails(tmp_path: Path):
    (tmp_path / ".ci").mkdir()
    script = tmp_path / ".ci" / "run"
    script.write_bytes((ROOT / ".ci" / "run").read_bytes())
    (tmp_path / "README.md").write_text("<!-- command: test -->\n```console\nfalse && true\n```\n")
    environment = {"PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        ["bash", "-c", f"chromedriver() {{ :; }}; export -f chromedriver; bash {script}"],
        capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr


def test_the_licence_is_the_full_text():
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert PROJECT["project"]["license"] == "Apache-2.0"


def test_the_quickstart_can_be_planned_without_third_parties():
    """On a machine that has just been set up nothing of it is unsupported."""
    from odebench.plan.expand import expand
    from odebench.plan.suite import read_suite
    from odebench.plugins import build_registry

    plan = expand(read_suite(ROOT / "suites" / "quickstart.toml"), build_registry(prefixes=()), lambda device: None)
    assert plan.settled == ()
    names = {kind: {getattr(one.cell, kind).name for one in plan.cells if getattr(one.cell, kind)} for kind in
             ("model", "solver", "gradient")}  # fmt: skip
    assert len(names["model"]) >= 3
    assert len(names["solver"]) >= 5
    assert len(names["gradient"]) >= 3
