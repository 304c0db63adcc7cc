"""Made-up trainings and what became of them: accuracies by a rule that a hand can follow, and long columns."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from tests.report import synthetic
from tests.report.synthetic import LAPTOP, Record

ORDER = {"euler": 1, "midpoint": 2, "rk4": 4}
STEPS, SEEDS, FACTORS = (2, 16, 64, 256), (0, 1, 2), (0.5, 1.0, 2.0)
OWN = 0.98


def study(task: str, solver: str, grid: dict[str, Any], values: dict[str, Any], **cell: Any) -> Record:
    """The record of a study: a quality part, and nothing else."""
    machine = cell.pop("machine", LAPTOP)
    made = synthetic.record("integrate", "mlp-field", "euler", None, {"steps": 1}, machine=machine)
    made["cell"] |= {
        "task": {"name": task, "parameters": cell.pop("parameters", {})},
        "model": {"name": "conv1d-net", "parameters": {"width": 32}},
        "solver": {"name": solver, "parameters": {}},
        "gradient": None,
        "grid": grid,
        "dtype": "float32",
    } | cell
    made["cell_id"] = hashlib.sha256(json.dumps(made["cell"], sort_keys=True).encode()).hexdigest()[:16]
    made["suite"] = "lesson"
    made["parts"] = {"quality": {"outcome": "ok", "values": values, "reasons": {}}}
    return made


def training(steps: int, seed: int = 0, accuracy: float = OWN, **more: Any) -> Record:
    """A training with Euler on a fixed grid."""
    values = {
        "accuracy_test": accuracy, "accuracy_train": accuracy, "iterations": 100, "step_size_final": 1 / steps,
        "steps_final": steps, "nfe_mean": float(steps), "nfe_training": 100 * steps, "nfe_checks": 0,
    }  # fmt: skip
    return study(
        "train", "euler", {"steps": steps}, values | more, seed=seed, parameters={"iterations": 100},
        gradient={"name": "direct", "parameters": {}}, policy={"name": "fixed", "parameters": {}},
    )  # fmt: skip


def adapted(seed: int, step: float, accuracy: float = OWN, nfe: float = 90.0) -> Record:
    """A training with Euler whose policy chose the steps."""
    values = {
        "accuracy_test": accuracy, "accuracy_train": accuracy, "iterations": 400, "step_size_final": step,
        "steps_final": round(1 / step), "nfe_mean": nfe, "nfe_training": 30_000, "nfe_checks": 900,
    }  # fmt: skip
    return study(
        "train", "euler", {}, values, seed=seed, parameters={"iterations": 100},
        gradient={"name": "direct", "parameters": {}}, policy={"name": "step-adaptation", "parameters": {"interval": 50}},
    )  # fmt: skip


def swapped(
    origin: Record, solver: str, accuracy: float, *, factor: float | None = None, steps: int | None = None
) -> Record:
    """A trained model with another solver, or another multiple of its step."""
    own = origin["parts"]["quality"]["values"]
    size = own["step_size_final"] * factor if steps is None else 1 / steps
    taken = int(np.ceil(1 / size - 1e-9))
    values = {
        "accuracy_test": accuracy, "accuracy_change": accuracy - own["accuracy_test"], "changed_answers": 3,
        "nfe_forward": taken * ORDER[solver], "steps_accepted": taken, "step_size": size,
    }  # fmt: skip
    grid = {"factor": factor} if steps is None else {"steps": steps}
    return study("swap", solver, grid, values, seed=origin["cell"]["seed"], needs=[origin["cell_id"]])


def rule(steps: int, seed: int, solver: str, factor: float) -> float:
    """With its own solver and step a model is right; finer or better ones take `40 / steps` per cent off, a little more by seed."""
    if solver == "euler" and factor == 1:
        return OWN
    loss = min(0.4 / steps * (1 + 0.1 * seed), 0.49) * (0.5 if factor > 1 else 1.0)
    return OWN - loss


def lesson(steps: Sequence[int] = STEPS, seeds: Sequence[int] = SEEDS) -> list[Record]:
    """Trainings on some grids, with every swap."""
    made = []
    for count in steps:
        for seed in seeds:
            origin = training(count, seed)
            made.append(origin)
            made += [
                swapped(origin, solver, rule(count, seed, solver, factor), factor=factor)
                for solver in ORDER
                for factor in FACTORS
            ]
    return made


def crossing(origin: Record, crossings: int, fine: int = 0) -> Record:
    """A trained model whose trajectories cross so often."""
    values = {"crossings": crossings, "crossings_fine": fine, "crossing_pairs": crossings, "trajectories": 40}
    return study("crossings", "euler", {"factor": 1.0}, values, seed=origin["cell"]["seed"], needs=[origin["cell_id"]])


def trace(iterations: int = 400, shrink: Iterable[int] = (100, 250), start: float = 0.125) -> dict[str, np.ndarray]:
    """Long columns of a training whose step is halved at some iterations and grows by a tenth in every other fiftieth."""
    cuts, step, steps = set(shrink), start, []
    for iteration in range(iterations):
        if iteration in cuts:
            step /= 2
        elif iteration and iteration % 50 == 0:
            step *= 1.1
        steps.append(step)
    at = np.arange(1, iterations + 1)
    return {"iteration": at, "loss": 1 / at, "accuracy": 1 - 1 / (1 + at), "step_size": np.array(steps)}


def paths(count: int = 40) -> dict[str, np.ndarray]:
    """Straight trajectories of two classes, from a ring to two sides; rows 0 and 1 cross at (0.5, 0.25) on the own grid."""
    parts = []
    for word, corners in (("own", 3), ("fine", 9)):
        for index in range(count):
            along = np.linspace(0, 1, corners)
            angle = 2 * np.pi * index / count
            side = 1 if index % 2 else -1
            parts.append(
                pd.DataFrame(
                    {"on_grid": word, "index": index, "class": index % 2, "time": along, "x": np.cos(angle) + side * along,
                     "y": np.sin(angle) * (1 - along), "other": -1}
                )
            )  # fmt: skip
    parts.append(
        pd.DataFrame(
            {"on_grid": ["own"], "index": [0], "class": [-1], "time": [np.nan], "x": [0.5], "y": [0.25], "other": [1]}
        )
    )
    table = pd.concat(parts, ignore_index=True)
    return {name: table[name].to_numpy() for name in table.columns}


def long_frame(series: Mapping[str, Mapping[str, np.ndarray]]) -> pd.DataFrame:
    """What `load_series` gives, from the columns of each cell."""
    parts = [pd.DataFrame(columns).assign(cell_id=cell, machine_id=LAPTOP) for cell, columns in series.items()]
    return (
        pd.concat(parts, ignore_index=True).convert_dtypes()
        if parts
        else pd.DataFrame({"cell_id": [], "machine_id": []})
    )


def write_lesson(
    folder: Path, records: list[Record], series: Mapping[str, Mapping[str, np.ndarray]], claims: str = ""
) -> Path:
    """Records, run and series as the run writes them."""
    synthetic.write_folder(folder, records)
    run = json.loads((folder / "run.json").read_text())
    run |= {
        "suite": "lesson",
        "text": 'schema = 1\n[suite]\nname = "lesson"\ntitle = "A lesson"\n' + claims,
        "overrides": [],
    }
    (folder / "run.json").write_text(json.dumps(run))
    (folder / "series").mkdir()
    for cell, columns in series.items():
        about = {"schema": 1, "cell_id": cell, "machine_id": LAPTOP, "freshness": "f" * 16}
        table = pa.table({name: pa.array(values) for name, values in columns.items()})
        content = io.BytesIO()
        pa.parquet.write_table(table.replace_schema_metadata({b"odebench": json.dumps(about)}), content)
        (folder / "series" / f"{cell}.{LAPTOP}.parquet").write_bytes(content.getvalue())
    return folder
