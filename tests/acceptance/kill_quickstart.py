"""Kill a run of the quickstart with SIGKILL at random moments, restart it, and compare it with an undisturbed run.

    python tests/acceptance/kill_quickstart.py FOLDER [KILLS]

Exits with 1 where a deterministic column differs, or where a part that was recorded before a kill was measured again.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd

import odebench

SUITE = Path(__file__).parents[2] / "suites" / "quickstart.toml"
MEASURED_ANEW = ("time_", "timing_", "machine_id")


def command(into: Path) -> list[str]:
    """The run, without a report."""
    return [sys.executable, "-m", "odebench", "run", str(SUITE), "--into", str(into), "--no-report"]


def parts(folder: Path) -> dict[tuple[str, str], str]:
    """Every recorded part as text, by cell and name."""
    found = {}
    for path in (folder / "cells").glob("*.json"):
        record = json.loads(path.read_text())
        for name, part in record["parts"].items():
            for index, piece in enumerate(part["rounds"] if name == "timing" else [part]):
                if piece:
                    found[record["cell_id"], f"{name} {index}"] = json.dumps(piece, sort_keys=True)
    return found


def main() -> int:
    """Run, kill, compare."""
    folder, kills = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 10
    start = time.monotonic()
    subprocess.run(command(folder / "undisturbed"), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    whole = time.monotonic() - start
    print(f"undisturbed: {whole:.0f} s")
    generator = random.Random(0)
    killed, recorded, changed, alive = folder / "killed", {}, 0, 0
    for kill in range(kills):
        process = subprocess.Popen(
            command(killed), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        time.sleep(generator.uniform(2.0, 2.0 + 1.5 * whole / kills))
        alive += process.poll() is None
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        time.sleep(0.5)
        now = parts(killed)
        changed += sum(now.get(key) != text for key, text in recorded.items())
        recorded = now
        print(f"kill {kill + 1}: {len(recorded)} parts recorded")
    subprocess.run(command(killed), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    final = parts(killed)
    changed += sum(final.get(key) != text for key, text in recorded.items())
    one, other = (
        odebench.load(folder / name).sort_values("cell_id", ignore_index=True) for name in ("undisturbed", "killed")
    )
    columns = [name for name in one.columns if not name.startswith(MEASURED_ANEW) and name != "missing"]
    differing = [name for name in columns if not pd.Series(one[name]).equals(other[name])]
    print(f"{alive} of {kills} kills met a run that was under way")
    print(
        f"{len(one)} cells, {len(columns)} deterministic columns; differing: {differing or 'none'}; measured twice: {changed}"
    )
    return 1 if differing or changed or alive < kills else 0


if __name__ == "__main__":
    sys.exit(main())
