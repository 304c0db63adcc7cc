"""`odebench run`, on suites that take seconds; what happens inside of a run is tested where it is made."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import odebench
from tests.cli.conftest import TINY


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, subprocess.CompletedProcess[str]]:
    """The tiny suite, the folder of its results, and the process that ran it, in a folder of its own."""
    home = tmp_path_factory.mktemp("run")
    suite = home / "tiny.toml"
    suite.write_text(TINY)
    done = subprocess.run(
        [sys.executable, "-m", "odebench", "run", str(suite)], capture_output=True, text=True, cwd=home, check=False
    )
    return suite, home / "results" / "tiny", done


def test_a_run_ends_with_a_table_counts_and_the_path_of_its_report(finished):
    _, folder, done = finished
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["question", "answer", "cost", "can", "it", "be", "trusted?"]
    assert re.fullmatch(r"3 cells: 2 ok, 1 unsupported; 6 parts measured in .* s\.", lines[-3])
    assert lines[-1].split() == ["Report:", "results/tiny/report/index.html"]
    assert (folder / "report" / "index.html").is_file()


def test_times_of_one_process_are_called_indicative(finished):
    _, folder, done = finished
    frame = odebench.load(folder)
    if frame["timing_valid"].fillna(False).all():  # A loaded machine has no times to show.
        assert "(indicative)" in done.stdout


def test_what_did_not_end_ok_is_shown_with_its_reason(finished):
    _, _, done = finished
    assert "The device 'mars' is not known" in done.stdout


def test_progress_goes_to_stderr(finished):
    _, _, done = finished
    assert "3 cells, 1 not to be run, 6 parts to measure" in done.stderr
    assert "parts to measure" not in done.stdout


def test_the_tables_are_there(finished):
    _, folder, _ = finished
    frame = odebench.load(folder)
    assert sorted(frame["outcome"]) == ["ok", "ok", "unsupported"]
    assert (folder / "records.csv").read_text().count("\n") == 4
    assert (folder / "records.parquet").is_file()


def test_running_again_measures_nothing(call, finished):
    suite, folder, _ = finished
    before = {path: path.stat().st_mtime_ns for path in (folder / "cells").iterdir()}
    result = call("run", suite, "--into", folder, "--no-report", "--json")
    told = json.loads(result.stdout)
    assert result.exit_code == 0
    assert told["measured"] == 0
    assert told["outcomes"] == {"ok": 2, "unsupported": 1}
    assert told["report"] is None
    assert told["failures"][0]["reason"].startswith("The device 'mars'")
    assert {answer["answer"] for answer in told["headline"]} >= {"rk4"}
    assert before == {path: path.stat().st_mtime_ns for path in (folder / "cells").iterdir()}


def test_strict_fails_where_a_cell_is_not_ok(call, finished):
    suite, folder, _ = finished
    assert call("run", suite, "--into", folder, "--no-report", "--strict").exit_code == 1


def test_a_plan_sees_what_is_done_and_what_one_more_round_takes(call, finished):
    suite, folder, _ = finished
    told = json.loads(call("plan", suite, "--into", folder, "--json").output)
    assert [cell["state"] for cell in told["cells"]] == ["done", "done", "unsupported"]
    more = json.loads(call("plan", suite, "--into", folder, "--budget", "double", "--json").output)
    assert more["cells"][0] | {"missing": {"timing": 1}, "state": "begun"} == more["cells"][0]
    assert more["estimate"]["parts"] == 2
    assert more["estimate"]["guessed"] == 0


def test_a_folder_of_another_suite_is_refused(call, finished, tmp_path: Path):
    _, folder, _ = finished
    other = tmp_path / "other.toml"
    other.write_text(TINY.replace('name = "tiny"', 'name = "other"'))
    result = call("run", other, "--into", folder)
    assert result.exit_code == 2
    assert "'tiny'" in result.stderr
    assert "--into" in result.stderr


def test_a_local_solver_runs_beside_the_built_in_ones(call, good_plugin: Path, tmp_path: Path):
    suite = tmp_path / "mine.toml"
    text = TINY.partition('[[experiment]]\nname = "elsewhere"')[0].replace(
        'solver = "rk4"', 'solver = ["rk4", "halver"]'
    )
    suite.write_text(text)
    words = ["run", suite, "--into", tmp_path / "results", "--plugin", good_plugin]
    result = call(*words, "--set", "budget.repeats=1", "--no-report", "--strict")
    assert result.exit_code == 0, result.output
    frame = odebench.load(tmp_path / "results").set_index(["solver", "steps"])
    assert frame.loc[("halver", 16), "error_final"] > 100 * frame.loc[("rk4", 16), "error_final"]
    assert frame.loc[("halver", 16), "nfe_forward"] == 16


def test_interrupting_keeps_what_is_finished(tmp_path: Path):
    """Ctrl-C ends with 130 and a word about how to go on."""
    suite = tmp_path / "long.toml"
    suite.write_text(TINY.replace("steps = [8, 16]", f"steps = {list(range(8, 208))}"))
    running = subprocess.Popen(
        [sys.executable, "-m", "odebench", "run", str(suite), "--into", str(tmp_path / "results")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        # A shell starts background jobs with this signal ignored, and a test run may be one.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    for line in running.stderr:
        if re.match(r"\d+/\d+ parts", line):
            break
    os.kill(running.pid, signal.SIGINT)
    output, errors = running.communicate(timeout=60)
    assert running.returncode == 130, errors
    assert "Interrupted. What was finished is kept in" in errors
    assert "Traceback" not in errors
    assert output == ""
    assert list((tmp_path / "results" / "cells").glob("*.json"))
