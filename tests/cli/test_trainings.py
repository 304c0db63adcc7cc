"""Trainings on the command line: run, found again by another suite, planned as done."""

from __future__ import annotations

import json
from pathlib import Path

import odebench
from odebench.cli.run import _DATA_VARIABLE
from odebench.data.official import FOLDER_VARIABLE

LESSONS = Path(__file__).parents[1] / "run" / "lessons.py"
SUITE = """schema = 1
[suite]
name = "lessons"
[budget]
timeout = "60s"
[budget.full]
[[budget.full.experiment]]
name = "training"
task = { iterations = 10000 }

[[experiment]]
name = "training"
task = { name = "train", iterations = 20, batch = 16 }
model = "small-lesson"
solver = "euler"
gradient = "direct"
steps = 2

[[experiment]]
name = "swaps"
task = "swap"
trained = "training"
solver = "midpoint"
factor = [0.5, 1.0]
"""


def test_a_training_is_run_and_found_again(call, tmp_path):
    suite, other = tmp_path / "lessons.toml", tmp_path / "other.toml"
    suite.write_text(SUITE)
    other.write_text(SUITE.replace('"lessons"', '"other"').replace("[0.5, 1.0]", "[1.0, 2.0]"))
    words = ("--plugin", LESSONS, "--json")
    planned = json.loads(call("plan", suite, *words, "--into", tmp_path / "r" / "lessons").output)
    assert [cell["state"] for cell in planned["cells"]] == ["to run"] * 3
    assert planned["estimate"]["trainings"] == 1
    said = call("plan", suite, *words[:2], "--into", tmp_path / "r" / "lessons").output
    assert "How long that takes is not known: among them is 1 training, and nothing like it was done here." in said
    full = json.loads(call("plan", suite, *words, "--budget", "full").output)
    assert full["cells"][0]["cell"]["task"]["parameters"]["iterations"] == 10_000

    result = call("run", suite, *words, "--no-report", "--into", tmp_path / "r" / "lessons")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["outcomes"] == {"ok": 3}
    assert odebench.load_series(tmp_path / "r" / "lessons").iteration.tolist() == list(range(1, 21))

    planned = json.loads(call("plan", other, *words, "--into", tmp_path / "r" / "other").output)
    assert [cell["state"] for cell in planned["cells"]] == ["done", "done", "to run"]
    assert planned["estimate"]["trainings"] == 0
    planned = json.loads(call("plan", other, *words, "--into", tmp_path / "elsewhere" / "other").output)
    assert [cell["state"] for cell in planned["cells"]] == ["to run"] * 3


def test_a_training_that_was_stopped_at_its_time_limit_is_planned_again(call, tmp_path):
    suite, folder = tmp_path / "lessons.toml", tmp_path / "r" / "lessons"
    slow = '{ name = "small-lesson", pause_s = 0.2 }'
    suite.write_text(SUITE.replace('"60s"', '"500ms"').replace('"small-lesson"', slow))
    words = (suite, "--plugin", LESSONS, "--json", "--into", folder)
    assert json.loads(call("run", *words, "--no-report").stdout)["outcomes"] == {"timeout": 1, "blocked": 2}
    told = json.loads(call("plan", *words).output)
    assert [cell["state"] for cell in told["cells"]] == ["to run"] * 3
    record = odebench.load(folder).set_index("task")
    assert (
        record.reason["swap"]
        .str.endswith("which ended as timeout: It was stopped after 0.5 s, the limit of the suite.")
        .all()
    )


def test_the_folder_of_the_data_reaches_the_measured_process(call, tmp_path, monkeypatch):
    assert _DATA_VARIABLE == FOLDER_VARIABLE
    monkeypatch.setenv(FOLDER_VARIABLE, "elsewhere")
    suite, data = tmp_path / "looks.toml", tmp_path / "data"
    data.mkdir()
    head = SUITE.partition("[budget.full]")[0]
    suite.write_text(
        head + '[[experiment]]\nname = "x"\ntask = "looks"\nmodel = "small-lesson"\nsolver = "euler"\nsteps = 1\n'
    )
    folder = tmp_path / "r" / "looks"
    result = call("run", suite, "--plugin", LESSONS, "--no-report", "--into", folder, "--data-dir", data)
    assert result.exit_code == 0, result.output
    (record,) = (json.loads(file.read_text()) for file in (folder / "cells").iterdir())
    assert record["parts"]["quality"]["values"]["data_dir"].endswith("/data")


def test_what_to_download_is_said_whole_and_once(call, tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    suite = tmp_path / "digits.toml"
    suite.write_text(
        SUITE.replace('"small-lesson"', '{ name = "linear-net", data = "mnist" }\nseed = [0, 1]').replace(
            "[0.5, 1.0]", "1.0"
        )
    )
    told = call("run", suite, "--no-report", "--into", tmp_path / "r" / "lessons").stdout.splitlines()
    errors, repetitions = ([line for line in told if line.split()[:1] == [word]] for word in ("error", "blocked"))
    assert len(errors) == len(repetitions) == 1
    assert "from https://ossci-datasets.s3.amazonaws.com/mnist/ and put them into mnist in the folder" in errors[0]
    assert repetitions[0].endswith("…")
