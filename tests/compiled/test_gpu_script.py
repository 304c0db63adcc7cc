"""The script that is run where there is a GPU, on the CPU and small."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gpu.py"


def run(folder: Path, *options: str) -> dict[str, object]:
    command = [sys.executable, str(SCRIPT), str(folder), "--cpu", "--no-tests", "--rounds", "2", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    table = (folder / "gpu.md").read_text(encoding="utf-8")
    assert done.stdout.endswith(table + "\n")
    return json.loads((folder / "gpu.json").read_text(encoding="utf-8")) | {"table": table}


def test_a_table_and_its_numbers_are_written_and_what_fails_is_a_row(tmp_path) -> None:
    found = run(tmp_path, "--scale", "1000", "--problems", "lorenz 32768", "--libraries", "eager,nonsense")
    eager, nonsense = found["rows"]
    assert 0.0 < eager["least"] <= eager["low"] <= eager["ms"] <= eager["high"] and eager["rounds"] == 2
    assert nonsense["ms"] is None and nonsense["reason"] == "ValueError: no library 'nonsense'"
    assert "| lorenz 32768 | nonsense | ValueError: no library 'nonsense' |" in found["table"]
    assert "torchdiffeq and vmap 785.08, JAX 82.74, Julia, one kernel 0.785" in found["table"]
    assert found["machine"]["torch"] and found["machine"]["bytes_per_s"] > 0


@pytest.mark.slow
def test_kernels_and_peers_end_where_eager_solves_end(tmp_path) -> None:
    found = run(tmp_path, "--scale", "1000", "--problems", "lorenz 32768,lorenz-gradient 32768")
    for problem in ("lorenz 32768", "lorenz-gradient 32768"):
        ends = {row["library"]: row.get("found") for row in found["rows"] if row["problem"] == problem}
        assert ends["kernel"] == pytest.approx(ends["eager"], rel=1e-5)
        assert ends["torchdiffeq"] == pytest.approx(ends["eager"], rel=1e-5)
