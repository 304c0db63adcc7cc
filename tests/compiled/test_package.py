"""Compiled solvers in files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

import odebench
from odebench.compiled import march, program, setting
from odebench.errors import CompileError
from tests.compiled.test_parity import FIVE, ROUNDING, TWO, distance

TIMES = (0.0, 0.5, 2.0)

HOW = {
    "fixed": (FIVE, {"solver": "tsit5", "steps": 6}),
    "ends": (TWO, {"solver": "rk4", "steps": 7}),
    "joint": (FIVE, {"solver": "dopri5", "rtol": 1e-6}),
    "per-sample": (FIVE, {"solver": "bosh3", "rtol": 1e-6, "batch": "per-sample"}),
}
"""Solves whose steps and output times are of different kinds."""

IN_ANOTHER_PROCESS = """
import sys
from pathlib import Path
import torch
import odebench
found = {}
for name, (ts, steps, y0) in torch.load(sys.argv[1]).items():
    solution = odebench.load_solver(Path(sys.argv[1]).with_name(name + ".ode"))(y0, ts, **steps)
    found[name] = solution.ys, solution.grid.t, solution.stats.evaluations_forward
    assert solution.stats.compiled_as == "kernel", solution.stats
loaded = {"torch._dynamo", "torch._inductor", "triton"} & set(sys.modules)
assert not loaded, f"the compiler was loaded: {loaded}"
torch.save(found, sys.argv[2])
"""


def steps_of(name: str) -> dict[str, float]:
    """What of its arguments a compiled solver takes again."""
    return {key: value for key, value in HOW[name][1].items() if key in ("rtol", "steps")}


@pytest.fixture(scope="module")
def y0() -> Tensor:
    return torch.randn(6, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(5))


@pytest.fixture(scope="module")
def packages(y0: Tensor, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file for each of `HOW`."""
    from tests.compiled.conftest import Turning

    folder = tmp_path_factory.mktemp("solvers")
    for name, (ts, how) in HOW.items():
        odebench.compile_solver(Turning(), y0, ts, **how).save(folder / f"{name}.ode")
    return folder


@pytest.fixture(scope="module")
def saved(packages: Path) -> Path:
    return packages / "joint.ode"


def files_in(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


def rewritten(path: Path, into: Path, name: str, change: Callable[[bytes], bytes]) -> Path:
    """The archive with another content of one of its files."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(into, "w") as new:
        for each in old.namelist():
            new.writestr(each, change(old.read(each)) if each == name else old.read(each))
    return into


def redescribed(path: Path, into: Path, **values: object) -> Path:
    change = lambda old: json.dumps(json.loads(old) | values).encode()  # noqa: E731
    return rewritten(path, into, "solver.json", change)


@pytest.mark.parametrize("name", HOW)
def test_fields_that_treat_rows_apart_are_kept_as_kernels_with_their_text(packages, name) -> None:
    assert files_in(packages / f"{name}.ode") == ["solver.json", "tensors.pt", "program-0.so", "program-0.cpp"]
    with zipfile.ZipFile(packages / f"{name}.ode") as archive:
        assert b'extern "C" void run(' in archive.read("program-0.cpp")


def test_another_process_without_a_compiler_solves_the_same(packages, y0, field, tmp_path) -> None:
    # A batch of another size than that of the example, which fills no whole number of vectors.
    y0 = torch.cat((y0, -2.0 * y0, y0[:1]))
    torch.save({name: (ts, steps_of(name), y0) for name, (ts, _) in HOW.items()}, packages / "asked.pt")
    environment = os.environ | {"PATH": "", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "empty")}
    arguments = [str(packages / "asked.pt"), str(tmp_path / "out.pt")]
    done = subprocess.run(
        [sys.executable, "-c", IN_ANOTHER_PROCESS, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = torch.load(tmp_path / "out.pt")
    assert set(found) == set(HOW)
    for name, (ts, how) in HOW.items():
        ys, t, evaluations = found[name]
        with torch.no_grad():
            compiled = odebench.solve(field, y0, ts, compile=True, **how)
            eager = odebench.solve(field, y0, ts, **how)
        assert torch.equal(ys, compiled.ys), name
        assert distance(ys, eager.ys) < ROUNDING, name
        assert torch.allclose(t, eager.grid.t, rtol=1e-7, atol=1e-9), name
        assert evaluations == eager.stats.evaluations_forward, name


@pytest.mark.parametrize("name", HOW)
def test_batches_of_other_sizes_are_solved(packages, field, name) -> None:
    solver, (ts, how) = odebench.load_solver(packages / f"{name}.ode"), HOW[name]
    for batch in (2, 33):
        y0 = torch.randn(batch, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(batch))
        with torch.no_grad():
            eager = odebench.solve(field, y0, ts, **how)
        assert distance(solver(y0, ts, **steps_of(name)).ys, eager.ys) < ROUNDING


def test_what_was_not_compiled_is_refused_in_words(saved, y0) -> None:
    solver = odebench.load_solver(saved)
    with pytest.raises(CompileError, match="no program for this"):
        solver(y0, (0.0, 1.0), rtol=1e-6)
    with pytest.raises(CompileError, match=r"compiled for states of shape \('batch', 2\), torch.float64"):
        solver(y0.float(), TIMES, rtol=1e-6)
    with pytest.raises(CompileError, match="at least two rows"):
        solver(y0[:1], TIMES, rtol=1e-6)


def test_other_weights_are_taken_in_place(saved, y0, field) -> None:
    solver = odebench.load_solver(saved)
    with torch.no_grad():
        (speed,) = (tensor for tensor in solver.tensors if tensor.numel() == 1)
        speed.fill_(1.0)
        field.speed.fill_(1.0)
    found = solver(y0, TIMES, rtol=1e-8).y1
    assert torch.allclose(found, field.solution(2.0, y0), rtol=1e-6)


def test_a_solver_that_was_just_compiled_shares_its_weights_with_the_field(y0, field) -> None:
    solver = odebench.compile_solver(field, y0, TWO, solver="rk4", steps=7)
    (speed,) = (tensor for tensor in solver.tensors if tensor.numel() == 1)
    speed.fill_(1.0)  # without a graph, as all of it is
    assert float(field.speed.detach()) == 1.0
    assert torch.allclose(solver(y0, TWO, steps=200).y1, field.solution(2.0, y0), rtol=1e-6)


def test_one_file_holds_programs_for_all_kinds_of_output_times_that_were_asked_for(y0, field, tmp_path) -> None:
    solver, kinds = odebench.compile_solver(field, y0, TWO, solver="rk4", steps=6), (TWO, FIVE, (0.0, 1.0, 2.0))
    for ts in kinds:
        solver(y0, ts, steps=6)
    solver.save(tmp_path / "three.ode")
    assert [name for name in files_in(tmp_path / "three.ode") if name.endswith(".so")] == [
        f"program-{n}.so" for n in range(3)
    ]
    loaded = odebench.load_solver(tmp_path / "three.ode")
    for ts in kinds:
        with torch.no_grad():
            eager = odebench.solve(field, y0, ts, solver="rk4", steps=6)
        assert distance(loaded(y0, ts, steps=6).ys, eager.ys) < ROUNDING


def test_what_was_loaded_can_be_saved_again_with_its_weights(packages, y0, field, tmp_path) -> None:
    solver = odebench.load_solver(packages / "ends.ode")
    with torch.no_grad():
        (speed,) = (tensor for tensor in solver.tensors if tensor.numel() == 1)
        speed.fill_(1.0)
        field.speed.fill_(1.0)
    solver.save(tmp_path / "again.ode")
    again = odebench.load_solver(tmp_path / "again.ode")(y0, TWO, steps=200).y1
    assert torch.allclose(again, field.solution(2.0, y0), rtol=1e-6)


@pytest.mark.slow
def test_a_field_whose_rows_meet_stays_a_loop_and_files_of_loops_alone_are_still_read(y0, tmp_path) -> None:
    def drawn_together(t: Tensor, y: Tensor) -> Tensor:
        return y.mean(0, keepdim=True) - y * (1.0 + t)

    odebench.compile_solver(drawn_together, y0, TWO, solver="rk4", steps=5).save(tmp_path / "loop.ode")
    assert files_in(tmp_path / "loop.ode") == ["solver.json", "tensors.pt", "program-0.pt2"]
    entry = {"kind": ["replay", False, False, False], "file": "program-0.pt2"}
    redescribed(tmp_path / "loop.ode", tmp_path / "old.ode", format=1, processor=None, programs=[entry])
    eager = odebench.solve(drawn_together, y0[:4], TWO, solver="rk4", steps=7)
    for name in ("loop", "old"):
        found = odebench.load_solver(tmp_path / f"{name}.ode")(y0[:4], TWO, steps=7)
        assert distance(found.ys, eager.ys) < ROUNDING
        assert found.stats.compiled_as == "loop"


def test_where_kernels_are_turned_off_loops_are_asked_for(y0, field, monkeypatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("loops are not for today")

    monkeypatch.setattr(program, "FUSED", False)
    monkeypatch.setattr(torch.export, "export", refuse)
    with pytest.raises(CompileError, match="ahead of time: loops are not for today"):
        odebench.compile_solver(field, y0, TWO, solver="rk4", steps=7)


@pytest.mark.parametrize("what", [b"no library", b""], ids=["text", "nothing"])
def test_a_library_that_cannot_be_opened_is_refused_with_its_name(saved, tmp_path, what) -> None:
    path = rewritten(saved, tmp_path / "other.ode", "program-0.so", lambda _: what)
    with pytest.raises(
        CompileError, match=r"other.ode: program-0.so in it cannot be opened \(.*\). Compile it again here"
    ):
        odebench.load_solver(path)


def test_a_byte_that_changed_in_a_library_is_noticed(saved, tmp_path) -> None:
    path = tmp_path / "damaged.ode"
    content = bytearray(saved.read_bytes())
    with zipfile.ZipFile(saved) as archive:
        content[archive.getinfo("program-0.so").header_offset + 5000] ^= 1
    path.write_bytes(content)
    with pytest.raises(CompileError, match=r"damaged.ode: program-0.so in it is damaged"):
        odebench.load_solver(path)


def test_a_file_for_another_processor_is_refused(saved, tmp_path) -> None:
    with zipfile.ZipFile(saved) as archive:
        here = json.loads(archive.read("solver.json"))["processor"]
    assert here["instructions"]
    fewer = redescribed(saved, tmp_path / "fewer.ode", processor=here | {"instructions": here["instructions"][1:]})
    odebench.load_solver(fewer)  # code that uses less runs here
    for change, reason in (
        ({"instructions": [*here["instructions"], "avx4096"]}, r"instructions that this processor lacks \(avx4096\)"),
        ({"architecture": "z80"}, "it is for z80"),
        ({"system": "Plan 9"}, "it is for Plan 9"),
    ):
        path = redescribed(saved, tmp_path / "other.ode", processor=here | change)
        with pytest.raises(CompileError, match=f"other.ode: .*{reason}.*Compile it again here"):
            odebench.load_solver(path)


def test_calls_prepare_once_for_each_size_of_the_batch_and_each_grid(packages, y0, monkeypatch) -> None:
    solver, prepared = odebench.load_solver(packages / "ends.ode"), []
    for owner, name in ((setting.Setting, "for_state"), (march, "uniform_grid")):
        before = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *a, before=before, name=name: prepared.append(name) or before(*a))
    for _ in range(3):
        solver(y0, (0.0, 1.75), steps=9)
    assert prepared == ["for_state", "uniform_grid"]
    solver(y0[:4], (0.0, 1.75), steps=9)
    assert prepared == ["for_state", "uniform_grid", "for_state"]


def test_grids_that_were_laid_before_the_compiler_was_there_are_laid_again_for_it(
    packages, y0, field, monkeypatch
) -> None:
    solver = odebench.load_solver(packages / "ends.ode")._setting
    ts, request = [0.0, 1.625], odebench.StepSize(steps=3)
    with monkeypatch.context() as without:
        for module in (program, march):
            without.setattr(module, "compiles", lambda: False)
        assert not hasattr(march.lay(solver, ts, request).steps, "_dynamo_weak_dynamic_indices")
    assert march.lay(solver, ts, request).steps._dynamo_weak_dynamic_indices == {0}


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
        archive.writestr("solver.json", json.dumps({"format": 2, "torch": "2.0.0"}))
        torch.save([], tmp_path / "tensors.pt")
        archive.write(tmp_path / "tensors.pt", "tensors.pt")
    with pytest.raises(CompileError, match=r"written by torch 2.0.0 in format 2; here is torch"):
        odebench.load_solver(path)


def test_an_instance_is_no_name(field, y0) -> None:
    from odebench.api import build

    with pytest.raises(CompileError, match="needs the name of the solver"):
        odebench.compile_solver(field, y0, TIMES, solver=build("solver", "rk4"), steps=4)
