"""The compiled engine beside torchdiffeq and diffrax: ratios over shuffled rounds, each library in a process of its own.

    python tests/benchmarks/compiled.py [--jax PYTHON] [--rounds 15] [PROBLEM ...]

`--jax` names an interpreter that has diffrax and jax; without it diffrax is left out. One thread each. A round is one process's turn
of a few calls; a ratio is that of the medians of two processes in one round, and its interval the central 95 % of medians of rounds
drawn with replacement. Compilation is the first call less a later one; the last column says after how many calls it has paid.
`odebench-ahead` calls what `odebench.compile_solver` gives, and so looks for no field: as a solve does that `jax.jit` has compiled.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

WORKER = Path(__file__).with_name("compiled_worker.py")
sys.path.insert(0, str(WORKER.parent))
from compiled_worker import PROBLEMS  # noqa: E402 - beside this script, which is no module of the package

OURS = "odebench-compiled"
CALLS = 5
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "JAX_PLATFORMS": "cpu",
}


class Process:
    """A library at work on a problem."""

    def __init__(self, interpreter: str, library: str, problem: str) -> None:
        self.library = library
        self._process = subprocess.Popen(
            [interpreter, str(WORKER), library, problem],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | ENVIRONMENT,
        )
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{library} on {problem}: {self._process.stderr.read().strip().splitlines()[-1]}")
        first = json.loads(line)
        self.first_s, self.found = first["first_s"], first["found"]

    def turn(self, calls: int) -> list[float]:
        """Seconds of each of some calls."""
        self._process.stdin.write(f"{calls}\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def end(self) -> None:
        self._process.stdin.close()
        self._process.wait()


def compare(problem: str, jax: str | None, rounds: int) -> list[dict[str, Any]]:
    """One row a library."""
    libraries = [OURS, "odebench-eager"]
    # Ahead of time there is no gradient; diffrax's jitted solve, which finds its field and shapes known, is the one to compare.
    libraries += ["odebench-compiled-two-levels"] if problem.endswith("gradient") else ["odebench-ahead"]
    libraries += [] if problem.endswith("rows") else ["torchdiffeq"]
    processes = [Process(sys.executable, library, problem) for library in libraries]
    processes += [Process(jax, "diffrax", problem)] if jax else []
    for process in processes:
        process.turn(CALLS)
    medians: dict[str, list[float]] = {process.library: [] for process in processes}
    order, shuffled = list(processes), random.Random(0)
    for _ in range(rounds):
        shuffled.shuffle(order)
        for process in order:
            medians[process.library].append(statistics.median(process.turn(CALLS)))
    for process in processes:
        process.end()
    eager = statistics.median(medians["odebench-eager"])
    return [_row(process, medians, eager, shuffled) for process in processes]


def _row(process: Process, medians: dict[str, list[float]], eager: float, chance: random.Random) -> dict[str, Any]:
    own = medians[process.library]
    ratios = [ours / other for ours, other in zip(medians[OURS], own, strict=True)]
    draws = sorted(statistics.median(chance.choices(ratios, k=len(ratios))) for _ in range(2000))
    time = statistics.median(own)
    compile_s = max(0.0, process.first_s - time)
    compiled = process.library.startswith(("odebench-compiled", "odebench-ahead"))
    return {
        "library": process.library,
        "ms": 1e3 * time,
        "ratio": statistics.median(ratios),
        "low": draws[50],
        "high": draws[1949],
        "first_s": process.first_s,
        "break_even": compile_s / (eager - time) if compiled and time < eager else None,
        "found": process.found,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("problems", nargs="*", metavar="PROBLEM", help=", ".join(PROBLEMS))
    parser.add_argument("--jax", help="interpreter that has diffrax")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    if unknown := set(options.problems) - set(PROBLEMS):
        parser.error(f"no problem {', '.join(sorted(unknown))}; there are {', '.join(PROBLEMS)}")
    print("| problem | library | ms | ours ÷ it [95 %] | first call, s | pays after calls | result |")
    print("|---|---|---|---|---|---|---|")
    for problem in options.problems or PROBLEMS:
        for row in compare(problem, options.jax, options.rounds):
            pays = "" if row["break_even"] is None else f"{row['break_even']:.0f}"
            print(
                f"| {problem} | {row['library']} | {row['ms']:.3f} | {row['ratio']:.2g} [{row['low']:.2g}, {row['high']:.2g}] "
                f"| {row['first_s']:.1f} | {pays} | {row['found']:.6g} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
