"""Everything that needs a GPU, in under eight minutes: the tests marked `gpu`, then a table.

    python tests/benchmarks/gpu.py FOLDER [--cpu] [--seconds 470] [--rounds 9] [--problems …] [--libraries …]

Writes `gpu.md` and `gpu.json` to FOLDER. Each library works on each problem in a process of its own; they take turns, in an order
shuffled anew each round. A row is the median over rounds of the median of a turn, by CUDA events, with the central 95 % of medians of
rounds drawn with replacement. The first call, which compiles, is told apart. What fails is a row with its reason. `--cpu` runs all
of it on the CPU, much smaller: to see that the script works, not for its times.

The bound beside a time is max(bytes / bandwidth, operations / peak): bytes of the first and last states, bandwidth as a copy of 2 GiB
on this device has it, operations of the field and of the sums of stages, peak as two operations a lane and clock. A solve that keeps no
states between is far from its bandwidth: it is the peak that bounds it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import select
import statistics
import subprocess
import sys
import time
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
WORKER = HERE / "gpu_worker.py"
ROOT = HERE.parents[1]
LORENZ = (512, 32_768, 1_048_576, 8_388_608)

# In the order of what is to be known first.
PROBLEMS: dict[str, list[str]] = {
    "lorenz 32768": ["kernel", "eager", "torchdiffeq"],
    "lorenz 8388608": ["kernel", "kernel of 2 warps", "kernel of 8 warps", "eager", "torchdiffeq"],
    "lorenz-published 32768": ["kernel", "kernel of 2 warps"],
    "lorenz-gradient 32768": ["kernel", "eager", "torchdiffeq"],
    "mlp64-gradient": ["eager", "loop", "torchdiffeq"],
    "vdp": ["eager", "loop", "torchdiffeq"],
    "mlp64": ["eager", "loop", "torchdiffeq"],
    "lorenz 512": ["kernel", "eager", "loop", "torchdiffeq"],
    "lorenz 1048576": ["kernel", "eager", "torchdiffeq"],
}

SOURCE = (
    'U. Utkarsh et al., "Automated translation and accelerated solving of differential equations on multiple GPU platforms", '
    "Comput. Methods Appl. Mech. Engrg. 419, 2024, 116591; raw data: github.com/utkarsh530/GPUODEBenchmarks, "
    "paper_artifacts/data/Tesla_V100 (PyTorch, Julia) and data/Jax_times_unadaptive.txt. Lorenz, fixed steps of 0.001 over 1, "
    "float32, the end alone, one rho for each trajectory; best of ten runs"
)
# Milliseconds of these numbers of trajectories; the card is a Tesla V100, which the file of JAX does not name.
PUBLISHED = {
    "torchdiffeq and vmap": dict(zip(LORENZ, (774.62, 785.08, None, 14353.03), strict=True)),
    "JAX": dict(zip(LORENZ, (67.59, 82.74, None, 10038.14), strict=True)),
    "Julia, one kernel": dict(zip(LORENZ, (0.210, 0.785, None, 145.32), strict=True)),
}
# Of a step of four stages: 8 operations of the field in each, 7 products and sums of three numbers.
OPERATIONS = 4 * 8 + 2 * 7 * 3


class Process:
    """A library at work on a problem."""

    def __init__(self, device: str, scale: int, library: str, problem: str, errors: Path) -> None:
        self.library, self.reason, self.medians = library, None, []
        self.first: dict[str, Any] = {}
        self.spent = 0.0
        self._errors = errors / f"{problem}, {library}.txt".replace(" ", "-")
        self._process = subprocess.Popen(
            [sys.executable, str(WORKER), device, str(scale), library, problem],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors.open("w", encoding="utf-8"),
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        )

    def read(self, seconds: float) -> Any:
        """Its next answer; None where there is none in time, or it has ended."""
        if self.reason is not None:
            return None
        ready, _, _ = select.select([self._process.stdout], [], [], max(0.0, seconds))
        line = self._process.stdout.readline() if ready else b""
        if line:
            return json.loads(line)
        if not ready:
            self.reason = f"no answer in {seconds:.0f} s"
        else:
            self._process.wait()
            told = self._errors.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            self.reason = told[-1][:300] if told else f"ended with {self._process.returncode}"
        self._process.kill()
        return None

    def turn(self, calls: int, seconds: float) -> None:
        """Some calls."""
        if self.reason is not None:
            return
        before = time.monotonic()
        with suppress(BrokenPipeError):
            self._process.stdin.write(f"{calls}\n".encode())
            self._process.stdin.flush()
        times = self.read(seconds)
        self.spent += time.monotonic() - before
        if times:
            self.medians.append(statistics.median(times))

    def end(self) -> None:
        """Let it go; it leaves when its input ends."""
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def measure(
    problem: str, libraries: list[str], device: str, scale: int, rounds: int, share: float, folder: Path
) -> list[dict[str, Any]]:
    """One row a library.

    Args:
        share: for how many seconds all of this may go on.
    """
    end = time.monotonic() + share
    processes = [Process(device, scale, library, problem, folder) for library in libraries]
    for process in processes:
        process.first = process.read(end - time.monotonic()) or {}
    chance, limit = random.Random(0), share / (2 * len(processes))
    for _ in range(rounds):
        for process in chance.sample(processes, len(processes)):
            left = end - time.monotonic()
            # One that is slow takes fewer turns.
            if left > 0 and (process.spent < limit or len(process.medians) < 3):
                process.turn(1 if process.first.get("first_s", 0.0) > 3.0 and process.spent > 3.0 else 3, left)
    rows = []
    for process in processes:
        process.end()
        rows.append({"problem": problem, "library": process.library, **summary(process, chance)})
    return rows


def summary(process: Process, chance: random.Random) -> dict[str, Any]:
    """What is told of a process."""
    if not process.medians:
        return {"ms": None, "reason": process.reason or "no time left"}
    draws = sorted(statistics.median(chance.choices(process.medians, k=len(process.medians))) for _ in range(2000))
    return {
        "ms": statistics.median(process.medians),
        "low": draws[50],
        "high": draws[1949],
        "least": min(process.medians),
        "rounds": len(process.medians),
        "reason": process.reason,
        **process.first,
    }


def machine(device: str, scale: int, folder: Path) -> dict[str, Any]:
    """What this runs on."""
    told: dict[str, Any] = {"python": platform.python_version(), "device": device}
    for name in ("torch", "triton", "torchdiffeq", "odebench"):
        try:
            told[name] = version(name)
        except PackageNotFoundError:
            told[name] = None
    query = [
        "nvidia-smi",
        "--query-gpu=name,driver_version,clocks.max.sm,memory.total",
        "--format=csv,noheader,nounits",
    ]
    try:
        line = subprocess.run(query, capture_output=True, text=True, check=True, timeout=20).stdout.splitlines()[0]
        told |= dict(zip(("card", "driver", "clock_mhz", "memory_mib"), map(str.strip, line.split(",")), strict=True))
    except (OSError, subprocess.SubprocessError, IndexError, ValueError) as cause:
        told["driver"] = f"unknown ({type(cause).__name__})"
    process = Process(device, scale, "probe", "device", folder)
    told |= process.read(120) or {"probe": process.reason}
    process.end()
    if "lanes" in told and str(told.get("clock_mhz", "")).isdigit():
        told["operations_per_s"] = 2.0 * told["lanes"] * 1e6 * int(told["clock_mhz"])
    return told


def bound(problem: str, of: dict[str, Any]) -> tuple[float, str] | None:
    """The least milliseconds that the device allows, and what bounds."""
    if not problem.startswith("lorenz ") or "operations_per_s" not in of:
        return None
    count = int(problem.split()[1])
    memory = 2 * 3 * 4 * count / of["bytes_per_s"]
    peak = 1000 * OPERATIONS * count / of["operations_per_s"]
    return 1e3 * max(memory, peak), "peak" if peak > memory else "bandwidth"


def tests(folder: Path, marks: str, seconds: float) -> dict[str, Any]:
    """Those of the tests marked `gpu`."""
    name = marks.replace(" ", "-")
    command = [sys.executable, "-m", "pytest", "-v", "-m", marks, "-p", "no:cacheprovider", "--durations=10"]
    before = time.monotonic()
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False)
        lines, code = (done.stdout + done.stderr).splitlines(), done.returncode
    except subprocess.TimeoutExpired as cause:
        lines, code = (cause.stdout or b"").decode(errors="replace").splitlines() + ["out of time"], None
    (folder / f"tests-{name}.txt").write_text("\n".join(lines), encoding="utf-8")
    failures = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    return {
        "marks": marks,
        "seconds": time.monotonic() - before,
        "code": code,
        "summary": lines[-1].strip("= ") if lines else "",
        "failed": failures,
    }


def markdown(result: dict[str, Any]) -> str:
    """The result for a reader."""
    of = result["machine"]
    names = ("card", "driver", "clock_mhz", "python", "torch", "triton", "torchdiffeq", "odebench")
    lines = ["# odebench on a GPU", "", ", ".join(f"{name} {of.get(name)}" for name in names), ""]
    if "bytes_per_s" in of:
        peak = f"{of['operations_per_s'] / 1e12:.1f} Tflop/s" if "operations_per_s" in of else "unknown"
        lines += [f"Copies: {of['bytes_per_s'] / 1e9:.0f} GB/s; peak in float32: {peak}.", ""]
    for run in result["tests"]:
        lines += [f"Tests marked {run['marks']}: {run['summary']}", *(f"* {line}" for line in run["failed"]), ""]
    if result["scale"] != 1:
        lines += [f"Sizes and steps divided by {result['scale']}: these times say nothing.", ""]
    lines += [
        "The bound is max(bytes / bandwidth, operations / peak); a Lorenz solve without states between is bounded by the peak.",
        "",
        "| problem | library | ms [95 %] | first call, s | bound, ms | ÷ bound | peak, MB | published on a V100, ms |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        if row["ms"] is None:
            lines.append(f"| {row['problem']} | {row['library']} | {row['reason'].replace('|', '/')} | | | | | |")
            continue
        limit = bound(row["problem"], of) if result["scale"] == 1 else None
        least, over = (f"{limit[0]:.3g} ({limit[1]})", f"{row['ms'] / limit[0]:.2f}") if limit else ("", "")
        peak = "" if row.get("peak_bytes") is None else f"{row['peak_bytes'] / 1e6:.0f}"
        lines.append(
            f"| {row['problem']} | {row['library']} | {row['ms']:.4g} [{row['low']:.4g}, {row['high']:.4g}] "
            f"| {row['first_s']:.1f} | {least} "
            f"| {over} | {peak} | {published(row['problem'])} |"
        )
    return "\n".join([*lines, "", f"Published: {SOURCE}.", ""])


def published(problem: str) -> str:
    """What others found."""
    kind, _, count = problem.partition(" ")
    if kind not in ("lorenz", "lorenz-published"):
        return ""
    return ", ".join(f"{name} {times[int(count)]:g}" for name, times in PUBLISHED.items() if times[int(count)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cpu", action="store_true", help="on the CPU, and small")
    parser.add_argument("--scale", type=int, help="divide steps and trajectories by this; 1, or 100 with --cpu")
    parser.add_argument("--seconds", type=float, default=470.0, help="for all of it")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--problems", help=f"with commas between; {', '.join(PROBLEMS)}")
    parser.add_argument("--libraries", help="with commas between")
    parser.add_argument("--no-tests", action="store_true")
    options = parser.parse_args()
    start, device = time.monotonic(), "cpu" if options.cpu else "cuda"
    scale = options.scale or (100 if options.cpu else 1)
    chosen = options.problems.split(",") if options.problems else list(PROBLEMS)
    if unknown := set(chosen) - set(PROBLEMS):
        parser.error(f"no problem {', '.join(sorted(unknown))}")
    options.folder.mkdir(parents=True, exist_ok=True)
    errors = options.folder / "errors"
    errors.mkdir(exist_ok=True)
    result: dict[str, Any] = {"scale": scale, "machine": machine(device, scale, errors), "tests": [], "rows": []}
    result["published"] = {"source": SOURCE, "ms": PUBLISHED}
    if not options.no_tests:
        result["tests"].append(tests(options.folder, "gpu and not slow", 0.2 * options.seconds))
        print(result["tests"][-1]["summary"], flush=True)
    for n, problem in enumerate(chosen):
        libraries = options.libraries.split(",") if options.libraries else PROBLEMS[problem]
        left = (1.0 if options.no_tests else 0.85) * options.seconds - (time.monotonic() - start)
        # What is not used goes to those that follow; the first ones are the largest.
        share = max(left / (len(chosen) - n), min(50.0, left / 4))
        result["rows"] += measure(problem, libraries, device, scale, options.rounds, share, errors)
        for row in result["rows"][-len(libraries) :]:
            print(problem, row["library"], row["ms"] if row["ms"] is not None else row["reason"], flush=True)
        write(options.folder, result)
    if not options.no_tests:
        # Loops take the compiler a while.
        result["tests"].append(tests(options.folder, "gpu and slow", options.seconds - (time.monotonic() - start)))
        write(options.folder, result)
    print(markdown(result))


def write(folder: Path, result: dict[str, Any]) -> None:
    """After each problem, so that nothing is lost where this is cut off."""
    (folder / "gpu.json").write_text(json.dumps(result, indent=1), encoding="utf-8")
    (folder / "gpu.md").write_text(markdown(result), encoding="utf-8")


if __name__ == "__main__":
    main()
