"""From a plan to records: everything once, in parts, and again only what is missing."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from odebench.errors import RecordError
from odebench.outcome import Outcome
from odebench.plan.plan import Plan
from odebench.records import ResultFolder
from odebench.report.frame import load
from odebench.report.series import load_series
from odebench.run.events import PartFinished, RunStarted
from odebench.run.launch import judged

TWO = """
[[experiment]]
name = "first"
task = "integrate"
model = "plain-decay"
solver = ["honest", "gives-up"]
steps = [8, 16]

[[experiment]]
name = "second"
task = "gradient"
model = "plain-decay"
solver = ["rk4", "dopri5"]
gradient = "direct"
steps = 8
tolerance = 1e-6
"""


@pytest.fixture(scope="module")
def plan(plan_of) -> Plan:
    return plan_of(TWO)


@pytest.fixture
def heard(run, plan):
    """A finished run: its summary and its events."""
    events = []
    return run(plan, on_event=events.append), events


def parts_of(events) -> list[tuple[str, str, int | None]]:
    return [(e.cell.id, e.part, e.round) for e in events if isinstance(e, PartFinished)]


def test_a_run_measures_every_part_of_every_cell_once(heard, plan, tmp_path):
    summary, events = heard
    assert summary.outcomes == {Outcome.OK: 4, Outcome.DIVERGED: 2}
    parts = parts_of(events)
    assert len(parts) == len(set(parts)) == summary.measured == 4 * (1 + 1 + 2) + 2
    assert isinstance(events[0], RunStarted)
    assert (events[0].cells, events[0].kept, events[0].settled, events[0].progress.total) == (6, 0, 0, 24)
    assert (events[-1].progress.done, events[-1].progress.remaining_s) == (24, 0.0)
    assert {outcome for _, outcome, _ in summary.failures} == {Outcome.DIVERGED}
    assert 0 < summary.overhead_s < 10
    timed = [part == "timing" for _, part, _ in parts]
    assert timed == sorted(timed), "timing has the machine to itself"

    frame = load(tmp_path / "results")
    assert set(frame.cell_id) == {planned.cell.id for planned in plan.cells}
    good = frame[frame.outcome == "ok"]
    assert (
        good[["error_final", "nfe_forward", "memory_peak_bytes", "time_total_s", "time_first_s"]].notna().all(axis=None)
    )
    for record in ResultFolder(tmp_path / "results").iter_records():
        if record.outcome is Outcome.OK:
            rounds = record.parts.timing.rounds
            assert [(one.round, len(one.samples["time_total_s"])) for one in rounds] == [(0, 2), (1, 2)]
    gradient = good[good.task == "gradient"]
    assert (gradient.grad_error_discrete < 1e-5).all()
    assert (
        gradient[["grad_error_y0", "grad_error_params", "grad_cosine", "vjps", "time_backward_s"]]
        .notna()
        .all(axis=None)
    )
    assert set(good.reference) == {"closed form"}
    euler = good[(good.solver == "honest")].sort_values("steps").error_final.tolist()
    assert math.log2(euler[0] / euler[1]) == pytest.approx(1.0, abs=0.1), "Euler is of order 1"


def test_a_second_run_finds_nothing_to_do(heard, run, plan, tmp_path):
    files = {path: path.read_bytes() for path in (tmp_path / "results" / "cells").iterdir()}
    events = []
    summary = run(plan, on_event=events.append)
    assert parts_of(events) == [] and summary.measured == 0
    assert (events[0].kept, events[0].progress.total) == (6, 0)
    assert summary.outcomes == heard[0].outcomes
    assert {path: path.read_bytes() for path in (tmp_path / "results" / "cells").iterdir()} == files


def test_a_missing_part_is_filled_and_nothing_else(heard, run, plan, tmp_path):
    path = next(p for p in (tmp_path / "results" / "cells").iterdir() if '"rk4"' in p.read_text())
    data = json.loads(path.read_text())
    kept = data["parts"]["quality"]
    del data["parts"]["memory"], data["parts"]["timing"]["rounds"][0]
    path.write_text(json.dumps(data))
    events = []
    run(plan, on_event=events.append)
    assert [(part, number) for _, part, number in parts_of(events)] == [("memory", None), ("timing", 0)]
    assert json.loads(path.read_text())["parts"]["quality"] == kept


def test_force_measures_anew_and_keeps_the_old(heard, run, plan, tmp_path):
    assert run(plan, force=True).measured == heard[0].measured
    assert len(list(ResultFolder(tmp_path / "results").iter_records(history=True))) == 6


def test_more_rounds_add_to_those_that_are_there(heard, run, plan):
    suite = replace(plan.suite, budget=plan.suite.budget.model_copy(update={"processes": 3}))
    events = []
    run(replace(plan, suite=suite), on_event=events.append)
    assert {(part, number) for _, part, number in parts_of(events)} == {("timing", 2)}


def test_what_planning_settled_is_stored_and_not_run(plan, run, tmp_path):
    first, *others = plan.cells
    settled = replace(first, outcome=Outcome.UNSUPPORTED, reason="This machine has no such device.")
    summary = run(replace(plan, cells=(settled, *others[3:4])))
    assert summary.outcomes[Outcome.UNSUPPORTED] == 1
    frame = load(tmp_path / "results").set_index("cell_id")
    assert frame.reason[first.cell.id] == "This machine has no such device."


def test_a_cell_waits_for_what_it_needs_and_falls_with_it(plan, run, tmp_path):
    by_solver = {planned.cell.solver.name: planned for planned in plan.cells}
    good, bad = by_solver["honest"], by_solver["gives-up"]

    def needing(*ids: str):
        return replace(good, cell=replace(good.cell, needs=ids, seed=len(ids[0]) + len(ids)))

    follows, falls, lost = needing(good.cell.id), needing(bad.cell.id, good.cell.id), needing("0" * 15)
    summary = run(replace(plan, cells=(follows, falls, lost, good, bad)))
    assert summary.outcomes == {Outcome.OK: 2, Outcome.BLOCKED: 2, Outcome.DIVERGED: 1}
    frame = load(tmp_path / "results").set_index("cell_id")
    why = f"It needs the cell {bad.cell.id}, which ended as diverged: The step size fell below its minimum at t = 0."
    assert frame.reason[falls.cell.id] == why
    assert frame.reason[lost.cell.id] == f"It needs the cell {'0' * 15}, which is not in the plan."


def test_interrupting_keeps_what_had_ended(plan, run, tmp_path):
    seen = []

    def stop(event):
        seen.append(event)
        if isinstance(event, PartFinished) and event.progress.done >= 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(plan, on_event=stop, executors=None)
    done = parts_of(seen)
    events = []
    run(plan, on_event=events.append)
    assert done and not set(done) & set(parts_of(events)), "nothing is measured twice"
    assert len(load(tmp_path / "results")) == 6


def test_two_runs_at_once_are_refused(plan, run):
    def second(event):
        if isinstance(event, RunStarted):
            with pytest.raises(RecordError, match="another run is writing here"):
                run(plan)

    run(replace(plan, cells=plan.cells[:1]), on_event=second)


def test_a_broken_model_costs_its_own_cells(plan_of, run, tmp_path):
    plan = plan_of(
        """
        [[experiment]]
        name = "both"
        task = "integrate"
        model = ["plain-decay", "no-reference"]
        solver = "honest"
        steps = 8
        """
    )
    run(plan)
    frame = load(tmp_path / "results").set_index("model")
    assert frame.outcome["plain-decay"] == "ok"
    assert frame.outcome["no-reference"] == "error"
    assert frame.reason["no-reference"] == "Its answer could not be judged: ZeroDivisionError: division by zero"
    assert frame.nfe_forward["no-reference"] == 8, "what was measured is kept"


def test_a_judgement_adds_to_what_was_counted():
    quality = {"outcome": "ok", "reason": None, "values": {"nfe_forward": 3}, "reasons": {"a": "b"}, "fingerprints": {}}
    judgement = {"outcome": "ok", "reason": None, "values": {"error_final": None}, "reasons": {"error_final": "why"}}
    merged = judged(quality, judgement)
    assert merged["values"] == {"nfe_forward": 3, "error_final": None}
    assert merged["reasons"] == {"a": "b", "error_final": "why"}
    crashed = judged(quality, {"outcome": "crashed", "reason": "Its process was killed by SIGSEGV."})
    assert (crashed["outcome"], crashed["values"]) == ("crashed", {"nfe_forward": 3})
    assert crashed["reason"] == "Its answer could not be judged: Its process was killed by SIGSEGV."


def test_the_machine_the_versions_and_the_suite_are_written_down(heard, plan, tmp_path):
    folder = ResultFolder(tmp_path / "results")
    run_file = folder.read_run()
    assert run_file.text == plan.suite.text and {"odebench", "torch"} <= set(run_file.plugins)
    (machine,) = folder.read_machines().values()
    assert machine["cpu_model"] == "of the tests"
    assert Path(tmp_path / "cache").exists()


def test_images_of_a_round_trip_are_kept_beside_its_record(run, plan_of, tmp_path):
    text = """
    [[experiment]]
    name = "there and back"
    task = "reversibility"
    model = { name = "conv-field", size = 5, channels = 2, batch = 2 }
    solver = "euler"
    steps = [1, 2]
    """
    run(plan_of(text))
    frame, series = load(tmp_path / "results"), load_series(tmp_path / "results")
    assert series.groupby("cell_id").size().to_dict() == dict.fromkeys(frame.cell_id, 25)
    # The first channel of the first image is a part of what the error is about, and of one kind with it.
    assert ((series.returned - series.initial).abs().groupby(series.cell_id).max() > 0).all()


def test_an_answer_that_has_underflowed_is_not_called_remembered(run, plan_of, tmp_path):
    text = """
    [[experiment]]
    name = "nothing is left"
    task = "reversibility"
    model = { name = "linear", matrix = "decay", dim = 1, rate = 100.0, batch = 1, span = 1.0 }
    solver = "euler"
    steps = 256
    """
    run(plan_of(text))
    (row,) = load(tmp_path / "results").to_dict("records")
    assert (row["outcome"], row["dtype"]) == ("ok", "float32")
    assert row["roundtrip_factor"] < 1.2e-38, (
        "(1 - (100 / 256)²)^256 is 3.8e-19, and what remains here is below the normal numbers"
    )
