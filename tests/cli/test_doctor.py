"""`odebench doctor`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from odebench.cli import doctor


@pytest.fixture
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Starting the server takes seconds, and one test of it is enough."""
    monkeypatch.setattr(doctor, "_processes", lambda: doctor.Finding("processes", "not looked at"))


def test_everything_that_a_run_needs_is_looked_at(call):
    result = call("doctor", "--json")
    assert result.exit_code == 0
    findings = json.loads(result.output)
    assert {finding["what"] for finding in findings} >= {
        "python", "torch", "accelerators", "cores", "threads", "memory", "processes", "browser", "results", "cache", "plugins",
    }  # fmt: skip
    (processes,) = (finding for finding in findings if finding["what"] == "processes")
    assert processes["ok"], processes
    assert "server that started in" in processes["found"]


def test_each_line_says_ok_or_warn(call, no_server: None):
    for line in call("doctor").output.splitlines():
        assert line.startswith(("ok    ", "warn  ")), line


def test_a_broken_plugin_is_a_warning(call, no_server: None, broken_plugin: Path):
    lines = call("doctor", "--plugin", broken_plugin).output.splitlines()
    assert any(line.startswith("warn  plugins") and "this plugin has a hole" in line for line in lines)


def test_a_disabled_plugin_is_a_warning(call, no_server: None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ODEBENCH_DISABLE_PLUGINS", "odebench-torchdiffeq")
    assert "ODEBENCH_DISABLE_PLUGINS=odebench-torchdiffeq keeps some" in call("doctor").output


def test_a_folder_that_cannot_be_written_is_a_warning(tmp_path: Path):
    """A file stands where the folder should be: nobody, not even root, can write below it."""
    (tmp_path / "file").write_text("")
    finding = doctor.writable("results", tmp_path / "file" / "results", "Choose another with --into.")
    assert not finding.ok
    assert "--into" in finding.found


def test_looking_makes_no_folder(tmp_path: Path):
    assert doctor.writable("results", tmp_path / "a" / "b", "").ok
    assert list(tmp_path.iterdir()) == []


def test_no_browser_is_a_warning(call, no_server: None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    assert "warn  browser" in call("doctor").output


def test_little_memory_is_a_warning(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor, "_available_bytes", lambda: 2**30)
    finding = doctor._memory()
    assert not finding.ok
    assert "1.0 GiB of it free" in finding.found
