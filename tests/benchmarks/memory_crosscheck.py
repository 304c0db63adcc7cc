"""Peak memory by the tracker against torch.profiler's, cell by cell of a suite.

`python tests/benchmarks/memory_crosscheck.py suites/quickstart.toml` prints a line for each cell; it exits with 1 where they differ by
more than 1 % and no operator's workspace accounts for it. Each cell is measured in a fresh process, as in a run.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TOLERANCE = 0.01


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Peaks of one cell, in bytes, and what can make them differ.

    Attributes:
        tracker: the tracker's.
        profiler: the profiler's, with nothing else watching.
        watched: the profiler's under a dispatch mode that does nothing. Autograd adds gradients in place where nobody else holds
            them; any dispatch mode holds them, so that `aten::add` makes a new one.
        peak_operator: the operator in which the profiler saw the peak.
        workspace: bytes that this operator allocates and frees again by itself.
        undispatched: by what was running, bytes allocated outside any operator.
    """

    tracker: int
    profiler: int
    watched: int
    peak_operator: str | None
    workspace: int
    undispatched: dict[str, int]

    @property
    def difference(self) -> float:
        """The tracker's peak, relative to the profiler's."""
        return (self.tracker - self.profiler) / max(self.profiler, 1)

    @property
    def cause(self) -> str | None:
        """None where they agree within the tolerance; else the operators that account for it; "?" where none do."""
        if abs(self.difference) <= TOLERANCE:
            return None
        if abs(self.tracker - self.watched) <= TOLERANCE * self.watched:
            return "aten::add, in place when unwatched"
        missing = self.profiler - self.tracker
        if 0 < missing <= self.workspace:
            return f"workspace of {self.peak_operator}: {self.workspace}"
        unseen = {name: size for name, size in self.undispatched.items() if size > TOLERANCE * missing}
        if 0 < missing <= self.workspace + sum(unseen.values()):
            return f"workspace of {self.peak_operator}: {self.workspace}; outside operators: {unseen}"
        return "?"


def compare(cell_json: str, local_files: tuple[str, ...] = ()) -> Comparison:
    """Measure one cell in each way, each in its own process."""
    found = {}
    for way in ("tracker", "profiler", "watched"):
        command = [sys.executable, __file__, "--one", way, cell_json, *local_files]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr)
        found[way] = json.loads(done.stdout.splitlines()[-1])
    return Comparison(
        tracker=found["tracker"]["peak"], watched=found["watched"]["peak"], profiler=found["profiler"]["peak"],
        peak_operator=found["profiler"]["operator"], workspace=found["profiler"]["workspace"],
        undispatched=found["profiler"]["undispatched"],
    )  # fmt: skip


def _one(way: str, cell_json: str, local_files: tuple[str, ...]) -> dict[str, Any]:
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    from odebench.plan.cell import Cell
    from odebench.run.bench import load_bench
    from odebench.run.identity import identity_of
    from odebench.run.memory_part import memory_use, passes
    from odebench.run.memory_profile import profile_memory
    from odebench.run.worker import load_plugins

    class Nothing(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            return func(*args, **(kwargs or {}))

    torch.set_num_threads(1)
    cell = Cell.from_json(json.loads(cell_json))
    registry = load_plugins(None, local_files)
    bench = load_bench(cell, load_plugins(identity_of(cell, registry).prefixes, local_files))
    if way == "tracker":
        return {"peak": memory_use(bench).peak_bytes}
    forward, backward = passes(bench, bench.start(0))

    def work() -> object:
        with Nothing() if way == "watched" else nullcontext():
            answer = forward()
            backward(answer)
        return answer

    found = profile_memory(work)
    return {
        "peak": found.peak_bytes,
        "operator": found.peak_operator,
        "workspace": found.workspaces.get(found.peak_operator or "", 0),
        "undispatched": found.undispatched,
    }


def main() -> int:
    """All cells of a suite that can run here."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("suite", type=Path)
    options = parser.parse_args()
    from odebench.plan.expand import expand
    from odebench.plan.suite import read_suite
    from odebench.plugins import build_registry
    from odebench.run.devices import device_reason

    registry = build_registry()
    unexplained = 0
    for planned in expand(read_suite(options.suite), registry, device_reason).runnable:
        cell = planned.cell
        name = f"{cell.task} {cell.model} {cell.solver} {cell.gradient or ''} {cell.grid}"
        try:
            found = compare(json.dumps(cell.to_json()))
        except RuntimeError as error:
            sys.stdout.write(f"-                                  {name}: {str(error).strip().splitlines()[-1]}\n")
            continue
        unexplained += found.cause == "?"
        why = f"  [{found.cause}]" if found.cause else ""
        sys.stdout.write(f"{found.tracker:>14} {found.profiler:>14} {found.difference:>+8.2%}  {name}{why}\n")
        sys.stdout.flush()
    sys.stdout.write(
        f"{unexplained} cells differ by more than {TOLERANCE:.0%} without an operator that accounts for it\n"
    )
    return 1 if unexplained else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        sys.stdout.write(json.dumps(_one(sys.argv[2], sys.argv[3], tuple(sys.argv[4:]))) + "\n")
    else:
        sys.exit(main())
