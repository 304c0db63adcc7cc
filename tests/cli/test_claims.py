"""`odebench claims`: its words, its JSON and its exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.report import synthetic

TRUE = ("the error is small", "max(error_final where steps >= 64) < 1 where solver == 'rk4'")
FALSE = ("the error is huge", "min(error_final) > 1")
OPEN = ("another solver is better", "max(error_final where solver == 'dopri5') < 1")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Makes a folder of results whose suite makes some claims."""

    def make(*claims: tuple[str, str], name: str = "quickstart") -> Path:
        text = "".join(f"\n[[claim]]\nname = {json.dumps(name)}\nthat = {json.dumps(that)}\n" for name, that in claims)
        monkeypatch.setattr(synthetic, "SUITE", _SUITE + text)
        records = [synthetic.record("integrate", "mlp-field", "rk4", None, {"steps": steps}) for steps in (32, 64, 128)]
        return synthetic.write_folder(tmp_path / name, records)

    return make


_SUITE = synthetic.SUITE


@pytest.mark.parametrize(
    ("claims", "code"),
    [((TRUE,), 0), ((TRUE, FALSE), 1), ((TRUE, OPEN), 3), ((OPEN, FALSE, TRUE), 1), ((OPEN,), 3)],
)
def test_the_exit_code_is_that_of_the_worst_claim(call, folder, claims, code: int):
    assert call("claims", folder(*claims)).exit_code == code


def test_each_claim_is_told_with_its_evidence(call, folder):
    result = call("claims", folder(TRUE, FALSE, OPEN))
    lines = result.output.splitlines()
    assert lines[0] == "true       the error is small"
    assert lines[1].startswith("           max(error_final where steps >= 64) = ") and lines[1].endswith(
        " (2 of 2 rows)"
    )
    assert lines[2] == "false      the error is huge"
    assert lines[4:7] == [
        "undecided  another solver is better",
        "           max(error_final where solver == 'dopri5') = unknown (0 of 0 rows)",
        "           max(error_final where solver == 'dopri5'): no row is selected.",
    ]
    assert lines[-1] == "3 claims: 1 true, 1 false, 1 undecided."


def test_a_column_that_is_not_there_is_pointed_at(call, folder):
    result = call("claims", folder(("typing", "max(eror_final) < 1")))
    assert result.exit_code == 3
    assert "did you mean 'error_final'?" in result.output
    line, mark = result.output.splitlines()[-3:-1]
    assert line[mark.index("^") :].startswith("eror_final")


def test_json_holds_everything(call, folder):
    where = folder(FALSE, OPEN)
    result = call("claims", where, "--json")
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert told["verdict"] == "false"
    first, second = told["claims"]
    value = first["evidence"][0].pop("value")
    assert 0 < value < 1
    assert first == {
        "folder": str(where),
        "machine_id": synthetic.LAPTOP,
        "name": FALSE[0],
        "that": FALSE[1],
        "allow": [],
        "verdict": "false",
        "evidence": [{"aggregate": "min(error_final)", "rows_used": 3, "rows_selected": 3, "groups": None}],
        "reasons": [],
    }
    assert second["verdict"] == "undecided" and second["evidence"][0]["value"] is None and second["reasons"]


def test_several_folders_are_told_apart(call, folder):
    result = call("claims", folder(TRUE, name="one"), folder(FALSE, name="two"))
    assert result.exit_code == 1
    assert [line.partition(",")[0] for line in result.output.splitlines() if line.endswith(":")] == ["one", "two"]


@pytest.mark.parametrize("kind", ["no folder", "an empty folder", "no claims", "a claim that cannot be read"])
def test_what_cannot_be_judged_is_an_error(call, folder, tmp_path: Path, kind: str):
    where = {
        "no folder": lambda: tmp_path / "nowhere",
        "an empty folder": lambda: tmp_path,
        "no claims": folder,
        "a claim that cannot be read": lambda: folder(("broken", "max(error_final < 1")),
    }[kind]()
    told = {
        "no folder": "nowhere: no results here, for there is no run.json",
        "an empty folder": "no results here",
        "no claims": "the suite makes no claims. Add [[claim]]",
        "a claim that cannot be read": "run.json: `claim[0].that`: the text ends: expected ')'",
    }[kind]
    result = call("claims", where)
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: ") and told in result.stderr


def test_neither_torch_nor_a_plugin_is_loaded(folder):
    code = (
        "import sys\nfrom odebench.cli import main\n"
        f"main(['claims', {str(folder(TRUE))!r}], standalone_mode=False)\n"
        "assert not {'torch', 'pluggy', 'odebench.plugins', 'odebench.run', 'matplotlib'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, check=False)
    assert done.returncode == 0, done.stderr
