"""Triton kernels: their text, what Triton's interpreter makes of it, and what CUDA's compiler does."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import odebench
from odebench.compiled import program
from odebench.compiled.field_graph import capture
from odebench.compiled.fused.expressions import NotByRowError
from odebench.compiled.fused.rows import Rows, rows_of
from odebench.compiled.fused.source import StepForm
from odebench.compiled.fused.triton_source import Columns, replay_text, reverse_text
from odebench.compiled.traced_field import Shape
from odebench.plugins import build_registry
from tests.compiled.test_parity import gradients

ROOT = Path(__file__).parents[2]
needs_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")

CASES = (
    "more trajectories than a block has",
    "dopri5 on a grid",
    "tsit5 with output times inside",
    "rk4 with the cubic between its steps",
    "backwards in two levels",
    "steps of its own for each row",
    "a tuple",
    "every function",
    "derivatives that are the same for all",
)


class Lorenz(nn.Module):
    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.parameters_ = nn.Parameter(torch.tensor([10.0, 28.0, 8.0 / 3.0], dtype=dtype))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        a, b, c = y.unbind(1)
        s, r, q = self.parameters_.unbind()
        return torch.stack((s * (b - a), a * (r - c) - b, a * b - q * c), 1)


def lorenz_rows(dtype: torch.dtype = torch.float32) -> Rows:
    y, t = torch.zeros(4, 3, dtype=dtype), torch.zeros((), dtype=dtype)
    graph, tensors = capture(Lorenz(dtype), t, (y,), False)
    shape = Shape(rows=((3,),), is_tuple=False, by_row=False, time_dtype=dtype)
    return rows_of(graph, shape, t, y, tensors)


def form_of(solver: str, inside: bool = False) -> StepForm:
    tableau = build_registry(prefixes=()).get("solver", solver).build().tableau
    takes_over = inside and (tableau.fsal or tableau.dense is None)
    return StepForm(tableau=tableau, inside=inside, takes_over=takes_over)


def function_of(text: str, name: str) -> ast.FunctionDef:
    return next(node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef) and node.name == name)


def count(node: ast.AST, called: str) -> int:
    calls = [part for part in ast.walk(node) if isinstance(part, ast.Call)]
    return sum(ast.unparse(call.func) == called for call in calls)


def test_a_replay_of_four_stages_has_the_operations_of_the_tableau() -> None:
    printed = replay_text(lorenz_rows(), form_of("rk4"), torch.float32, False, False, False)
    run, field = function_of(printed.text, "run"), function_of(printed.text, "field")
    # By hand: s(b-a), a(r-c)-b, ab-qc are nine operations less one that none shares.
    assert sum(isinstance(node, ast.BinOp) for node in ast.walk(field)) == 8
    assert count(run, "field") == 4
    # Three numbers: one product with the stage before in each of three stages, and four at the end.
    assert count(run, "tl.fma") == 3 * (3 + 4)
    # Of memory: three parameters, the state once; of each step four different lengths.
    assert count(run, "tl.load") == 3 + 3 + 4 and count(run, "tl.store") == 3
    loop = next(node for node in ast.walk(run) if isinstance(node, ast.For))
    assert count(loop, "tl.load") == 4 and count(loop, "tl.store") == 0
    assert sorted(printed.columns.lengths) == [1 / 6, 1 / 3, 0.5, 1.0] and printed.columns.times == []


def test_a_reverse_step_pulls_each_stage_back_once() -> None:
    printed = reverse_text(lorenz_rows(), form_of("rk4"), torch.float32, False, False)
    run = function_of(printed.text, "run")
    assert count(run, "field") == 3 and count(run, "pull") == 4
    # The state of the step before is loaded in the loop, one gradient for each parameter after it.
    assert count(run, "tl.sum") == 3 and count(run, "tl.store") == 3 + 3


@pytest.mark.parametrize("by_row", [False, True])
@pytest.mark.parametrize("solver", ["euler", "bosh3", "dopri5", "tsit5", "dopri8"])
def test_what_is_printed_is_python(solver, by_row) -> None:
    inside = solver != "dopri8"
    form = form_of(solver, inside)
    for dtype in (torch.float32, torch.float64):
        rows = lorenz_rows(dtype)
        ast.parse(replay_text(rows, form, dtype, by_row, True, inside).text)
        ast.parse(reverse_text(rows, form_of(solver, inside), dtype, by_row, inside).text)


def test_products_of_a_step_are_taken_in_double_precision() -> None:
    grid = torch.tensor([[0.1, 0.3], [0.4, 0.2]], dtype=torch.float64)
    found = Columns(lengths=[1 / 3, 1.0], times=[0.5]).of(grid, torch.float32)
    expected = [[0.3 * (1 / 3), 0.3, 0.1 + 0.5 * 0.3], [0.2 * (1 / 3), 0.2, 0.4 + 0.5 * 0.2]]
    assert torch.equal(found, torch.tensor(expected, dtype=torch.float64).float())


def test_a_step_that_is_too_long_is_refused(monkeypatch) -> None:
    monkeypatch.setattr("odebench.compiled.fused.triton_source.MOST_WORDS", 40)
    with pytest.raises(NotByRowError, match="a step has 47 numbers"):
        replay_text(lorenz_rows(), form_of("rk4"), torch.float32, False, False, False)


def test_without_headers_of_cuda_a_loop_stays_in_python(monkeypatch) -> None:
    """They are part of CUDA's toolkit, which few that have a GPU have installed."""
    asked, make = [], program._compiled

    def without_headers(function, options):
        asked.append(options)
        if options is None:
            return make(function, None)

        def fail(*arguments):
            raise RuntimeError("cuda_runtime.h: No such file or directory")

        return fail

    monkeypatch.setattr(program, "FUSED", False)
    monkeypatch.setattr(program, "BACKEND", "aot_eager")
    monkeypatch.setattr(program, "_compiled", without_headers)
    y0 = torch.tensor([[1.0], [2.0]], dtype=torch.float64)
    monkeypatch.setattr(program, "_on_cuda", lambda arguments: True)
    solution = odebench.solve(lambda t, y: -y, y0, (0.0, 1.0), solver="euler", steps=2, compile=True)
    assert torch.equal(solution.y1, y0 / 4)
    assert solution.stats.compiled_as == "loop"
    assert asked == [program.OPTIONS, None]


@pytest.fixture(scope="module")
def interpreted() -> dict[str, dict[str, dict[str, object]]]:
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    program = [sys.executable, str(Path(__file__).with_name("interpreted.py"))]
    done = subprocess.run(program, env=environment, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@needs_triton
@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_interpreted_kernels_give_what_eager_solves_give(case, interpreted) -> None:
    assert set(interpreted) == set(CASES)
    double, single = interpreted[case]["float64"], interpreted[case].get("float32")
    assert set(double["kinds"]) == {"TritonReplay", "TritonReverse"}
    assert double["states"] < 1e-12 and double["gradients"] < 1e-12
    assert single is None or (single["states"] < 1e-6 and single["gradients"] < 4e-6)


@needs_triton
@pytest.mark.slow
@pytest.mark.parametrize("capability", [70, 80, 90])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_kernels_of_lorenz_stay_in_registers(dtype, capability) -> None:
    """CUDA's assembler, which comes with Triton and needs no device, says what the machine code takes."""
    kind, form = getattr(torch, dtype), form_of("rk4")
    rows = lorenz_rows(kind)
    texts = [replay_text(rows, form, kind, False, keep, False).text for keep in (False, True)]
    for text in [*texts, reverse_text(rows, form, kind, False, False).text]:
        state = {"float32": "*fp32", "float64": "*fp64"}[dtype]
        names = [argument.arg for argument in function_of(text, "run").args.args]
        types = dict.fromkeys(names, state) | dict.fromkeys(("batch", "steps", "room", "none"), "i32")
        types |= {name: "*i64" for name in ("rows", "slots") if name in types}
        types |= {"parts": "*fp64"} if "parts" in types else {}
        used = resources(machine_code(text, types, capability))
        assert used["STACK"] == used["LOCAL"] == 0
        assert used["REG"] <= 128


@needs_triton
@pytest.mark.slow
def test_the_compiler_takes_every_kernel_that_is_interpreted(monkeypatch) -> None:
    """It looks at types, which the interpreter does not."""
    from odebench.compiled.fused import programs, triton_programs
    from tests.compiled import interpreted

    made, types = [], {torch.float32: "*fp32", torch.float64: "*fp64", torch.int64: "*i64"}

    def translate(kernel, given, tensors, numbers, batch):
        text = kernel.printed.text
        values = [*given, *(tensors[n] for n in kernel.printed.tensors), *numbers]
        names = [argument.arg for argument in function_of(text, "run").args.args]
        kinds = [types[value.dtype] if isinstance(value, Tensor) else "i32" for value in values]
        made.append(machine_code(text, dict(zip(names, kinds, strict=False)) | {"BLOCK": "constexpr"}, 90))
        for tensor in given:  # those that a kernel would have filled
            if tensor.is_floating_point():
                tensor.nan_to_num_()

    kinds_on = programs.kinds_on
    own = {programs.Replay: triton_programs.TritonReplay, programs.Reverse: triton_programs.TritonReverse}
    monkeypatch.setattr(programs, "kinds_on", lambda device: {**kinds_on(device), **own})
    monkeypatch.setattr(triton_programs._Kernel, "__call__", translate)
    for field, y0, ts, how in interpreted._cases().values():
        gradients(field, y0, ts, compile=True, **how)
    assert len(made) >= 2 * len(CASES) and all(made)


def machine_code(text: str, types: dict[str, str], capability: int) -> bytes:
    """What CUDA's assembler makes of a kernel."""
    import triton
    from torch._inductor.codecache import PyCodeCache
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    source = ASTSource(PyCodeCache.load(text).run, types | {"BLOCK": "constexpr"}, {"BLOCK": 128})
    options = {"num_warps": 4, "num_stages": 1}
    return triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options).asm["cubin"]


def resources(binary: bytes) -> dict[str, int]:
    """Registers and memory of a kernel."""
    import tempfile

    import triton

    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(binary)
        file.flush()
        told = subprocess.run([tool, "--dump-resource-usage", file.name], capture_output=True, text=True, check=True)
    return {name: int(number) for name, number in re.findall(r"\b(REG|STACK|LOCAL):(\d+)", told.stdout)}
