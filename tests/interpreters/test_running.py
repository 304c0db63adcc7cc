"""Cells of plugins in two interpreters are measured side by side, in one suite with one report."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from odebench.errors import NotKnownError
from odebench.outcome import Outcome
from odebench.plan.cell import Cell, Choice
from odebench.plan.expand import expand
from odebench.plan.suite import parse_suite
from odebench.records import Record, ResultFolder
from odebench.report.frame import load
from odebench.report.provenance import facts
from odebench.report.sources import sources_of
from odebench.report.trust import remarks
from odebench.run import executors
from odebench.run.events import PartStarted
from odebench.run.executors import Executors
from odebench.run.launch import run_plan
from odebench.run.message_home import MessageHome, problem_print
from odebench.run.replay_there import replayed_there
from odebench.run.request import Request
from tests.interpreters import environments

SUITE = """schema = 1
[suite]
name = "conflict"
[budget]
processes = 1
repeats = 2
dtype = "float64"
[[experiment]]
name = "solutions"
task = "integrate"
model = "logistic"
solver = ["euler", "fancyone/euler"]
steps = 8
[[experiment]]
name = "a model of theirs"
task = "integrate"
model = "fancytwo/decay"
solver = ["fancyone/euler", "fancytwo/midpoint"]
steps = 8
[[experiment]]
name = "gradients"
task = "gradient"
model = "logistic"
solver = ["fancyone/euler", "fancytwo/heun"]
gradient = "direct"
steps = 8
"""
ONE_CELL = SUITE.partition('[[experiment]]\nname = "a model')[0].replace(
    '["euler", "fancyone/euler"]', '"fancyone/euler"'
)


@pytest.fixture(scope="module")
def at_work():
    """One for all tests: a supervisor takes seconds to start."""
    with Executors() as executors:
        yield executors


@pytest.fixture(scope="module")
def results(wide, at_work, tmp_path_factory) -> Path:
    """A folder with the results of the suite; on the way somebody ends the supervisor of one of the interpreters."""
    folder = tmp_path_factory.mktemp("results")
    plan = expand(parse_suite(SUITE, "conflict.toml"), wide, lambda device: None)
    ended = []

    def end_one(event) -> None:
        if isinstance(event, PartStarted) and event.part == "timing" and event.cell.solver.name == "fancyone/euler":
            for server in at_work._servers if not ended else ():
                if server.environment.prefixes == ("fancyone",) and not server.environment.judging:
                    os.kill(server.connection._process.pid, signal.SIGKILL)
                    ended.append(event.cell.id)

    run_plan(plan, folder, registry=wide, executors=at_work, cache=folder / "cache", on_event=end_one)
    assert ended
    return folder


def records(folder: Path) -> dict[tuple[str, str, str], Record]:
    found = {}
    for record in ResultFolder(folder).iter_records():
        assert isinstance(record, Record), record
        cell = record.cell
        found[cell["task"]["name"], cell["model"]["name"], cell["solver"]["name"]] = record
    return found


@pytest.mark.slow
def test_all_cells_that_one_interpreter_can_measure_are_measured(results):
    """Also those of the interpreter that was ended in the middle: what it was at is done again."""
    found = {names: record.outcome for names, record in records(results).items()}
    apart = [("integrate", "fancytwo/decay", "fancyone/euler")]
    assert [names for names, outcome in found.items() if outcome is Outcome.UNSUPPORTED] == apart
    assert [names for names, outcome in found.items() if outcome is not Outcome.OK] == apart
    assert len(found) == 6


@pytest.mark.slow
def test_answers_of_elsewhere_are_judged_as_those_of_here_are(results):
    """Euler's method is Euler's method, whoever takes its steps."""
    found = records(results)
    here, there = (found["integrate", "logistic", name].parts.quality.values for name in ("euler", "fancyone/euler"))
    for column in ("error_final", "error_trajectory_rms", "nfe_forward", "reference_digits"):
        assert there[column] == pytest.approx(here[column], rel=1e-12)
    midpoint = found["integrate", "fancytwo/decay", "fancytwo/midpoint"].parts.quality.values
    z = -1 / 8
    assert midpoint["error_final"] == pytest.approx(abs((1 + z + z * z / 2) ** 8 / math.exp(-1) - 1), rel=1e-9)


@pytest.mark.slow
def test_only_what_a_model_there_gives_is_judged_there(results, at_work, homes):
    """References of all other problems are made where the launcher is, by what the solvers that are judged cannot reach."""
    judging = [server.environment for server in at_work._servers if server.environment.judging]
    assert {(one.interpreter, one.prefixes) for one in judging} == {
        (None, ()), (str(homes["fancytwo"]), ("fancytwo",)),
    }  # fmt: skip


@pytest.mark.slow
def test_steps_are_replayed_from_a_tableau_here_and_by_the_solver_itself_there(results):
    """Both say that autograd through the steps is exact for them."""
    found = records(results)
    for solver in ("fancytwo/heun", "fancyone/euler"):
        values = found["gradient", "logistic", solver].parts.quality.values
        assert values["grad_error_discrete"] < 1e-13 < values["grad_error_params"]


@pytest.mark.slow
def test_each_record_and_the_report_tell_the_environment(results, homes):
    found = records(results)
    one = found["integrate", "logistic", "fancyone/euler"].versions
    two = found["integrate", "fancytwo/decay", "fancytwo/midpoint"].versions
    assert (one["fancysolver"], two["fancysolver"]) == ("1.0", "2.0")
    assert "python" in one and "python" not in found["integrate", "logistic", "euler"].versions
    run = ResultFolder(results).read_run()
    assert [other.plugins for other in run.interpreters] == [("fancyone",), ("fancytwo",)]
    assert "fancysolver" not in run.plugins
    (source,) = sources_of([results])
    told = dict(facts(source))
    for plugin, version in (("fancyone", "1.0"), ("fancytwo", "2.0")):
        assert f"fancysolver {version}" in told[f"interpreter of {plugin}"]
        # The name of whoever runs the tests is not stored, and stands in the folder of temporary files.
        assert f"/{homes[plugin].relative_to(homes[plugin].parents[2])} " in f"{told['command']} "
        assert f"--interpreter {plugin}=" in told["command"]
    said = [remark.text for remark in remarks(source.frame) if "another interpreter" in remark.text]
    assert len(said) == 1 and said[0].startswith("4 of 5 cells were measured in another interpreter (CPython ")
    assert said[0].endswith("with the same torch as the rest.")
    frame = load(results)
    shown = frame.loc[frame["solver"] == "fancytwo/midpoint", "plugin_versions"]
    assert shown.str.contains("fancysolver 2.0, .*python CPython").all()


@pytest.mark.slow
def test_running_again_measures_nothing(results, wide, at_work):
    plan = expand(parse_suite(SUITE, "conflict.toml"), wide, lambda device: None)
    again = run_plan(plan, results, registry=wide, executors=at_work, cache=results / "cache")
    assert again.measured == 0


@pytest.fixture
def cell() -> Cell:
    """Euler's method on a small problem."""
    return Cell(
        task=Choice(name="integrate"), model=Choice(name="logistic"), solver=Choice(name="euler"), gradient=None,
        grid={"steps": 4}, device="cpu", dtype="float64", threads=1, seed=0,
    )  # fmt: skip


@pytest.mark.parametrize("way", ["is not there", "ends at once", "hangs"])
def test_an_interpreter_that_does_not_come_up_costs_its_own_cells_and_they_are_asked_again(
    tmp_path, monkeypatch, at_work, cell, way
):
    monkeypatch.setattr(executors, "FOREIGN_START_LIMIT_S", 0.5)
    python = tmp_path / "python"
    if way != "is not there":
        environments.script(python, {"ends at once": "echo no licence; exit 3\n", "hangs": "exec sleep 60\n"}[way])
    for _ in range(2):  # The second time nothing is started any more.
        at_work.submit(Request(part="quality", cell=cell, interpreter=str(python)), 20.0)
    ended = []
    while len(ended) < 2:
        ended += at_work.wait(20.0)
    for one in ended:
        at_work.forget(one.folder)
        assert (one.result["outcome"], one.result["curable"]) == ("error", True)
    said = {
        "is not there": f"The interpreter {python} cannot be started: No such file or directory.",
        "ends at once": f"The interpreter {python} ended at once when it was started to measure. It said: no licence Try: ",
        "hangs": f"The interpreter {python} did not come up in 0.5 s when it was started to measure. Try: ",
    }[way]
    assert all(one.result["reason"].startswith(said) for one in ended)


def test_cells_of_an_interpreter_that_went_are_measured_when_it_is_back(wide, homes, tmp_path, at_work):
    """Between planning and measuring its folder goes, and comes back for the next run."""
    plan = expand(parse_suite(ONE_CELL, "conflict.toml"), wide, lambda device: None)
    folder, cache, home = tmp_path / "results", tmp_path / "cache", homes["fancyone"].parents[1]
    home.rename(tmp_path / "aside")
    try:
        run_plan(plan, folder, registry=wide, cache=cache)
    finally:
        (tmp_path / "aside").rename(home)
    (lost,) = records(folder).values()
    assert (lost.outcome, lost.curable) == (Outcome.ERROR, True)
    assert run_plan(plan, folder, registry=wide, cache=cache, executors=at_work).outcomes == {Outcome.OK: 1}


def test_a_replay_that_fails_there_is_a_reason(tmp_path, cell):
    python = environments.script(tmp_path / "python", "echo no licence >&2; exit 3\n")
    message = MessageHome(
        solver="fancy", coefficients=None, has_step=True, problem={}, torch="2.0", interpreter=str(python), prefixes=[],
        local_files=[],
    )  # fmt: skip
    with pytest.raises(
        NotKnownError, match=f"replayed in the interpreter {python}: it ended with exit code 3: no licence"
    ):
        replayed_there(message, cell, tmp_path, tmp_path)


def test_another_problem_from_the_same_seed_is_no_problem_that_is_known_here():
    import torch

    from odebench.errors import MeasurementError
    from odebench.plugins import build_registry

    problem = build_registry(prefixes=()).get("model", "logistic").build().problem(0)
    message = MessageHome(
        solver="fancy", coefficients=None, has_step=False, problem=problem_print(problem), torch="2.0",
        interpreter="/python", prefixes=[], local_files=[],
    )  # fmt: skip
    message.refuse_another(problem)
    # A unit in the last place is what another build of torch may do, and not what another problem is.
    message.refuse_another(replace(problem, y0=problem.y0 * (1 + 2e-16)))
    other = replace(problem, y0=problem.y0 + 0.01 * torch.rand(problem.y0.shape))
    with pytest.raises(
        MeasurementError, match="The same seed gave another problem .*torch 2.0 there.*initial state is off"
    ):
        message.refuse_another(other)


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on_and_leaves_nobody_behind(results, homes, tmp_path):
    suite, out = tmp_path / "conflict.toml", tmp_path / "out"
    suite.write_text(ONE_CELL.replace("processes = 1", "processes = 6"))
    command = [
        sys.executable, "-m", "odebench", "run", str(suite), "--into", str(out), "--no-report", "--json",
        f"--interpreter=fancyone={homes['fancyone']}",
    ]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(environments.ROOT)}
    others = _running(str(homes["fancyone"]))
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def rounds() -> int:
        found = records(out).values() if (out / "cells").is_dir() else ()
        return sum(len(record.parts.timing.rounds) for record in found if record.parts.timing)

    until = time.monotonic() + 120
    while not rounds() and time.monotonic() < until:
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert 0 < rounds() < 6
    while (left := set(_running(str(homes["fancyone"]))) - set(others)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not left, "the supervisor there dies with the launcher, and its children with it"
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    summary = json.loads(done.stdout)
    assert (summary["outcomes"], rounds()) == ({"ok": 1}, 6)
    assert summary["measured"] < 6, "what had ended is kept"
    (record,) = records(out).values()
    expected = records(results)["integrate", "logistic", "fancyone/euler"]
    assert (record.parts.quality.values, record.freshness) == (expected.parts.quality.values, expected.freshness)


def _running(word: str) -> list[str]:
    """Command lines of running processes that begin with a word."""
    lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            lines.append(file.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return [line for line in lines if line.startswith(f"{word} ")]
