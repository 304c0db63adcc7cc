"""`odebench new plugin`: what it writes installs, passes its tests and its suite, and is clean."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from click.testing import CliRunner

import odebench
from odebench.cli import main
from odebench.cli.new import _KINDS
from odebench.plan.expand import expand
from odebench.plan.suite import read_suite
from odebench.plugins import build_registry
from odebench.scaffold import KINDS, write_plugin


def test_the_command_offers_every_kind_that_there_is():
    assert _KINDS == KINDS


def test_the_command_says_what_it_wrote_and_what_to_do_next(tmp_path):
    told = CliRunner().invoke(main, ["new", "plugin", "odebench-spirals", "-o", str(tmp_path)])
    assert told.exit_code == 0, told.output
    assert "odebench_spirals/solver.py" in told.output
    assert f"cd {tmp_path / 'odebench-spirals'}" in told.output
    again = CliRunner().invoke(main, ["new", "plugin", "odebench-spirals", "-o", str(tmp_path)])
    assert again.exit_code == 2
    assert "odebench-spirals is there already, and nothing in it is overwritten" in again.output
    listed = CliRunner().invoke(
        main, ["new", "plugin", "odebench-rings", "--kind", "model", "-o", str(tmp_path), "--json"]
    )
    assert json.loads(listed.output)["files"][-2:] == ["odebench_rings/model.py", "tests/test_conformance.py"]


def test_a_folder_that_cannot_be_written_is_said_so(tmp_path):
    (tmp_path / "file").write_text("")
    told = CliRunner().invoke(main, ["new", "plugin", "spirals", "-o", str(tmp_path / "file" / "below")])
    assert told.exit_code == 2
    assert "cannot be written: Not a directory" in told.output


def environment_of(folder: Path) -> Path:
    """A fresh environment that sees what is installed here, so that nothing is downloaded; its interpreter."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    place = "import sysconfig; print(sysconfig.get_path('purelib'))"
    own = subprocess.run([python, "-c", place], capture_output=True, text=True, check=True).stdout.strip()
    # `addsitedir` follows the links of editable installations, which a plain path does not.
    outer = [sysconfig.get_path("purelib"), str(Path(odebench.__file__).parents[1])]
    lines = [f"import site; site.addsitedir({path!r})" for path in outer]
    (Path(own) / "outer.pth").write_text("\n".join(lines) + "\n")
    return python


def run(*command: object, folder: Path) -> str:
    """What a command says; it must succeed."""
    environment = os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        capture_output=True,
        text=True,
        env=environment,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_what_is_written_installs_passes_its_tests_and_its_suite(tmp_path):
    python = environment_of(tmp_path / "env")
    folder, _ = write_plugin("odebench-spirals", "all", tmp_path)
    # The pip of this environment, on that one.
    run(
        sys.executable, "-m", "pip", "--python", python, "install", "--no-index", "--no-build-isolation", "-e", ".",
        folder=folder,
    )  # fmt: skip
    assert " passed" in run(python, "-m", "pytest", folder=folder)
    said = run(python, "-m", "odebench", "run", "comparison.toml", "--no-report", folder=folder)
    assert "9 cells: 9 ok" in said
    assert "2 claims: 2 true." in run(python, "-m", "odebench", "claims", "results/spirals", folder=folder)
    frame = odebench.load(folder / "results" / "spirals")
    mine = frame[frame["gradient"] == "spirals/recompute"]
    assert len(mine) == 1
    # One more forward solve, and nothing else: 3 evaluations a step.
    assert list(mine["nfe_backward"]) == list(mine["nfe_forward"]) == [3 * steps for steps in mine["steps"]]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_is_clean(kind: str, tmp_path):
    ruff = shutil.which("ruff", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    assert ruff is not None, "pip install -e '.[test]' brings it"
    folder, _ = write_plugin("odebench-spirals", kind, tmp_path)
    run(ruff, "check", "--no-cache", folder=folder)
    run(ruff, "format", "--check", "--no-cache", folder=folder)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_registers_and_its_suite_can_be_planned(kind: str, tmp_path, monkeypatch):
    """As installed, without installing: the folder on the path, with the metadata that pip would write."""
    folder, _ = write_plugin(f"odebench-spirals-{kind}", kind, tmp_path)
    prefix = f"spirals-{kind}"
    info = folder / "spirals-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: odebench-{prefix}\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text(f"[odebench]\n{prefix} = odebench_spirals_{kind}\n")
    monkeypatch.syspath_prepend(str(folder))
    registry = build_registry(prefixes=[prefix], strict=True)
    mine = {k: [n for n in registry.names(k) if n.startswith(f"{prefix}/")] for k in ("solver", "gradient", "model")}
    parts = {"all": {"solver", "gradient", "model"}, "adapter": {"solver"}}.get(kind, {kind})
    assert {k for k, names in mine.items() if names} == parts
    plan = expand(read_suite(folder / "comparison.toml"), registry, lambda device: None)
    assert plan.settled == ()
    assert len(plan.runnable) <= 9


def test_the_written_adapter_agrees_with_scipy(tmp_path, monkeypatch):
    """On a rotation, whose solution is known, with a tuple state and falling times."""
    import torch

    folder, _ = write_plugin("ring", "adapter", tmp_path)
    monkeypatch.syspath_prepend(str(folder))
    import ring.solver

    solver = ring.solver.Rk45()
    y0 = (torch.ones(3, 1, dtype=torch.float64), torch.zeros(3, 1, dtype=torch.float64))
    request = odebench.Tolerance(rtol=1e-9, atol=1e-9)
    solution = solver.solve(lambda t, y: (-y[1], y[0]), y0, [1.0, 0.5, 0.0], request)
    for time, x, z in zip([1.0, 0.5, 0.0], *solution.ys, strict=True):
        angle = torch.tensor(time - 1.0, dtype=torch.float64)
        assert torch.allclose(x, angle.cos().expand(3, 1), atol=1e-7)
        assert torch.allclose(z, angle.sin().expand(3, 1), atol=1e-7)
    assert solution.grid.end == 0.0
    assert (solution.grid.dt < 0).all()
    with pytest.raises(odebench.OdebenchError, match="give rtol and atol"):
        solver.solve(lambda t, y: y, y0, [0.0, 1.0], odebench.StepSize(steps=4))
