"""`odebench report` and `odebench plot`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.report import synthetic


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small folder of made-up results."""
    records = [synthetic.record("integrate", "van-der-pol", "rk4", None, {"steps": steps}) for steps in (32, 64, 128)]
    return synthetic.write_folder(tmp_path_factory.mktemp("results") / "quickstart", records)


def test_a_report_is_written_and_its_path_told(call, folder: Path):
    result = call("report", folder)
    assert result.exit_code == 0
    index = folder / "report" / "index.html"
    assert str(index) in result.output
    assert index.stat().st_size > 10_000
    assert str(folder / "records.parquet") in result.output


def test_json_names_every_file(call, folder: Path, tmp_path: Path):
    result = call("report", folder, "--into", tmp_path / "elsewhere", "--json")
    told = json.loads(result.stdout)
    assert Path(told["index"]) == tmp_path / "elsewhere" / "index.html"
    assert all(Path(path).is_file() for path in (told["index"], *told["figures"], *told["tables"]))
    assert {Path(path).suffix for path in told["figures"]} == {".png", ".svg"}


@pytest.mark.parametrize("words", [("report",), ("plot", "--x", "steps", "--y", "error_final", "-o", "a.png")])
def test_a_folder_without_results_is_an_error(call, tmp_path: Path, words: tuple[str, ...]):
    (tmp_path / "empty").mkdir()
    result = call(words[0], tmp_path / "empty", *words[1:])
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: ")
    assert "`odebench run`" in result.stderr


def test_a_plot_is_written_in_each_format(call, folder: Path, tmp_path: Path):
    for suffix, begins in ((".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")):
        output = tmp_path / f"work{suffix}"
        words = ["--x", "nfe_forward", "--y", "error_final", "--hue", "solver", "--where", "task == 'integrate'"]
        result = call("plot", folder, *words, "-o", output)
        assert result.exit_code == 0, result.output
        assert result.output.strip() == str(output)
        assert output.read_bytes().startswith(begins)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--x", "nfe_forwards", "--y", "error_final"], "did you mean 'nfe_forward'?"),
        (["--x", "steps", "--y", "error_final", "--where", "model == 'lorenz'"], "model is one of van-der-pol"),
        (["--x", "steps", "--y", "error_final", "--where", "__import__('os')"], "There is no __import__(…)"),
    ],
)
def test_a_plot_that_cannot_be_drawn_says_why(call, folder: Path, tmp_path: Path, words: list[str], told: str):
    result = call("plot", folder, *words, "-o", tmp_path / "a.png")
    assert result.exit_code == 2
    assert told in result.stderr
    assert not (tmp_path / "a.png").exists()


@pytest.mark.parametrize("command", ["report", "plot"])
def test_neither_torch_nor_a_plugin_is_loaded(folder: Path, tmp_path: Path, command: str):
    """Reports are built on laptops that have neither."""
    words = {
        "report": ["report", str(folder), "--into", str(tmp_path / "report")],
        "plot": ["plot", str(folder), "--x", "steps", "--y", "error_final", "-o", str(tmp_path / "a.svg")],
    }[command]
    code = (
        "import sys\nfrom odebench.cli import main\n"
        f"main({words!r}, standalone_mode=False)\n"
        "assert not {'torch', 'pluggy', 'odebench.plugins', 'odebench.run'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, check=False)
    assert done.returncode == 0, done.stderr
