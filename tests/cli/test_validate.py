"""`odebench validate`: what it writes, and its exit codes."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from tests.validation.turning import Turning, doubtful

EULER = ("--solver", "euler", "--steps", "2")


@pytest.mark.parametrize(
    ("factory", "code", "words"),
    [
        ("clear_model", 0, "A flow: under all 8 solvers"),
        ("doubtful_model", 1, "Tied to its solver: under rk4, 8 steps"),
        ("few", 3, "Undecided: "),
    ],
)
def test_the_exit_code_is_the_verdict(call, factory, code, words):
    done = call("validate", f"tests.validation.turning:{factory}", *EULER)
    assert done.exit_code == code, done.output
    assert words in done.output
    assert "midpoint   4 steps" in done.output


def test_json_holds_everything(call):
    done = call("validate", "tests.validation.turning:doubtful_model", *EULER, "--json")
    told = json.loads(done.stdout)
    assert done.exit_code == 1
    assert (told["verdict"], told["own"]["metric"], told["samples"]) == ("tied to its solver", 1.0, 1000)
    # Four steps of Euler's method still turn by 4 degrees too little, which keeps a few points where they were.
    assert [one["change"] for one in told["tried"][1:]] == pytest.approx([-0.3] * 7)


def test_a_page_is_written(call, tmp_path):
    page = tmp_path / "pages" / "turning.html"
    done = call("validate", "tests.validation.turning:clear_model", *EULER, "-o", str(page))
    assert f"Page: {page}" in done.output
    assert 'Turning: <span class="good">a flow</span>' in page.read_text(encoding="utf-8")


def test_weights_and_data_come_from_files(call, tmp_path):
    model = Turning()
    with torch.no_grad():
        model.rate.zero_()
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    inputs, targets = doubtful()
    np.savez(tmp_path / "data.npz", inputs=inputs.numpy(), targets=targets.numpy())
    files = ("--checkpoint", str(tmp_path / "weights.pt"), "--data", str(tmp_path / "data.npz"))
    done = call("validate", "tests.validation.turning:model_only", *files, *EULER, "--json")
    told = json.loads(done.stdout)
    assert (told["verdict"], told["own"]["error"]) == ("a flow", 0.0)  # nothing moves any more


def test_other_solvers_steps_and_metrics_can_be_asked_for(call):
    options = ("--against", "heun", "--finer", "3", "--metric", "tests.validation.turning:score", "--threshold", "0.5")
    done = call("validate", "tests.validation.turning:doubtful_model", *EULER, *options, "--json")
    told = json.loads(done.stdout)
    assert [(one["solver"], one["steps"]) for one in told["tried"]] == [("euler", 6), ("heun", 2), ("heun", 6)]
    assert (told["metric"], told["verdict"]) == ("score", "a flow")


def test_the_critical_step_is_found_where_training_code_is_given(call, tmp_path):
    options = ("--train", "tests.validation.turning:train", "--train-steps", "2,64", "--train-seeds", "0,1")
    page = tmp_path / "page.html"
    done = call("validate", "tests.validation.turning:doubtful_model", *EULER, *options, "-o", str(page))
    assert done.exit_code == 1
    assert "The critical step is that of 64 steps" in done.output
    assert "The critical step is that of 64 steps" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("tests.validation.turning:nothing",), "has no 'nothing'"),
        (("tests.validation.turning:model_only", *EULER), "No data are given. Give --data"),
        (("tests.validation.turning:clear_model",), "--solver, --steps"),
        (("tests.validation.turning:clear_model", "--solver", "eulr", "--steps", "2"), "did you mean 'euler'"),
        (("tests.validation.turning:clear_model", *EULER, "--finer", "2;4"), "whole numbers with commas"),
        (("tests.validation.turning:clear_model", *EULER, "--train", "a:b"), "--train needs --train-steps"),
        (("tests.validation.turning:clear_model", *EULER, "-o", "."), "is a directory"),
    ],
)
def test_wrong_usage_ends_with_2_and_says_what_is_wrong(call, arguments, words):
    done = call("validate", *arguments)
    assert done.exit_code == 2, done.output
    assert words in done.output


@pytest.mark.parametrize("what", ["raise ValueError('my own fault')", "raise SystemExit(0)", "import no_such_library"])
def test_a_crash_of_the_model_is_no_verdict(call, tmp_path, what):
    (tmp_path / "net.py").write_text(f"def make():\n    {what}\n", encoding="utf-8")
    done = call("validate", f"{tmp_path / 'net.py'}:make", *EULER)
    assert done.exit_code == 2
    assert "net.py" in done.output and "Traceback" in done.output


def test_what_a_model_prints_does_not_stand_in_the_json(call, tmp_path):
    text = "from tests.validation.turning import few\n\n\ndef make():\n    print('epoch 1')\n    return few()\n"
    (tmp_path / "loud.py").write_text(text, encoding="utf-8")
    done = call("validate", f"{tmp_path / 'loud.py'}:make", *EULER, "--json")
    assert json.loads(done.stdout)["verdict"] == "undecided"
    assert "epoch 1" in done.stderr


def test_the_help_says_that_code_is_run(call):
    said = " ".join(call("validate", "--help").output.split())
    assert "imports its module and so runs its code" in said
    assert "Exit codes: 0 a flow; 1 tied to its solver; 3 undecided" in said
