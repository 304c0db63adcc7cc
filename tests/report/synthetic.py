"""A made-up result folder in the format of the records: power laws plus noise, and every way to fail."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

MODELS = {"lotka-volterra": 1.0, "van-der-pol": 8.0, "mlp-field": 0.3, "harmonic-oscillator": 0.6}
# name: order, evaluations a step, adaptive
SOLVERS = {
    "euler": (1, 1, False),
    "midpoint": (2, 2, False),
    "rk4": (4, 4, False),
    "bosh3": (3, 3, True),
    "dopri5": (5, 6, True),
    "kvaerno3": (3, 12, True),
}
# name: exact, bytes a step and stage, share of evaluations repeated in the backward pass
GRADIENTS = {
    "direct": (True, 4096, 0.0),
    "anode": (True, 4096, 1.0),
    "step-checkpoint": (True, 512, 1.0),
    "continuous-adjoint": (False, 0, 1.0),
}
STEPS = (32, 64, 128, 256)
TOLERANCES = (1e-3, 1e-5, 1e-7)
EPS = {"float32": 2.0**-23, "float64": 2.0**-52}
FIELD_SECONDS = 20e-6
LAPTOP, SERVER = "1a" * 8, "5e" * 8
HOSTILE = "<script>window.hacked=1</script>\"'&amp; $x_{"

SUITE = """schema = 1

[suite]
name = "quickstart"
title = "Which solver, which gradient method?"

[budget]
device = ["cpu"]
processes = 1
repeats = 5
timeout = "20s"
"""

Record = dict[str, Any]


def record(
    task: str,
    model: str,
    solver: str,
    gradient: str | None,
    grid: dict[str, Any],
    *,
    dtype: str = "float64",
    machine: str = LAPTOP,
    processes: int = 1,
    repeats: int = 5,
    slowdown: float = 1.0,
    parameters: dict[str, dict[str, Any]] | None = None,
) -> Record:
    """One record that ended ok; the same arguments give the same record."""
    parameters = parameters or {}
    cell = {
        "task": {"name": task, "parameters": parameters.get("task", {})},
        "model": {"name": model, "parameters": parameters.get("model", {"batch": 16})},
        "solver": {"name": solver, "parameters": parameters.get("solver", {})},
        "gradient": gradient and {"name": gradient, "parameters": parameters.get("gradient", {})},
        "grid": grid,
        "device": "cpu",
        "dtype": dtype,
        "threads": 1,
        "seed": 0,
        "needs": [],
    }
    cell_id = hashlib.sha256(json.dumps(cell, sort_keys=True).encode()).hexdigest()[:16]
    noise = random.Random(f"{cell_id} {machine}")
    order, stages, _ = SOLVERS[solver]
    scale = MODELS[model]
    steps = grid.get("steps") or max(8, round(6 * scale ** (1 / order) * grid["rtol"] ** (-1 / (order + 1))))
    error = max(scale * (6 / steps) ** order * noise.uniform(0.8, 1.25), 3 * EPS[dtype])
    evaluations = steps * stages
    quality: dict[str, Any] = {
        "nfe_forward": evaluations,
        "nfe_method": "counted",
        "steps_accepted": steps,
        "steps_rejected": 0 if "steps" in grid else steps // 9,
        "reference": "closed form" if scale < 1 else "mpmath, 30 digits",
        "reference_digits": 14.0,
    }
    reasons: dict[str, str] = {}
    if task == "reversibility":
        quality["roundtrip_error"] = error * 2 if solver != "midpoint" else 0.0
        quality["nfe_forward"] = 2 * evaluations
    else:
        quality |= {"error_final": error, "error_trajectory_max": error * 1.7, "error_trajectory_rms": error * 0.9}
    memory: dict[str, Any] = {
        "memory_peak_bytes": 20_000,
        "memory_forward_bytes": 2_000,
        "memory_left_bytes": 0,
        "memory_method": "dispatch-tracker",
    }
    forward = evaluations * FIELD_SECONDS * slowdown
    backward = 0.0
    if gradient:
        exact, bytes_a_stage, repeated = GRADIENTS[gradient]
        quality["nfe_backward"] = round(evaluations * repeated)
        quality["vjps"] = evaluations
        quality["grad_error_y0"] = error * (1.5 if exact else 2.5)
        quality["grad_error_params"] = error * (2 if exact else 3) if model == "mlp-field" else None
        if quality["grad_error_params"] is None:
            reasons["grad_error_params"] = "the model has no parameters"
        rounding = EPS[dtype] * noise.choice([0, 1, 2, 5])
        quality["grad_error_discrete"] = rounding if exact else error
        quality["grad_cosine"] = 1 - error / 2
        memory["memory_peak_bytes"] = 20_000 + bytes_a_stage * stages * steps + (0 if exact else 16 * steps)
        backward = forward * (2 + repeated)
    rounds = [
        {
            "round": nth,
            "outcome": "ok",
            "reason": None,
            "samples": _samples(forward, backward, repeats, noise, noise.gauss(1, 0.04)),
            "time_first_s": forward * 3,
            "time_prepare_s": 0.02,
            "cpu_over_wall": 1.0,
            "valid": True,
            "reason_invalid": None,
            "seconds": 1.0,
        }
        for nth in range(processes)
    ]
    return {
        "schema": 1,
        "cell_id": cell_id,
        "cell": cell,
        "suite": "quickstart",
        "experiments": ["work and precision" if task == "integrate" else f"{task}, every method"],
        "freshness": "f" * 16,
        "machine_id": machine,
        "versions": {"odebench": "0.1.0", "torch": "2.13.0"},
        "outcome": "ok",
        "reason": None,
        "traceback": None,
        "outcome_of": {"quality": "ok", "memory": "ok", "timing": "ok"},
        "parts": {
            "quality": {"outcome": "ok", "reason": None, "values": quality, "reasons": reasons, "seconds": 0.2},
            "memory": {"outcome": "ok", "reason": None, "values": memory, "reasons": {}, "seconds": 0.2},
            "timing": {"rounds": rounds},
        },
    }


def failed(made: Record, outcome: str, reason: str) -> Record:
    """The record with another end: nothing was measured, as after a crash or for what is not offered."""
    return made | {"outcome": outcome, "reason": reason, "parts": {}, "outcome_of": {"quality": outcome}}


def quickstart(
    machine: str = LAPTOP,
    processes: int = 1,
    slowdown: float = 1.0,
    models: Sequence[str] = tuple(MODELS),
    solvers: Sequence[str] = tuple(SOLVERS),
) -> list[Record]:
    """Records of a plausible quickstart: models, solvers, four gradient methods, three tasks, all outcomes."""
    made = []
    for model in models:
        for solver in solvers:
            adaptive = SOLVERS[solver][2]
            for grid in _grids(adaptive):
                options = {"machine": machine, "processes": processes, "slowdown": slowdown}
                made.append(record("integrate", model, solver, None, grid, **options))
                made += [record("gradient", model, solver, name, grid, **options) for name in GRADIENTS]
            made.append(record("reversibility", model, solver, None, _grids(adaptive)[1], **options))
            made.append(record("reversibility", model, solver, None, _grids(adaptive)[2], **options))
    ends = [
        ("diverged", "The state is not finite after step 17 of 32."),
        ("timeout", "It was stopped after 120 s."),
        ("out_of_memory", "The allocator refused 9.1 GiB; the limit is 8 GiB."),
        ("unsupported", "gradient method 'continuous-adjoint' needs a field without noise."),
        ("blocked", "The training it needs failed."),
        ("error", f"ValueError: {HOSTILE}"),
        ("crashed", "The process died of signal 11 (segmentation fault)."),
    ]
    for place, end in enumerate(ends):
        made[place * 23 + 2] = failed(made[place * 23 + 2], *end)
    return made


def write_folder(folder: Path, records: list[Record]) -> Path:
    """Write records, the run and the machines as the run does."""
    (folder / "cells").mkdir(parents=True)
    (folder / "machines").mkdir()
    for one in records:
        (folder / "cells" / f"{one['cell_id']}.{one['machine_id']}.json").write_text(json.dumps(one))
    for machine in {one["machine_id"] for one in records}:
        described = {
            "id": machine,
            "cpu_model": "Example CPU",
            "cores": 2,
            "memory_gib": 8,
            "accelerators": [],
            "system": "Linux (Debian GNU/Linux 12)",
            "architecture": "x86_64",
            "python": "CPython 3.11.2",
        }
        (folder / "machines" / f"{machine}.json").write_text(json.dumps(described))
    run = {
        "schema": 1,
        "suite": "quickstart",
        "text": SUITE,
        "sha256": "0" * 64,
        "budget_name": "quick",
        "overrides": ["budget.repeats=5"],
        "plugins": {"odebench-torchdiffeq": "0.1.0"},
        "cells": [one["cell_id"] for one in records],
        "created": "2026-01-05T10:00:00+00:00",
        "updated": "2026-01-05T11:00:00+00:00",
        "history": [],
    }
    (folder / "run.json").write_text(json.dumps(run))
    return folder


def _grids(adaptive: bool) -> list[dict[str, Any]]:
    if adaptive:
        return [{"rtol": value, "atol": value, "batch": "joint"} for value in TOLERANCES]
    return [{"steps": steps} for steps in STEPS]


def _samples(
    forward: float, backward: float, repeats: int, noise: random.Random, drift: float
) -> dict[str, list[float]]:
    """Timed samples of one process: its own drift, and a little noise."""
    forwards = [forward * drift * noise.uniform(1, 1.05) for _ in range(repeats)]
    if not backward:
        return {"time_forward_s": forwards, "time_total_s": forwards}
    backwards = [backward * drift * noise.uniform(1, 1.05) for _ in range(repeats)]
    totals = [a + b for a, b in zip(forwards, backwards, strict=True)]
    return {"time_forward_s": forwards, "time_backward_s": backwards, "time_total_s": totals}
