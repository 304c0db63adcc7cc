"""`odebench list`."""

from __future__ import annotations

import json

import pytest

from odebench.plugins import KINDS, build_registry

PLURALS = {kind: f"{kind}s" for kind in KINDS} | {"step_policy": "policies"}


@pytest.mark.parametrize("kind", KINDS)
def test_everything_registered_is_listed(call, kind: str):
    result = call("list", PLURALS[kind])
    assert result.exit_code == 0
    listed = {line.split()[0] for line in result.output.splitlines()[2:] if line.strip()}
    assert set(build_registry().names(kind)) <= listed


def test_a_solver_is_listed_with_order_adaptivity_and_origin(call):
    (line,) = (line for line in call("list", "solvers").output.splitlines() if line.split()[:1] == ["rk4"])
    assert line.split()[1:5] == ["4", "no", "no", "4"]
    assert "odebench 0." in line


def test_json_holds_what_show_tells(call):
    listed = {told["name"]: told for told in json.loads(call("list", "gradients", "--json").output)}
    assert listed["direct"]["exact_for_discretisation"] is True
    assert listed["continuous-adjoint"]["exact_for_discretisation"] is False
    assert listed["continuous-adjoint"]["memory"] == "O(1)"


def test_what_has_a_compiled_form_is_told(call):
    solvers = {told["name"]: told for told in json.loads(call("list", "solvers", "--json").output)}
    assert [solvers[name]["has_compiled_form"] for name in ("rk4", "kvaerno3")] == [True, False]
    gradients = {told["name"]: told for told in json.loads(call("list", "gradients", "--json").output)}
    assert [gradients[name]["compiled_memory"] for name in ("direct", "anode")] == ["steps", None]
    assert " compiled " in call("list", "gradients").output.splitlines()[0]


def test_a_local_file_is_listed_with_its_path(call, good_plugin):
    (line,) = (x for x in call("list", "solvers", "--plugin", good_plugin).output.splitlines() if "halver" in x)
    assert str(good_plugin) in line


def test_a_plugin_that_did_not_load_is_named(call, broken_plugin):
    result = call("list", "tasks", "--plugin", broken_plugin)
    assert result.exit_code == 0
    assert "1 plugin did not load" in result.stderr
    assert "broken.py" in result.stderr
    assert "did not load" not in result.stdout


def test_a_plugin_file_that_is_not_there_is_an_error(call):
    result = call("list", "tasks", "--plugin", "no_such_file.py")
    assert result.exit_code == 2
    assert "'no_such_file.py' does not exist" in result.stderr


def test_an_unknown_kind_lists_the_kinds(call):
    result = call("list", "solver")
    assert result.exit_code == 2
    assert "'solvers'" in result.output


SUITE = """schema = 1
[suite]
name = "tiny"
title = "A tiny suite"
[[experiment]]
name = "one"
task = "integrate"
model = "logistic"
solver = "rk4"
steps = 8
"""


def test_suites_are_listed_with_what_is_wrong_with_one(call, tmp_path):
    (tmp_path / "papers").mkdir()
    (tmp_path / "tiny.toml").write_text(SUITE)
    (tmp_path / "papers" / "bad.toml").write_text(SUITE.replace("solver", "solwer"))
    result = call("list", "suites", "--folder", tmp_path)
    assert result.exit_code == 0
    good, bad = (next(x for x in result.output.splitlines() if name in x) for name in ("tiny.toml", "bad.toml"))
    assert good.split(maxsplit=3)[1:] == ["tiny", "1", "A tiny suite"]
    assert "cannot be read" in bad
    assert "solwer" in bad
    told = json.loads(call("list", "suites", "--folder", tmp_path, "--json").output)
    assert [one["name"] for one in told] == [None, "tiny"]


def test_no_folder_of_suites_is_an_error_that_says_what_to_do(call, tmp_path):
    result = call("list", "suites", "--folder", tmp_path / "none")
    assert result.exit_code == 2
    assert "--folder" in result.stderr
