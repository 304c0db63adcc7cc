"""What studies leave: one writer at a time, whole or not at all, and nothing taken from those who read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from odebench.outcome import Outcome
from odebench.records import Part
from odebench.run.artefacts import Artefact, Artefacts

ROOT = Path(__file__).parents[2]
PART = Part(outcome=Outcome.OK, values={"accuracy_test": 0.5}, seconds=2.0)


@pytest.fixture
def artefact(tmp_path) -> Artefact:
    """A study at work, with everything that one leaves."""
    found = Artefacts(tmp_path / "results" / "suite", "machine").of("cell", "fresh")
    assert found.claim() is None
    (found.folder / "weights.pt").write_bytes(b"weights")
    (found.folder / "checkpoint.pt").write_bytes(b"half of it")
    np.savez(found.folder / "series.npz", loss=np.array([2.0, 1.0]), iteration=np.array([1, 2]))
    return found


def names(artefact: Artefact) -> set[str]:
    return {file.name for file in artefact.folder.iterdir()}


def test_it_lies_beside_the_folder_of_results(artefact, tmp_path, monkeypatch):
    assert artefact.folder == tmp_path / "results" / "artifacts" / "cell" / "machine.fresh"
    monkeypatch.chdir(tmp_path / "results")
    assert Artefacts("other", "machine").of("cell", "fresh").folder == artefact.folder


def test_finished_means_that_every_file_is_what_it_was(artefact):
    assert artefact.finished() is None
    artefact.finish(PART)
    assert artefact.finished()["values"] == {"accuracy_test": 0.5}
    assert names(artefact) == {"weights.pt", "series.npz", "result.json"}
    assert artefact.series()["loss"].tolist() == [2.0, 1.0]
    assert artefact.put_aside_broken() == []

    (artefact.folder / "weights.pt").write_bytes(b"WEIGHTS")
    assert artefact.finished() is None
    (said,) = artefact.put_aside_broken()
    assert "weights.pt: it is not what the study wrote, and was put aside." in said
    assert names(artefact) == {"broken-weights.pt", "series.npz"} and artefact.put_aside_broken() == []


def test_a_file_that_is_missing_is_told(artefact):
    artefact.finish(PART)
    (artefact.folder / "weights.pt").unlink()
    assert artefact.finished() is None
    assert "weights.pt: it is missing" in artefact.put_aside_broken()[0]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"schema": 2}', '{"schema": 1, "part": {"outcome": "diverged"}, "files": {}}']
)
def test_what_is_no_result_is_not_finished(artefact, text):
    (artefact.folder / "result.json").write_text(text)
    assert artefact.finished() is None and artefact.put_aside_broken() == []


def test_a_series_that_is_broken_or_would_run_code_is_none(artefact):
    (artefact.folder / "series.npz").write_bytes(b"PK nothing")
    assert artefact.series() is None
    np.savez(artefact.folder / "series.npz", loss=np.array([object()]))
    assert artefact.series() is None


def test_to_begin_anew_takes_nothing_from_those_who_read(artefact):
    artefact.finish(PART)
    (artefact.folder / "checkpoint-before.pt").write_bytes(b"x")
    artefact.discard()
    assert names(artefact) == {"weights.pt", "series.npz"}
    Artefacts(artefact.folder, "other").of("cell", "fresh").discard()  # Where nothing is, nothing is to be done.


def test_only_one_process_has_it_and_the_other_is_told_which(artefact):
    code = (
        "import sys, json\nfrom odebench.run.artefacts import Artefacts\n"
        f"print(json.dumps(Artefacts({str(artefact.folder.parents[2] / 'suite')!r}, 'machine').of('cell', 'fresh').claim()))"
    )

    def other() -> str | None:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
        return json.loads(done.stdout)

    assert artefact.claim() is None, "it is ours already"
    assert other().startswith(" (process ")
    artefact.release()
    assert other() is None
    assert artefact.claim() is None, "it died, and holds nothing any more"
    artefact.release()
