"""Studies in a run: trainings are done once, found again by other runs and suites, and go on where they were."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from odebench import load, load_series
from odebench.contract.study import CHECKPOINT
from odebench.outcome import Outcome
from odebench.plan.expand import expand
from odebench.plan.plan import Plan
from odebench.plan.suite import parse_suite
from odebench.plugins import Registry, build_registry
from odebench.run.artefacts import UNDER_WAY, Artefacts
from odebench.run.events import Notice, PartFinished, PartProgress, PartStarted, RunStarted
from odebench.run.identity import identities_of
from odebench.run.launch import run_plan
from tests.run.conftest import MACHINE

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
LESSONS = HERE / "lessons.py"
HEAD = """
schema = 1
[suite]
name = "lessons"
[budget]
timeout = "60s"
memory = "1GiB"
"""
TRAINING = """
[[experiment]]
name = "training"
task = {{ name = "hasty-train", iterations = {iterations}, batch = 16, learning_rate = 0.05 }}
model = {{ name = "small-lesson", pause_s = {pause_s}, bytes_each = {bytes_each}, steep = {steep} }}
solver = "euler"
gradient = "direct"
steps = {steps}
seed = {seed}
"""
SWAPS = """
[[experiment]]
name = "swaps"
task = "swap"
trained = "training"
solver = ["euler", "midpoint"]
factor = [0.5, 1.0]
"""
#: Columns that a clock made.
CLOCKS = ["time_iteration_s", "missing"]


def training(iterations=30, pause_s=0.0, bytes_each=0, steep=0.0, steps="[2, 4]", seed="[0]", more=SWAPS) -> str:
    return HEAD + TRAINING.format(**{k: v for k, v in locals().items() if k != "more"}) + more


@pytest.fixture(scope="module")
def registry() -> Registry:
    return build_registry(prefixes=[], local_files=[LESSONS], strict=True)


@pytest.fixture(scope="module")
def plan_of(registry):
    return lambda text: expand(parse_suite(text, HERE / "lessons.toml"), registry, lambda device: None)


@pytest.fixture
def go(registry, executors, tmp_path):
    """Runs a plan into a folder below the test's own; gives the summary and the events."""

    def go(plan: Plan, name: str = "lessons", on_event: Any = None, **more: Any):
        events = []

        def hear(event):
            events.append(event)
            if on_event is not None:
                on_event(event)

        where = {"machine": MACHINE, "cache": tmp_path / "cache", "executors": executors}
        summary = run_plan(plan, tmp_path / name, registry=registry, on_event=hear, **(where | more))
        return summary, events

    return go


def started(events) -> list[str]:
    return [event.cell.task.name for event in events if isinstance(event, PartStarted)]


def notices(events) -> list[str]:
    return [event.text for event in events if isinstance(event, Notice)]


def artefact_of(plan, registry, folder, task="hasty-train", place=0):
    cell = [planned.cell for planned in plan.cells if planned.cell.task.name == task][place]
    identities = identities_of((planned.cell for planned in plan.cells), registry)
    return Artefacts(folder, MACHINE.id).of(cell.id, identities[cell.id].freshness)


def figures(folder) -> Any:
    frame = load(folder).sort_values("cell_id").reset_index(drop=True)
    return frame[[name for name in frame if name not in CLOCKS and not name.startswith("trained.time")]]


def test_what_is_removed_at_the_end_is_what_the_contract_names():
    assert UNDER_WAY == CHECKPOINT


def test_trainings_and_what_needs_them(go, plan_of, tmp_path):
    """One run: all columns, all series, swaps from the weights that were left, and nothing of a checkpoint."""
    plan = plan_of(training())
    summary, events = go(plan)
    assert summary.outcomes == {Outcome.OK: 2 + 8} and summary.measured == 10
    order = started(events)
    assert order.index("swap") >= 1 and order.count("hasty-train") == 2

    frame = load(tmp_path / "lessons")
    trained, swaps = frame[frame.task == "hasty-train"], frame[frame.task == "swap"]
    assert trained[["accuracy_test", "nfe_mean", "weights_sha256", "time_iteration_s"]].notna().all(axis=None)
    assert (trained.accuracy_test > 0.7).all(), "something was learnt"
    assert (trained.nfe_mean == trained.steps).all() and (trained.nfe_method == "counted").all()
    assert trained.weights_sha256.nunique() == 2
    same = swaps[(swaps.solver == "euler") & (swaps.factor == 1.0)]
    assert len(same) == 2 and (same.accuracy_change == 0).all() and (same.changed_answers == 0).all()
    assert (same.nfe_forward == same["trained.steps"]).all()
    finer = swaps[(swaps.solver == "midpoint") & (swaps.factor == 0.5)]
    assert (finer.nfe_forward == 2 * 2 * finer["trained.steps"]).all()

    series = load_series(tmp_path / "lessons")
    assert series.groupby("cell_id").size().to_dict() == dict.fromkeys(trained.cell_id, 30)
    left = {file.name for file in (tmp_path / "artifacts").rglob("*") if file.is_file() and file.suffix != ".lock"}
    assert left == {"result.json", "series.npz", "weights.pt", "training.pt"}

    again, events = go(plan)
    assert again.measured == 0 and started(events) == [] and again.outcomes == summary.outcomes


def test_a_training_is_done_once_for_two_suites(go, plan_of, tmp_path):
    plan = plan_of(training())
    go(plan)
    text = (
        training().replace('name = "lessons"', 'name = "other"').replace("factor = [0.5, 1.0]", "factor = [0.25, 1.0]")
    )
    summary, events = go(plan_of(text), "other")
    assert set(started(events)) == {"swap"} and len(started(events)) == 4, "those with a factor that is new"
    assert summary.measured == 4 and next(e.kept for e in events if isinstance(e, RunStarted)) == 2 + 4
    first, second = load(tmp_path / "lessons"), load(tmp_path / "other")
    for name in ("weights_sha256", "accuracy_test", "time_iteration_s"):
        ours = first[first.task == "hasty-train"].set_index("cell_id")[name]
        assert second[second.task == "hasty-train"].set_index("cell_id")[name].to_dict() == ours.to_dict()
    assert load_series(tmp_path / "other").equals(load_series(tmp_path / "lessons"))


def test_force_trains_anew(go, plan_of, registry, tmp_path):
    plan = plan_of(training())
    go(plan)
    before = artefact_of(plan, registry, tmp_path / "lessons").folder / "result.json"
    then = before.stat().st_mtime_ns
    summary, events = go(plan, force=True)
    assert sorted(started(events)) == ["hasty-train"] * 2 + ["swap"] * 8 and summary.measured == 10
    assert before.stat().st_mtime_ns > then
    assert load(tmp_path / "lessons").weights_sha256.nunique() == 2


def test_a_failed_training_blocks_what_needs_it_with_its_reason(go, plan_of, tmp_path):
    plan = plan_of(training(steep=1e30))
    summary, _ = go(plan)
    assert summary.outcomes == {Outcome.DIVERGED: 2, Outcome.BLOCKED: 8}
    frame = load(tmp_path / "lessons").set_index("cell_id")
    failed = frame[frame.task == "hasty-train"]
    assert failed.reason.str.fullmatch(r"The loss of iteration 1 is nan\.").all()
    for _, row in frame[frame.task == "swap"].iterrows():
        need = row["needs"] if "needs" in frame else failed.index[0]
        assert row.reason.startswith("It needs the cell ") and need
        assert row.reason.endswith(", which ended as diverged: The loss of iteration 1 is nan.")
    assert set(load_series(tmp_path / "lessons").cell_id) == set(failed.index), "its series is kept"

    again, events = go(plan_of(training(steep=1e30).replace('"lessons"', '"other"')), "other")
    assert started(events) == ["hasty-train", "hasty-train"], "what failed is not found again"
    assert again.outcomes == summary.outcomes


@pytest.mark.parametrize("name", ["weights.pt", "series.npz"])
def test_what_was_damaged_is_put_aside_and_made_again(go, plan_of, registry, tmp_path, name):
    plan = plan_of(training(steps="[2]"))
    go(plan)
    whole = figures(tmp_path / "lessons")
    file = artefact_of(plan, registry, tmp_path / "lessons").folder / name
    file.write_bytes(file.read_bytes()[:-40])
    new = plan_of(training(steps="[2]").replace("factor = [0.5, 1.0]", "factor = [0.5, 1.0, 2.0]"))
    summary, events = go(new)
    assert started(events) == ["hasty-train", "swap", "swap"]
    (said,) = notices(events)
    assert f"{name}: it has {file.stat().st_size - 40} bytes instead of {file.stat().st_size}" in said
    assert "was put aside. The study is done again." in said and (file.parent / f"broken-{name}").exists()
    assert summary.outcomes == {Outcome.OK: 7}
    frame = figures(tmp_path / "lessons")
    kept = frame[frame.cell_id.isin(whole.cell_id)].reset_index(drop=True)
    assert kept.weights_sha256.dropna().tolist() == whole.weights_sha256.dropna().tolist()


def test_artefacts_that_are_gone_are_made_again_only_where_something_needs_them(go, plan_of, tmp_path):
    plan = plan_of(training(steps="[2]"))
    go(plan)
    shutil.rmtree(tmp_path / "artifacts")
    summary, events = go(plan)
    assert started(events) == [] and summary.measured == 0
    new = plan_of(training(steps="[2]").replace("factor = [0.5, 1.0]", "factor = [2.0]"))
    summary, events = go(new)
    assert started(events) == ["hasty-train", "swap", "swap"] and summary.outcomes == {Outcome.OK: 3}


def test_another_run_is_waited_for_and_its_training_taken(go, plan_of, registry, tmp_path):
    plan = plan_of(training(steps="[2]"))
    go(plan, "elsewhere/lessons")
    held, theirs = (artefact_of(plan, registry, tmp_path / place) for place in ("lessons", "elsewhere/lessons"))
    assert held.claim() is None

    def finish(event):
        if isinstance(event, Notice):
            shutil.copytree(theirs.folder, held.folder, dirs_exist_ok=True)
            held.release()

    summary, events = go(plan, on_event=finish)
    (said,) = notices(events)
    assert f"another run is doing it (process {os.getpid()} on " in said and "Waiting for that." in said
    assert started(events) == ["swap"] * 4 and summary.measured == 4
    done = [event.cell.task.name for event in events if isinstance(event, PartFinished)]
    assert done[0] == "hasty-train" and summary.outcomes == {Outcome.OK: 5}


def test_a_run_that_gave_up_leaves_its_training_to_the_one_that_waits(go, plan_of, registry, tmp_path):
    plan = plan_of(training(steps="[2]", more=""))
    held = artefact_of(plan, registry, tmp_path / "lessons")
    assert held.claim() is None
    summary, events = go(plan, on_event=lambda event: held.release() if isinstance(event, Notice) else None)
    assert started(events) == ["hasty-train"] and summary.outcomes == {Outcome.OK: 1} and len(notices(events)) == 1


def test_progress_is_told_while_a_training_runs(go, plan_of):
    _, events = go(plan_of(training(iterations=150, pause_s=0.005, steps="[2]", more="")))
    told = [event for event in events if isinstance(event, PartProgress)]
    assert len(told) >= 3
    assert all(event.total == 150 and 0 < event.done <= 150 and 0 < event.loss < 2 for event in told)
    assert [event.done for event in told] == sorted({event.done for event in told})
    assert told[0].remaining_s is None
    half = next(event for event in told if event.done > 50)
    assert 0 < half.remaining_s < 10 and half.progress.remaining_s == pytest.approx(half.remaining_s, rel=0.5)


def test_a_study_that_ran_into_its_time_limit_goes_on_in_the_next_run(go, plan_of, tmp_path):
    # Two evaluations of 30 ms in each of 60 iterations: 3.6 s on any machine, which two runs of 1.5 s cannot do.
    text = training(iterations=60, pause_s=0.03, steps="[2]", more="")
    whole, _ = go(plan_of(text), "whole/lessons")
    assert whole.outcomes == {Outcome.OK: 1}
    limited = plan_of(text.replace('"60s"', '"1500ms"'))
    outcomes = []
    for _ in range(20):
        summary, _ = go(limited)
        outcomes += list(summary.outcomes)
        if outcomes[-1] is Outcome.OK:
            break
    assert outcomes[0] is Outcome.TIMEOUT and outcomes[-1] is Outcome.OK and len(outcomes) > 2
    names = ["weights_sha256", "loss_test", "nfe_training"]
    assert load(tmp_path / "lessons")[names].equals(load(tmp_path / "whole" / "lessons")[names])


def test_a_training_whose_process_was_killed_goes_on_in_the_next_run(go, plan_of, tmp_path):
    """As the system does where memory runs out, and whoever stops what takes too long."""
    text = training(iterations=60, pause_s=0.02, steps="[2]", more="")
    go(plan_of(text), "whole/lessons")
    plan = plan_of(text)
    mine = {int(pid) for pid in _children(os.getpid())}
    killed = []

    def kill(event):
        if isinstance(event, PartProgress) and event.done > 20 and not killed:
            workers = [pid for pid in _descendants(os.getpid()) if not _children(pid) and pid not in mine]
            killed.extend(workers[-1:])
            os.kill(killed[0], signal.SIGKILL)

    assert go(plan, on_event=kill)[0].outcomes == {Outcome.CRASHED: 1}
    summary, events = go(plan)
    assert summary.outcomes == {Outcome.OK: 1}
    assert next(event for event in events if isinstance(event, PartProgress)).done > 1
    names = ["weights_sha256", "loss_test", "nfe_training"]
    assert load(tmp_path / "lessons")[names].equals(load(tmp_path / "whole" / "lessons")[names])
    assert go(plan)[0].measured == 0


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _descendants(pid: int) -> list[int]:
    return [found for child in _children(pid) for found in (child, *_descendants(child))]


def test_a_training_that_asks_for_too_much_memory_is_told_so(go, plan_of, tmp_path):
    summary, _ = go(plan_of(training(bytes_each=2**31, steps="[2]", more="")))
    assert summary.outcomes == {Outcome.OUT_OF_MEMORY: 1}


def test_what_failed_because_data_were_not_there_is_done_when_they_are(go, plan_of, tmp_path):
    file = tmp_path / "data"
    plan = plan_of(
        HEAD + f'[[experiment]]\nname = "x"\ntask = {{ name = "needs-a-file", file = "{file}" }}\n'
        'model = "small-lesson"\nsolver = "euler"\nsteps = 1\n'
    )
    assert go(plan)[0].outcomes == {Outcome.ERROR: 1}
    file.touch()
    assert go(plan)[0].outcomes == {Outcome.OK: 1}
    assert go(plan)[0].measured == 0


def test_the_field_of_a_study_is_opaque_and_counted(go, plan_of, tmp_path):
    go(
        plan_of(
            HEAD + '[[experiment]]\nname = "x"\ntask = "looks"\nmodel = "small-lesson"\nsolver = "euler"\nsteps = 1\n'
        )
    )
    (row,) = load(tmp_path / "lessons").to_dict("records")
    assert (row["outcome"], row["sees"], row["counted"]) == ("ok", "modules parameters", 1)
    assert row["kind"] == "OpaqueField"


def test_a_study_that_changes_global_state_is_an_error_with_its_figures(go, plan_of, tmp_path):
    text = HEAD + '[[experiment]]\nname = "x"\ntask = "spoils"\nmodel = "small-lesson"\nsolver = "euler"\nsteps = 1\n'
    _, events = go(plan_of(text))
    (row,) = load(tmp_path / "lessons").to_dict("records")
    assert row["outcome"] == "error" and "torch's default dtype" in row["reason"] and row["answer"] == 42
    record = json.loads(next((tmp_path / "lessons" / "cells").iterdir()).read_text())
    assert record["parts"]["quality"]["reasons"]["far"] == "It is inf."
    assert "It was in a hurry." in notices(events)[0]


LAUNCHER = """
import sys
from odebench.plan.expand import expand
from odebench.plan.suite import read_suite
from odebench.plugins import build_registry
from odebench.run.events import PartFinished, PartProgress
from odebench.run.launch import run_plan
from tests.run.conftest import MACHINE

def tell(event):
    if isinstance(event, PartProgress):
        print(event.done, flush=True)

registry = build_registry(prefixes=[], local_files=[sys.argv[3]])
plan = expand(read_suite(sys.argv[1]), registry, lambda device: None)
run_plan(plan, sys.argv[2], registry=registry, on_event=tell, machine=MACHINE)
"""


@pytest.mark.slow
def test_a_run_that_is_killed_in_a_training_goes_on_to_the_same_weights(plan_of, go, tmp_path):
    """SIGKILL of the launcher, twice: its children die with it, and the training goes on from its last checkpoint."""
    text = training(iterations=400, pause_s=0.004, steps="[2]")
    go(plan_of(text), "whole/lessons")
    suite, folder = tmp_path / "lessons.toml", tmp_path / "killed" / "lessons"
    suite.write_text(text)
    reached = []
    for kill in range(2):
        process = subprocess.Popen(
            [sys.executable, "-c", LAUNCHER, str(suite), str(folder), str(LESSONS)],
            stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        first = int(process.stdout.readline())
        for line in process.stdout:
            if int(line) > first + 25:
                break
        process.send_signal(signal.SIGKILL)
        process.communicate()
        reached.append(first)
        assert not list((folder / "cells").iterdir()), f"kill {kill}: it was not finished"
    assert 1 < reached[1] > reached[0], "the second run went on"
    time.sleep(0.5)  # Until the children of the last one are gone too.
    go(plan_of(text), "killed/lessons")
    assert figures(folder).equals(figures(tmp_path / "whole" / "lessons"))
    series = [load_series(place).drop(columns="time_s") for place in (folder, tmp_path / "whole" / "lessons")]
    assert series[0].equals(series[1])
