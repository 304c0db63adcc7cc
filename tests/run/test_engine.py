"""Cells whose solves run in the compiled engine; most of these tests make graphs, and no C++."""

from __future__ import annotations

import logging
from collections import OrderedDict
from dataclasses import replace

import pytest
import torch

from odebench.compiled import field_graph, program
from odebench.contract import Solution
from odebench.errors import CompileError, MeasurementError
from odebench.plan.expand import expand
from odebench.plan.plan import PlannedCell
from odebench.plan.suite import parse_suite
from odebench.records import Part, Record
from odebench.report.frame import load
from odebench.run import memory_part, quality, timing
from odebench.run.bench import load_bench
from odebench.run.engine import Engine
from odebench.run.engine_counts import check_told
from odebench.run.executors import Environment
from odebench.run.identity import Identity
from odebench.run.launch import run_plan
from odebench.run.opaque import opaque
from odebench.run.request import Request
from odebench.run.work import Work

# pytest hears every logger, and this one describes every tensor of every graph.
logging.getLogger("torch.__trace").setLevel(logging.CRITICAL)

TOLERANCE = {"rtol": 1e-2, "atol": 1e-2, "batch": "joint"}


@pytest.fixture(autouse=True)
def graphs_only(monkeypatch, tmp_path):
    monkeypatch.setattr(program, "BACKEND", "aot_eager")
    monkeypatch.setattr(program, "OPTIONS", None)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def cell(cell_of):
    def make(solver="rk4", gradient=None, compiled=True, grid=None, model="lotka-volterra", steps=64, **more):
        cell = cell_of(solver, gradient=gradient, model=model, dtype="float64", steps=steps, **more)
        return replace(cell, compile=compiled, grid=cell.grid if grid is None else grid)

    return make


@pytest.fixture
def measured(registry, tmp_path):
    def measure(part, cell, **more):
        bench = load_bench(cell, registry)
        return part.measure(Request(part="quality", cell=cell, **more), bench, tmp_path)

    return measure


def test_compiled_and_eager_cells_ask_as_much_of_the_field(cell, measured):
    eager, compiled = (measured(quality, cell(gradient="direct", compiled=c)) for c in (False, True))
    assert (compiled["outcome"], compiled["reason"]) == ("ok", None)
    values = compiled["values"]
    assert (values["compiled"], values["compiled_as"]) == (True, "kernel")
    assert "compiled" not in eager["values"]
    assert (values["nfe_method"], values["nfe_forward"]) == ("loop_counter", eager["values"]["nfe_forward"])
    for index, other in eager["fingerprints"].items():
        for name, numbers in other.items():
            assert compiled["fingerprints"][index][name] == pytest.approx(numbers, rel=1e-12)
    assert values["nfe_backward"] == values["nfe_forward"] == 4 * 64  # each stage once more
    assert "vjps" not in values
    assert "not vector-Jacobian products" in compiled["reasons"]["vjps"]


@pytest.mark.slow
def test_an_adaptive_solve_tells_refused_steps_and_the_search_for_the_first(cell, measured):
    eager, compiled = (
        measured(quality, cell("bosh3", grid=TOLERANCE, model="van-der-pol", compiled=c))["values"]
        for c in (False, True)
    )
    same = ("nfe_forward", "steps_accepted", "steps_rejected")
    assert {name: compiled[name] for name in same} == {name: eager[name] for name in same}
    assert compiled["steps_rejected"] > 0


class Unlike(torch.nn.Module):
    """Looks at values, which no graph can."""

    def forward(self, t, y):
        return -y if float(y.sum()) > 0 else -2 * y


def test_auto_solves_without_where_the_field_is_no_graph_and_says_why(cell, registry, tmp_path):
    for asked in ("auto", True):
        bench = load_bench(cell(compiled=asked), registry)
        bench = replace(bench, problem=replace(bench.problem, field=Unlike()))
        result = quality.measure(Request(part="quality", cell=bench.cell), bench, tmp_path)
        if asked is True:
            assert (result["outcome"], result["values"]["compiled"]) == ("unsupported", False)
            assert "compile_fallback_reason" not in result["values"]
            assert "test_engine.py" in result["reason"] and "in forward" in result["reason"]
            continue
        values = result["values"]
        assert (result["outcome"], values["compiled"], values["nfe_method"]) == ("ok", False, "counted")
        assert "test_engine.py" in values["compile_fallback_reason"]
        assert values["nfe_forward"] == 4 * 64


def test_what_fell_back_is_timed_where_nothing_is_compiled(cell):
    def work(compiled):
        record = Record(
            cell_id=asked.id, cell=asked.to_json(), suite="s", experiments=("e",), freshness="0" * 16, machine_id="0" * 16,
        )  # fmt: skip
        record = record.with_part("quality", Part(outcome="ok", values={"compiled": compiled}))
        identity = Identity(prefixes=(), local_files=(), versions={}, freshness="")
        planned = PlannedCell(cell=asked, experiments=("e",))
        return Work(planned=planned, identity=identity, record=record, missing=[])

    asked = cell(compiled="auto")
    assert [work(compiled).request("timing", None).cell.compile for compiled in (True, False)] == ["auto", False]
    assert work(False).request("memory", None).cell.compile == "auto"


def test_compiled_and_eager_cells_are_measured_in_different_processes(cell):
    environments = [Environment.of(Request(part="timing", cell=cell(compiled=c))) for c in (False, True, "auto")]
    assert [one.compiled for one in environments] == [False, True, True]
    assert "torch._inductor.compile_fx" in environments[1].ways()[0]["preload"]
    assert "torch._inductor.compile_fx" not in environments[0].ways()[0]["preload"]
    assert Environment.of(Request(part="judge", cell=cell(compiled=True))).compiled is False


def test_the_profiler_and_the_tracker_see_the_same_memory_of_an_eager_cell(cell, registry):
    bench = load_bench(cell("rk4", "step-checkpoint", compiled=False), registry)
    tracked = memory_part.memory_use(bench)
    profiled = memory_part.by_profiler(bench, *memory_part.passes(bench, bench.start(0)))
    assert (tracked.method, profiled.method) == ("dispatch-tracker", "profiler")
    assert profiled.peak_bytes == pytest.approx(tracked.peak_bytes, rel=0.01)
    assert profiled.forward_bytes == pytest.approx(tracked.forward_bytes, rel=0.01)
    assert profiled.left_bytes == tracked.left_bytes == 0


def test_memory_of_a_compiled_cell_is_that_of_its_warm_passes(cell, measured):
    part = measured(memory_part, cell("rk4", "direct"))
    values = part["values"]
    assert values["memory_method"] == "profiler"
    assert values["memory_peak_bytes"] >= values["memory_forward_bytes"] > 64 * 2 * 8  # a state for each step
    assert values["memory_left_bytes"] == 0


def test_what_a_call_compiles_is_no_sample_and_no_part_of_the_first_call(cell, measured, monkeypatch):
    monkeypatch.setattr(field_graph, "_captures", OrderedDict())
    result = measured(timing, cell(), repeats=2)
    assert result["time_prepare_s"] > result["time_first_s"] > 0
    assert len(result["samples"]["time_total_s"]) == 2
    assert max(result["samples"]["time_total_s"]) < result["time_prepare_s"]
    assert measured(timing, cell(compiled=False), repeats=1)["time_prepare_s"] is None


def test_a_count_that_the_steps_cannot_have_taken_is_an_error(cell, registry):
    bench = load_bench(cell(), registry)
    bench.engine.solves = []
    setting = bench.setting(lambda module: module)
    bench.task.forward(setting, bench.start(0))
    check_told(bench.engine.solves)
    bench.engine.solves[0].stats.evaluations_forward = 255
    with pytest.raises(MeasurementError, match="tells 255 evaluations"):
        check_told(bench.engine.solves)


def test_an_engine_that_may_not_fall_back_raises():
    engine = Engine(True)
    with pytest.raises(CompileError, match="no graph"):
        engine.refuse(CompileError("no graph"))
    assert engine.refusal is None


def test_plugins_that_solve_in_its_place_see_the_opaque_field_alone():
    seen = []

    class Spy:
        def solve(self, solver, field, y0, ts, grid, inputs=()):
            seen.append(field)
            return Solution(ys=y0, grid=None)

    module, engine = torch.nn.Linear(2, 2), Engine("auto")
    field = engine.wrapper(opaque)(module)
    engine.refuse(CompileError("no graph"))
    solution = engine.gradient(Spy()).solve(engine.solver(None), field, torch.zeros(1, 2), (0.0, 1.0), None)
    assert seen == [field]
    assert not isinstance(field, torch.nn.Module)
    assert solution.stats.compile_fallback_reason == "no graph"


SUITE = """
schema = 1
[suite]
name = "both"
[budget]
dtype = "float64"
compile = [false, true]
processes = 1
repeats = 2
timeout = "10m"
[[experiment]]
name = "first"
task = "gradient"
model = "lotka-volterra"
solver = "rk4"
gradient = "step-checkpoint"
steps = 64
"""


@pytest.mark.slow
def test_a_suite_measures_compiled_and_eager_cells_and_tells_when_compilation_has_paid(registry, tmp_path):
    plan = expand(parse_suite(SUITE, tmp_path / "both.toml"), registry, lambda device: None)
    run_plan(plan, tmp_path / "results", registry=registry, cache=tmp_path / "cache")
    frame = load(tmp_path / "results").set_index("compile")
    eager, compiled = frame.loc["false"], frame.loc["true"]
    assert (eager["outcome"], compiled["outcome"]) == ("ok", "ok")
    assert (eager["compiled"], compiled["compiled"]) == (False, True)
    assert compiled["nfe_forward"] == eager["nfe_forward"] == 4 * 64
    assert compiled["grad_error_discrete"] < 1e-13
    assert compiled["error_final"] == pytest.approx(eager["error_final"], rel=1e-9)
    assert (compiled["memory_method"], compiled["memory_left_bytes"]) == ("profiler", 0)
    assert compiled["time_prepare_s"] > 1.0 > compiled["time_first_s"]
    if eager["timing_valid"] and compiled["timing_valid"]:  # else the machine was busy
        saved = eager["time_total_s"] - compiled["time_total_s"]
        assert compiled["break_even_calls"] == pytest.approx(compiled["time_prepare_s"] / saved)
