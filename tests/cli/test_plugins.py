"""`odebench plugins`."""

from __future__ import annotations

import json


def test_what_is_loaded_is_shown_with_versions_and_counts(call):
    result = call("plugins", "--json")
    told = json.loads(result.output)
    (own,) = (one for one in told["loaded"] if one["plugin"] == "odebench")
    assert own["version"].startswith("0.")
    assert own["solvers"] >= 13
    assert own["models"] >= 17


def test_a_local_file_is_shown(call, good_plugin):
    result = call("plugins", "--plugin", good_plugin)
    (line,) = (line for line in result.output.splitlines() if str(good_plugin) in line)
    assert line.split()[-5:] == ["1", "0", "0", "0", "0"]


def test_a_failure_is_shown_with_its_traceback_and_fails(call, broken_plugin):
    result = call("plugins", "--plugin", broken_plugin)
    assert result.exit_code == 1
    assert "RuntimeError: this plugin has a hole" in result.output
    assert "Traceback (most recent call last)" in result.output
    assert 'broken.py", line 1' in result.output
    assert "1 failed" in result.output


def test_a_failure_in_a_hook_names_the_hook(call, tmp_path):
    path = tmp_path / "misspelt.py"
    path.write_text("import odebench\n@odebench.hookimpl\ndef odebench_register_solver(register): ...\n")
    result = call("plugins", "--plugin", path, "--json")
    assert result.exit_code == 1
    (failure,) = json.loads(result.output)["failures"]
    assert "did you mean 'odebench_register_solvers'?" in failure["message"]
