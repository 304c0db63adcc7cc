"""Where a user says in which interpreter a plugin lives, and what is said about a slip."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from odebench.cli import doctor, main
from odebench.errors import SuiteError
from odebench.plan.suite import parse_suite
from tests.interpreters import environments

SUITE = """schema = 1
[suite]
name = "places"
[plugins.fancytwo]
interpreter = "envs/two/bin/python"
[[experiment]]
name = "one"
task = "integrate"
model = "logistic"
solver = ["euler", "fancytwo/midpoint"]
steps = 8
"""


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def suite(tmp_path) -> Path:
    """A suite that names an interpreter that is not there."""
    file = tmp_path / "places.toml"
    file.write_text(SUITE)
    return file


def test_paths_are_relative_to_the_suite_and_may_begin_at_home(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    assert parse_suite(SUITE, "/a/b/places.toml").interpreters == {"fancytwo": Path("/a/b/envs/two/bin/python")}
    above, home = SUITE.replace('"envs', '"../envs'), SUITE.replace('"envs', '"~/envs')
    assert parse_suite(above, "/a/b/places.toml").interpreters["fancytwo"] == Path("/a/envs/two/bin/python")
    assert parse_suite(home, "/a/b/places.toml").interpreters["fancytwo"] == Path("/home/ada/envs/two/bin/python")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            SUITE.replace("interpreter", "interpretr"),
            "`plugins.fancytwo.interpretr` is not a key of a suite. Did you mean 'interpreter'? Known here: interpreter.",
        ),
        (SUITE.replace('"envs/two/bin/python"', "7"), "`plugins.fancytwo.interpreter` is 7 (an integer). It must be a string."),
        (SUITE.replace('"envs/two/bin/python"', '""'), "`plugins.fancytwo.interpreter` is '' (a string). It is empty. Fill it"),
        (
            SUITE.replace('[plugins.fancytwo]\ninterpreter = "envs', '[plugins]\nfancytwo = "envs'),
            "`plugins.fancytwo` is 'envs/two/bin/python' (a string). It must be a table.",
        ),
    ],
)  # fmt: skip
def test_a_slip_in_the_table_is_told_with_its_key(text, said):
    with pytest.raises(SuiteError) as caught:
        parse_suite(text, "places.toml")
    assert f"places.toml: {said}" in str(caught.value)


def test_an_interpreter_that_only_the_suite_names_is_not_started(suite):
    """Opening somebody's suite must not run what it names."""
    done = call("plan", suite)
    python = suite.parent / "envs" / "two" / "bin" / "python"
    assert done.exit_code == 2
    assert f"`plugins` names other interpreters: {python} for 'fancytwo'. Running the suite runs them." in done.output
    assert f"then pass --interpreter fancytwo={python}, or --allow-local-plugins." in done.output
    allowed = call("plan", suite, "--allow-local-plugins")
    assert (allowed.exit_code, f"interpreter {python}: there is no such file." in allowed.output) == (2, True)


def test_what_cannot_be_used_ends_a_run_before_anything_is_written(suite, tmp_path):
    """Or what was measured before would be put aside for errors."""
    done = call("run", suite, "--interpreter", f"fancytwo={tmp_path}/python", "--into", tmp_path / "out")
    assert (done.exit_code, "there is no such file" in done.output) == (2, True)
    assert not (tmp_path / "out").exists()


def test_one_that_dies_while_it_is_asked_ends_a_run_too(suite, homes, wide, tmp_path):
    """Planning takes what a plugin raises for the plugin's own fault, and this is none."""
    python, real = tmp_path / "python", homes["fancytwo"]
    environments.script(python, f'case "$*" in *answering*) echo no disk >&2; exit 3;; esac; exec {real} "$@"\n')
    wide.close()  # What is kept says what there is; with this parameter nobody has built it yet.
    suite.write_text(SUITE.replace('model = "logistic"', 'model = { name = "fancytwo/decay", rate = 3 }'))
    done = call("run", suite, "--interpreter", f"fancytwo={python}", "--into", tmp_path / "out")
    assert (done.exit_code, "it ended, with exit code 3" in done.output, "no disk" in done.output) == (2, True, True)
    assert not (tmp_path / "out").exists()


def test_the_command_line_goes_before_the_suite_and_needs_no_leave(suite, homes, wide, tmp_path):
    done = call("plan", suite, "--interpreter", f"fancytwo={homes['fancytwo']}", "--json", "--into", tmp_path / "out")
    assert done.exit_code == 0, done.output
    cells = json.loads(done.stdout)["cells"]
    assert [(cell["cell"]["solver"]["name"], cell["state"]) for cell in cells] == [
        ("euler", "to run"), ("fancytwo/midpoint", "to run"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["fancytwo"], "'fancytwo' is not NAME=PATH"),
        (["fancytwo="], "'fancytwo=' is not NAME=PATH"),
        (["fancytwo=/a", "fancytwo=/b"], "'fancytwo' is given twice."),
    ],
)
def test_a_slip_on_the_command_line_is_told(suite, given, said):
    done = call("plan", suite, *(f"--interpreter={value}" for value in given))
    assert (done.exit_code, said in done.output) == (2, True), done.output


def test_a_name_that_is_nearly_one_of_the_suite_is_taken_for_a_slip(suite):
    suite.write_text(SUITE.replace("[plugins.fancytwo]", "[plugins.fancytw]"))
    done = call("plan", suite)
    said = "`plugins.fancytw`: the suite names nothing of a plugin 'fancytw'. Did you mean 'fancytwo'?"
    assert (done.exit_code, said in done.output) == (2, True), done.output


def test_an_interpreter_of_a_plugin_that_the_suite_does_not_use_is_not_looked_at(suite):
    done = call("plan", suite, "--interpreter", "fancytwo=/nowhere/python", "--interpreter", "jax=/elsewhere/python")
    assert "/nowhere/python: there is no such file" in done.output and "elsewhere" not in done.output


def test_plugins_tells_where_each_lives_and_what_is_wrong_with_another(homes, wide, tmp_path):
    places = [f"--interpreter=fancytwo={homes['fancytwo']}", f"--interpreter=gone={tmp_path}/python"]
    done = call("plugins", "--json", *places)
    found = json.loads(done.stdout)
    (two,) = (one for one in found["loaded"] if one["plugin"] == "fancytwo")
    assert two == {
        "plugin": "fancytwo", "distribution": "odebench-fancytwo", "version": "2.5", "solvers": 2, "gradients": 0, "models": 1,
        "tasks": 0, "policies": 0, "interpreter": str(homes["fancytwo"]),
    }  # fmt: skip
    assert [failure["plugin"] for failure in found["failures"]] == ["gone"]
    assert done.exit_code == 1


@pytest.mark.slow
def test_what_lives_elsewhere_is_checked_and_shown_there(homes):
    place = f"--interpreter=fancytwo={homes['fancytwo']}"
    checked = call("check", "fancytwo/decay", place, "--json")
    (report,) = json.loads(checked.stdout)["plugins"]
    assert (report["distribution"], report["version"], report["faults"]) == ("odebench-fancytwo", "2.5", [])
    assert len(report["checks"]) > 5
    shown = json.loads(call("show", "fancytwo/heun", place, "--json").stdout)
    assert (shown["order"], shown["interpreter"]) == (2, str(homes["fancytwo"]))


def test_a_list_has_what_is_listed_there_of_that_plugin(homes, monkeypatch):
    theirs = {"description": "", "distribution": "d", "version": "1", "needs_gradient": False}
    told = [theirs | {"name": f"{plugin}/task", "plugin": plugin} for plugin in ("fancytwo", "other")]
    monkeypatch.setattr("odebench.cli.listing.said_there", lambda path, *words, local_files: told)
    listed = json.loads(call("list", "tasks", f"--interpreter=fancytwo={homes['fancytwo']}", "--json").stdout)
    names = {one["name"] for one in listed}
    assert "fancytwo/task" in names and "integrate" in names and "other/task" not in names


def test_doctor_tells_what_an_interpreter_is_and_whether_it_can_measure(homes, tmp_path, monkeypatch):
    monkeypatch.setattr(
        doctor, "_server", lambda what, environment: doctor.Finding(what, f"in {environment.interpreter}")
    )
    found = list(doctor._interpreters({"fancytwo": homes["fancytwo"], "gone": tmp_path / "python"}))
    assert [(one.what, one.ok) for one in found] == [
        ("interpreter of fancytwo", True), ("interpreter of fancytwo", True), ("interpreter of gone", False),
    ]  # fmt: skip
    assert "odebench-fancytwo 2.5, fancysolver 2.0" in found[0].found
    assert found[1].found == f"in {homes['fancytwo']}"
