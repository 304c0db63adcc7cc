"""`odebench plan`: what would run, and nothing of it run."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import TINY


def test_a_plan_counts_by_experiment_and_says_why_a_cell_cannot_run(call, tiny_suite: Path, tmp_path: Path):
    result = call("plan", tiny_suite, "--into", tmp_path / "results")
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.output.splitlines()]
    assert ["experiment", "cells", "to", "run", "unsupported"] in lines
    assert ["two", "step", "sizes", "2", "2", "0"] in lines
    assert ["elsewhere", "1", "0", "1"] in lines
    assert "The device 'mars' is not known" in result.output
    assert "3 cells, 6 parts to measure, about" in result.output
    assert "guessed" in result.output
    assert not (tmp_path / "results").exists()


def test_json_has_every_cell_with_its_state(call, tiny_suite: Path, tmp_path: Path):
    told = json.loads(call("plan", tiny_suite, "--into", tmp_path / "results", "--json").output)
    assert [cell["state"] for cell in told["cells"]] == ["to run", "to run", "unsupported"]
    assert told["cells"][0]["missing"] == {"quality": 1, "memory": 1, "timing": 1}
    assert told["cells"][2]["missing"] == {}
    assert told["estimate"]["parts"] == told["estimate"]["guessed"] == 6
    assert told["cells"][0]["cell"]["model"] == {
        "name": "logistic",
        "parameters": {**told["cells"][1]["cell"]["model"]["parameters"], "batch": 2},
    }


def test_every_cell_is_listed_on_demand(call, tiny_suite: Path):
    text = call("plan", tiny_suite, "--cells").output
    assert "logistic, rk4, 16 steps" in text
    assert "logistic, dopri5, tolerance 0.001" in text


def test_budget_and_overrides_count(call, tiny_suite: Path, tmp_path: Path):
    words = ["plan", tiny_suite, "--into", tmp_path / "results", "--json"]
    double = json.loads(call(*words, "--budget", "double").output)
    assert double["cells"][0]["missing"]["timing"] == 2
    five = json.loads(call(*words, "--budget", "double", "--set", "budget.processes=5").output)
    assert five["cells"][0]["missing"]["timing"] == 5


def test_a_fault_of_the_suite_names_file_key_and_nearest_word(call, tmp_path: Path):
    path = tmp_path / "faulty.toml"
    path.write_text(TINY.replace('solver = "rk4"', 'solver = "rk5"'))
    result = call("plan", path)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: {path}: `experiment[0].solver[0]` is 'rk5'")
    assert "Did you mean 'rk4'?" in result.stderr


def test_no_suite_is_an_error_that_names_what_is_there(call, tiny_suite: Path):
    result = call("plan", tiny_suite.with_name("tinny.toml"))
    assert result.exit_code == 2
    assert "tiny.toml" in result.stderr


def local_suite(tmp_path: Path) -> Path:
    path = tmp_path / "local.toml"
    text = TINY.replace('title = "A tiny suite"', 'plugins = ["halver.py"]').replace(
        'solver = "rk4"', 'solver = "halver"'
    )
    path.write_text(text)
    return path


def test_code_that_a_suite_names_is_not_run_unasked(call, good_plugin: Path, tmp_path: Path):
    good_plugin.write_text(good_plugin.read_text() + f"\nopen({str(tmp_path / 'ran')!r}, 'w').close()\n")
    result = call("plan", local_suite(tmp_path))
    assert result.exit_code == 2
    assert "--allow-local-plugins" in result.stderr
    assert str(good_plugin) in result.stderr
    assert not (tmp_path / "ran").exists()
    assert call("plan", local_suite(tmp_path), "--allow-local-plugins").exit_code == 0
    assert (tmp_path / "ran").exists()


def test_a_plugin_of_the_command_line_is_known_to_the_suite(call, good_plugin: Path, tmp_path: Path):
    path = tmp_path / "mine.toml"
    path.write_text(TINY.replace('solver = "rk4"', 'solver = { name = "halver", share = [0.5, 1.0] }'))
    assert "'halver'" in call("plan", path).stderr
    told = json.loads(call("plan", path, "--plugin", good_plugin, "--json").output)
    shares = [cell["cell"]["solver"]["parameters"].get("share") for cell in told["cells"]]
    assert shares == [0.5, 0.5, 1.0, 1.0, None]


def test_a_broken_plugin_stops_only_where_that_is_asked_for(call, tiny_suite: Path, broken_plugin: Path):
    words = ["plan", tiny_suite, "--plugin", broken_plugin]
    result = call(*words)
    assert result.exit_code == 0
    assert "1 plugin did not load" in result.stderr
    strict = call(*words, "--strict-plugins")
    assert strict.exit_code == 2
    assert "this plugin has a hole" in strict.stderr


STUDIES = """
import odebench
from odebench.contract import Findings, Learning, Model, Study


class Teach(Study):
    name = "teach"
    needs_gradient = True
    learns = True

    def run(self, setting, workplace):
        return Findings(values={})


class Examine(Study):
    name = "examine"
    needs_training = True

    def run(self, setting, workplace):
        return Findings(values={})


class Pupil(Model):
    name = "pupil"

    def problem(self, seed):
        raise AssertionError("a plan builds no problem")

    def learning(self, seed):
        raise AssertionError("a plan builds no data")


@odebench.hookimpl
def odebench_register_tasks(register):
    register(Teach)
    register(Examine)


@odebench.hookimpl
def odebench_register_models(register):
    register(Pupil)
"""
TRAININGS = """schema = 1
[suite]
name = "school"
[[experiment]]
name = "exam"
task = "examine"
trained = "lessons"
solver = "midpoint"
factor = [0.5, 1]
[[experiment]]
name = "lessons"
task = { name = "teach", step_policy = "fixed" }
model = ["pupil", "logistic"]
solver = "euler"
gradient = "direct"
steps = 4
seed = [0, 1]
"""


def test_a_plan_tells_which_trainings_are_needed(call, tmp_path: Path):
    plugin, suite = tmp_path / "studies.py", tmp_path / "school.toml"
    plugin.write_text(STUDIES)
    suite.write_text(TRAININGS)
    words = ["plan", suite, "--plugin", plugin, "--into", tmp_path / "results"]
    result = call(*words, "--cells")
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.output.splitlines()]
    assert ["experiment", "cells", "to", "run", "unsupported", "blocked", "needs"] in lines
    assert ["exam", "8", "4", "0", "4", "lessons"] in lines
    assert ["lessons", "4", "2", "2", "0"] in lines
    assert "The training that it needs is settled as unsupported: The model 'logistic' has no data" in result.output
    told = json.loads(call(*words, "--json").output)
    cells = {cell["id"]: cell for cell in told["cells"]}
    assert [cell["experiments"] for cell in told["cells"]] == [["lessons"]] * 4 + [["exam"]] * 8
    assert told["cells"][0]["missing"] == {"quality": 1}
    (need,) = told["cells"][5]["cell"]["needs"]
    assert cells[need]["cell"]["policy"] == {"name": "fixed", "parameters": {}}
    (row,) = (line for line in result.output.splitlines() if line.split()[:1] == [told["cells"][4]["id"]])
    first = told["cells"][0]["id"]
    assert "pupil, midpoint, 0.5 × the training's" in row
    assert row.endswith(f"{first}: pupil, euler, direct, fixed, 4 steps, seed 0")
