"""`odebench catalogue`."""

from __future__ import annotations

import json

from odebench.plugins import KINDS, build_registry


def test_everything_registered_is_on_the_page_and_what_did_not_load_is_named(
    call, tmp_path, good_plugin, broken_plugin
):
    checks = tmp_path / "checks.json"
    result = {"check": "check_x", "outcome": "failed", "said": "It is wrong.", "reason": None, "seconds": 0.1}
    reports = [{"kind": "solver", "name": "halver", "checks": [result, result | {"outcome": "passed"}], "faults": []}]
    checks.write_text(json.dumps({"plugins": reports}))
    page = tmp_path / "catalogue.html"
    told = call("catalogue", "-o", page, "--plugin", good_plugin, "--plugin", broken_plugin, "--checks", checks)
    assert told.exit_code == 0
    assert told.output.strip() == str(page)
    text = page.read_text(encoding="utf-8")
    registry = build_registry()
    for kind in KINDS:
        for name in registry.names(kind):
            assert f"<summary>{name}</summary>" in text
    assert "<summary>halver</summary>" in text
    assert "1 passed, 1 failed" in text
    assert "broken.py did not load" in text


def test_a_file_that_holds_no_checks_is_said_so(call, tmp_path):
    other = tmp_path / "other.json"
    other.write_text("[]")
    result = call("catalogue", "-o", tmp_path / "page.html", "--checks", other)
    assert result.exit_code == 2
    assert "odebench check --all --json" in result.stderr
    assert not (tmp_path / "page.html").exists()
