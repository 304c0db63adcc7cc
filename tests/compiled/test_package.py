"""Compiled solvers in files."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

import odebench
from odebench.errors import CompileError

TIMES = (0.0, 0.5, 2.0)

IN_ANOTHER_PROCESS = """
import sys
import torch
import odebench
solver = odebench.load_solver(sys.argv[1])
y0 = torch.load(sys.argv[2])
solution = solver(y0, (0.0, 0.5, 2.0), rtol=1e-6)
other = solver(y0[:3], (0.0, 0.1, 0.2, -0.0 + 1.0), rtol=1e-3)
assert other.ys.shape == (4, 3, 2), other.ys.shape
assert "torch._dynamo" not in sys.modules, "the compiler was loaded"
torch.save((solution.ys, solution.grid.t, solution.stats.evaluations_forward), sys.argv[3])
"""


@pytest.fixture(scope="module")
def y0() -> torch.Tensor:
    return torch.randn(6, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(5))


@pytest.fixture(scope="module")
def saved(y0: torch.Tensor, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.compiled.conftest import Turning

    path = tmp_path_factory.mktemp("solvers") / "turning.ode"
    odebench.compile_solver(Turning(), y0, TIMES, solver="dopri5", rtol=1e-6).save(path)
    return path


@pytest.mark.slow
def test_a_saved_solver_solves_in_another_process_without_the_compiler(saved, y0, field, tmp_path) -> None:
    torch.save(y0, tmp_path / "y0.pt")
    arguments = [str(saved), str(tmp_path / "y0.pt"), str(tmp_path / "out.pt")]
    done = subprocess.run(
        [sys.executable, "-c", IN_ANOTHER_PROCESS, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    ys, t, evaluations = torch.load(tmp_path / "out.pt")
    with torch.no_grad():
        eager = odebench.solve(field, y0, TIMES, solver="dopri5", rtol=1e-6)
    assert float((ys - eager.ys).norm() / eager.ys.norm()) < 1e-12
    assert torch.allclose(t, eager.grid.t, rtol=1e-7, atol=1e-9)
    assert evaluations == eager.stats.evaluations_forward


@pytest.mark.slow
def test_what_was_not_compiled_is_refused_in_words(saved, y0) -> None:
    solver = odebench.load_solver(saved)
    with pytest.raises(CompileError, match="no program for this"):
        solver(y0, (0.0, 1.0), rtol=1e-6)
    with pytest.raises(CompileError, match=r"compiled for states of shape \('batch', 2\), torch.float64"):
        solver(y0.float(), TIMES, rtol=1e-6)
    with pytest.raises(CompileError, match="at least two rows"):
        solver(y0[:1], TIMES, rtol=1e-6)


@pytest.mark.slow
def test_other_weights_are_taken_in_place(saved, y0, field) -> None:
    solver = odebench.load_solver(saved)
    with torch.no_grad():
        (speed,) = (tensor for tensor in solver.tensors if tensor.numel() == 1)
        speed.fill_(1.0)
        field.speed.fill_(1.0)
    found = solver(y0, TIMES, rtol=1e-8).y1
    assert torch.allclose(found, field.solution(2.0, y0), rtol=1e-6)


def test_files_that_are_none_are_refused_with_their_name(tmp_path) -> None:
    with pytest.raises(CompileError, match="no such file"):
        odebench.load_solver(tmp_path / "absent.ode")
    text = tmp_path / "text.ode"
    text.write_text("no solver")
    with pytest.raises(CompileError, match="text.ode: it is no compiled solver"):
        odebench.load_solver(text)
    empty = tmp_path / "empty.ode"
    with zipfile.ZipFile(empty, "w") as archive:
        archive.writestr("other", "")
    with pytest.raises(CompileError, match="empty.ode: it is no compiled solver"):
        odebench.load_solver(empty)


def test_a_file_of_another_torch_is_refused(tmp_path) -> None:
    path = tmp_path / "old.ode"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("solver.json", json.dumps({"format": 1, "torch": "2.0.0"}))
        torch.save([], tmp_path / "tensors.pt")
        archive.write(tmp_path / "tensors.pt", "tensors.pt")
    with pytest.raises(CompileError, match=r"written by torch 2.0.0 in format 1; here is torch"):
        odebench.load_solver(path)


def test_an_instance_is_no_name(field, y0) -> None:
    from odebench.api import build

    with pytest.raises(CompileError, match="needs the name of the solver"):
        odebench.compile_solver(field, y0, TIMES, solver=build("solver", "rk4"), steps=4)
