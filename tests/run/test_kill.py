"""A run may be killed at any moment: what had ended is kept, what had not is measured once, and the figures are the same."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from odebench.records import Record, ResultFolder
from odebench.report.frame import load

ROOT = Path(__file__).parents[2]
SUITE = """
schema = 1
[suite]
name = "killed"
[budget]
processes = 2
repeats = 1
timeout = "30s"

[[experiment]]
name = "solutions"
task = "integrate"
model = ["lotka-volterra", "logistic"]
solver = ["rk4", "dopri5"]
steps = [16, 32]
tolerance = 1e-4

[[experiment]]
name = "gradients"
task = "gradient"
model = "logistic"
solver = "rk4"
gradient = ["direct", "anode", "continuous-adjoint"]
steps = 16
"""
LAUNCHER = """
import sys
from odebench.plan.expand import expand
from odebench.plan.suite import read_suite
from odebench.plugins import build_registry
from odebench.run.events import PartFinished
from odebench.run.launch import run_plan

def tell(event):
    if isinstance(event, PartFinished):
        print(event.cell.id, event.part, event.round, flush=True)

registry = build_registry(prefixes=[])
plan = expand(read_suite(sys.argv[1]), registry, lambda device: None)
print("planned", flush=True)
run_plan(plan, sys.argv[2], registry=registry, cache=sys.argv[3], on_event=tell)
"""
#: Columns that a clock made; all others are deterministic.
NOISY = ("time_", "timing_", "missing")


def start(suite: Path, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, str(suite), str(folder), str(suite.parent / "cache")],
        stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def recorded(folder: Path) -> set[str]:
    """Every part that lies on disk."""
    found = set()
    for record in ResultFolder(folder).iter_records() if (folder / "cells").is_dir() else ():
        assert isinstance(record, Record), f"half a file: {record}"
        found |= {f"{record.cell_id} {part} None" for part in ("quality", "memory") if getattr(record.parts, part)}
        found |= {
            f"{record.cell_id} timing {one.round}"
            for one in (record.parts.timing.rounds if record.parts.timing else ())
        }
    return found


def deterministic(folder: Path) -> pd.DataFrame:
    frame = load(folder).sort_values("cell_id").reset_index(drop=True)
    return frame[[name for name in frame if not name.startswith(NOISY)]]


def undisturbed(suite: Path, folder: Path) -> None:
    process = start(suite, folder)
    process.communicate()
    assert process.returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0])
def test_kills_change_no_figure_and_nothing_is_measured_twice(tmp_path, seed):
    suite = tmp_path / "killed.toml"
    suite.write_text(SUITE)
    undisturbed(suite, tmp_path / "undisturbed")
    whole = recorded(tmp_path / "undisturbed")
    shutil.rmtree(tmp_path / "cache")

    chance = random.Random(seed)
    folder = tmp_path / "killed"
    told: list[str] = []
    for kill in range(5):
        before = recorded(folder)
        process = start(suite, folder)
        # After some parts and a little more, so that it falls into measuring, judging and writing alike.
        wanted, said = chance.randrange(0, 4), []
        for line in process.stdout:
            said.append(line.strip())
            if len(said) > wanted:
                break
        time.sleep(chance.uniform(0.0, 0.12 if said[-1:] != ["planned"] else 2.5))
        process.send_signal(signal.SIGKILL)
        rest, _ = process.communicate()
        said = [line for line in [*said, *rest.split("\n")] if line and line != "planned"]
        assert not before & set(said), f"kill {kill}: measured again after it was recorded"
        told += said
        assert before <= recorded(folder), f"kill {kill}: something that was recorded is gone"
    assert recorded(folder) != whole, "it was killed before its end"
    undisturbed(suite, folder)

    assert len(told) == len(set(told))
    assert recorded(folder) == whole
    pd.testing.assert_frame_equal(deterministic(folder), deterministic(tmp_path / "undisturbed"), check_exact=True)
    assert not list(folder.rglob("*.tmp"))
    assert json.loads((folder / "run.json").read_text())["suite"] == "killed"
