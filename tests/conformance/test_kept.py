"""Results of checks that are kept: told without checking again, and never as though they were of today when they are not."""

from __future__ import annotations

import functools
import json
import sys

import pytest

from odebench import plugins
from odebench.conformance.kept import changes, keep, kept, stamp_of
from odebench.conformance.running import FAILED, PASSED, CheckResult, PluginReport
from odebench.plugins import build_registry
from tests.cli.conftest import call, good_plugin  # noqa: F401 - fixtures

RESULTS = tuple(
    CheckResult(check=f"check_{name}", outcome=outcome, said=f"It {name}.", reason=None, seconds=0.1)
    for name, outcome in (("stands", PASSED), ("falls", FAILED))
)


@pytest.fixture
def halver(good_plugin, tmp_path, monkeypatch):  # noqa: F811
    """The entry of a local plugin, in a cache that is empty."""
    monkeypatch.setenv("ODEBENCH_CACHE", str(tmp_path / "cache"))
    return build_registry(prefixes=(), local_files=(good_plugin,)).get("solver", "halver")


def report_on(entry, **parts):
    """As `check_plugins` gives it."""
    whole = {"kind": entry.kind, "name": entry.name, "plugin": str(entry.origin.path or entry.origin.plugin), "checks": RESULTS,
             "environment": sys.prefix, "stamp": stamp_of(entry), "ended": "2020-02-02T20:20:20+00:00"}  # fmt: skip
    return PluginReport(**whole | parts)


def test_the_last_result_is_told_and_is_out_of_date_when_the_plugin_changes(call, halver):  # noqa: F811
    def shown():
        told = call("show", "halver", "--plugin", halver.origin.path)
        assert told.exit_code == 0
        return " ".join(told.output.partition("conformance\n")[2].split())

    assert shown().startswith("not checked here: `odebench check halver` does")
    keep(report_on(halver, checks=()))
    keep(report_on(halver))
    assert shown().startswith(
        "1 checks passed, 0 known to fail, 1 failed checked at 2020-02-02T20:20:20+00:00 check_falls: It falls."
    )
    halver.origin.path.write_text(halver.origin.path.read_text() + "\n# another one\n")
    assert "OUT OF DATE: the sources of halver.py have changed. `odebench check halver` checks again" in shown()


def test_the_catalogue_marks_what_is_out_of_date(call, halver, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr(plugins, "build_registry", functools.partial(build_registry, prefixes=(), builtins=False))
    keep(report_on(halver, stamp=stamp_of(halver) | {"torch": "0.1"}))
    page = tmp_path / "page.html"
    assert call("catalogue", "-o", page, "--plugin", halver.origin.path).exit_code == 0
    text = page.read_text(encoding="utf-8")
    assert "1 passed, 1 failed – out of date" in text
    assert "torch was 0.1 and is" in text


def test_a_result_belongs_to_a_plugin_and_an_environment(halver):
    for parts in (
        {"environment": "/another"},
        {"plugin": "another"},
        {"kind": "model"},
        {"name": "other"},
        {"environment": ""},
    ):
        keep(report_on(halver, **parts))
        assert kept(halver) is None
    keep(report_on(halver))
    assert kept(halver)["checks"][1]["said"] == "It falls."


def test_a_file_that_cannot_be_read_or_written_is_no_result(halver, tmp_path, monkeypatch):
    keep(report_on(halver))
    (path,) = (tmp_path / "cache" / "checks").iterdir()
    path.write_text(json.dumps(["torn"]))
    assert kept(halver) is None
    path.write_text("{")
    assert kept(halver) is None
    (tmp_path / "file").touch()
    monkeypatch.setenv("ODEBENCH_CACHE", str(tmp_path / "file"))
    keep(report_on(halver))
    assert kept(halver) is None


def test_a_stamp_names_what_takes_part_and_changes_are_told_in_words():
    registry = build_registry(prefixes=("torchdiffeq",))
    built_in, adapted = (stamp_of(registry.get("solver", name)) for name in ("rk4", "torchdiffeq/rk4"))
    assert set(built_in) == {"odebench", "torch", "numpy", "scipy", "sources of odebench"}
    assert set(adapted) - set(built_in) == {"odebench-torchdiffeq", "torchdiffeq", "sources of odebench-torchdiffeq"}
    assert changes(built_in, built_in) == []
    assert changes(built_in, built_in | {"torch": "9", "sources of odebench": "?"}) == [
        f"torch was {built_in['torch']} and is 9",
        "the sources of odebench have changed",
    ]
    assert changes(built_in, built_in | {"odebench": "9", "sources of odebench": "?"}) == [
        f"odebench was {built_in['odebench']} and is 9"
    ]
