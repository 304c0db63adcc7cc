"""SIGKILL at any moment loses at most what was in flight."""

import os
import random
import signal
import subprocess
import sys
import time

from odebench.outcome import Outcome
from odebench.records import Record, ResultFolder

WRITES = """
import sys
sys.path[:] = {path!r}
from odebench.records import Machine, Record, ResultWriter
machine = Machine(**{machine!r})
with ResultWriter({folder!r}, machine) as writer:
    print("ready", flush=True)
    for turn in range({first}, {first} + 100_000):
        # Every other record is measured anew, so that kills meet moves to the history too.
        cell_id = f"{{turn // 2:016x}}"
        record = Record(cell_id=cell_id, cell={{}}, suite="s", experiments=("e",), freshness=str(turn % 2), machine_id=machine.id)
        writer.begin(record)
        for name, part in [("quality", {{}}), ("memory", {{}}), ("timing", {{"round": 0}}), ("timing", {{"round": 1}})]:
            writer.put_part(cell_id, name, {{"outcome": "ok", "note": "x" * 5000, **part}})
            print(turn, name, part.get("round", 0), flush=True)
"""


def has(record: Record, name: str, number: int) -> bool:
    if name == "timing":
        return record.parts.timing is not None and number in {one.round for one in record.parts.timing.rounds}
    return getattr(record.parts, name) is not None


def test_ten_kills_at_random_moments_lose_nothing_that_was_stored(tmp_path, machine):
    dice = random.Random(3)
    folder = ResultFolder(tmp_path / "results")
    facts = machine.to_json()
    del facts["id"]
    stored, first = set(), 0
    for _ in range(10):
        code = WRITES.format(path=sys.path, machine=facts, folder=str(folder.path), first=first)
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
            ready = process.stdout.readline()
            leftovers = [file for file in folder.path.glob("**/.*.tmp") if f".{process.pid}-" not in file.name]
            told = "".join(process.stdout.readline() for _ in range(dice.randrange(1, 20)))
            time.sleep(dice.uniform(0, 0.03))
            os.kill(process.pid, signal.SIGKILL)
            told += process.stdout.read()
        assert (ready, leftovers) == ("ready\n", [])
        for line in told.splitlines(keepends=True):
            if line.endswith("\n"):
                turn, name, number = line.split()
                stored.add((int(turn), name, int(number)))
        first = max((turn for turn, _, _ in stored), default=0) + 2
        first += first % 2
        found = {}
        for record in (*folder.iter_records(), *folder.iter_records(history=True)):
            assert isinstance(record, Record), record
            assert record.outcome is Outcome.OK
            found[int(record.cell_id, 16) * 2 + int(record.freshness)] = record
        assert [one for one in stored if not has(found[one[0]], one[1], one[2])] == []
    assert len(stored) > 60
    assert any(True for _ in folder.iter_records(history=True))
