"""Records of a folder as one table: a row a record, every documented column always there, missing is null."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from odebench.errors import RecordError
from odebench.records import Record, RecordFault, ResultFolder
from odebench.records.atomic import write_atomic
from odebench.report.columns import COLUMNS, COMPILED, DERIVED, DOCUMENTED, EVOLVING, TRAINED, TRAINING, Part, column
from odebench.report.compiled_columns import tell_compiled
from odebench.report.statistics import interval, seed_of

_TIMES = ("forward", "backward", "total")
_CHOICES = ("model", "solver", "gradient", "task", "policy")
#: Between the names of the experiments that asked for the same cell.
BETWEEN_EXPERIMENTS = "; "
GRID_COLUMNS = ("steps", "step_size", "rtol", "atol")
# Of a training these are the same as in the cell that needs it, or say nothing about it.
_NOT_JOINED = {"suite", "model", "seed", "machine_id", "odebench_version", "plugin_versions", "reason", "missing"}


def load(folder: str | Path) -> pd.DataFrame:
    """All records of a result folder as a table, one row a record.

    Columns: those of `odebench.report.columns.DOCUMENTED` in that order, then statistics of the timed samples
    (`DERIVED`), then, where any cell learns or needs a training, those of `TRAINING`, then those of `EVOLVING`
    that any cell gives, those of `COMPILED` where any cell asks for the compiled engine, then figures that only a plugin's task gives, then one column a parameter
    (`model.width`, …). Last, for cells that need a training, what the folder knows about that on the same machine:
    `trained.solver`, `trained.accuracy_test`, …. Units stand in the names. Dtypes are pandas' nullable ones, and
    what is missing is null; `missing` says why.
    Files that are broken are left out, and `frame.attrs["faults"]` lists them, each with its reason.

    Raises:
        RecordError: the folder does not exist, or holds no record that can be read.
    """
    results = ResultFolder(folder)
    if not results.path.is_dir():
        raise RecordError(
            f"{folder}: is no folder. Give the folder that `odebench run` wrote, such as results/quickstart."
        )
    found = list(results.iter_records())
    records = [one.to_json() for one in found if isinstance(one, Record)]
    faults = [f"{one.file}: {one.reason}" for one in found if isinstance(one, RecordFault)]
    if not records:
        raise RecordError(
            f"{folder}: holds no record that can be read"
            + (f"; the first of {len(faults)}: {faults[0]}" if faults else f": {results.cells} has none.")
            + " Give the folder that `odebench run` wrote, such as results/quickstart."
        )
    frame = frame_of(records)
    frame.attrs["faults"] = faults
    return frame


def frame_of(records: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """The table of `load` from records that are already in memory, as their JSON objects."""
    records = list(records)
    rows = [_row(record) for record in records]
    training = any(record["cell"].get("policy") or record["cell"].get("needs") for record in records)
    training |= any(one.name in row for one in TRAINING for row in rows)
    tell_compiled(rows, records)
    joined = _join_trainings(rows, records)
    extra = sorted({name for row in rows for name in row} - set(COLUMNS) - set(joined))
    parameters = [name for owner in (*_CHOICES, "grid") for name in extra if name.startswith(f"{owner}.")]
    evolving = [one for one in EVOLVING if any(one.name in row for row in rows)]
    compiled = COMPILED if any("compile" in row for row in rows) else ()
    names = [c.name for c in (*DOCUMENTED, *DERIVED, *compiled, *(TRAINING if training else ()), *evolving)]
    names += [name for name in extra if name not in parameters] + parameters + joined
    return pd.DataFrame({name: _series(name, [row.get(name) for row in rows]) for name in names})


def write(folder: str | Path) -> tuple[Path, Path]:
    """Rebuild `records.parquet` and `records.csv` of a folder from its cell files; returns both paths.

    Each appears whole or not at all, so that a reader never meets half a table.
    """
    folder = Path(folder)
    frame = load(folder)
    parquet, csv = folder / "records.parquet", folder / "records.csv"
    content = io.BytesIO()
    frame.to_parquet(content, index=False)
    write_atomic(parquet, content.getvalue(), "report")
    write_atomic(csv, frame.to_csv(index=False).encode(), "report")
    return parquet, csv


def _join_trainings(rows: list[dict[str, Any]], records: list[Mapping[str, Any]]) -> list[str]:
    """Add to each row what is known about the training that its cell needs; returns the names of the new columns.

    They are in the order of the columns that they repeat, then in that of their names. What is null in a training makes no column.
    """
    by_id = {(row["cell_id"], row["machine_id"]): dict(row) for row in rows}
    found: set[str] = set()
    for row, record in zip(rows, records, strict=True):
        needs = record["cell"].get("needs") or ()
        origin = next((by_id[key] for need in needs if (key := (need, row["machine_id"])) in by_id), None)
        if origin is not None:
            own = {
                f"{TRAINED}{name}": value
                for name, value in origin.items()
                if value is not None and name not in _NOT_JOINED and not name.startswith("model.")
            }
            row |= own
            found |= own.keys()
        elif needs:
            why = f"{TRAINED}*: there is no record of the training {needs[0]} on this machine"
            row["missing"] = "; ".join(filter(None, (row["missing"], why)))
    place = {f"{TRAINED}{name}": number for number, name in enumerate(COLUMNS)}
    return sorted(found, key=lambda name: (place.get(name, len(place)), name))


def _row(record: Mapping[str, Any]) -> dict[str, Any]:
    """One record as a mapping from column to value; a column that it lacks is missing."""
    cell, parts = record["cell"], record.get("parts") or {}
    row: dict[str, Any] = {name: record.get(name) for name in ("cell_id", "suite", "outcome", "reason", "machine_id")}
    row["experiment"] = BETWEEN_EXPERIMENTS.join(record.get("experiments") or ()) or None
    versions = dict(record.get("versions") or {})
    row["odebench_version"] = versions.pop("odebench", None)
    row["plugin_versions"] = ", ".join(f"{name} {version}" for name, version in sorted(versions.items())) or None
    row |= {name: cell.get(name) for name in ("device", "dtype", "threads", "seed")}
    for owner in _CHOICES:
        choice = cell.get(owner)
        if choice:
            row[owner] = choice["name"]
            row |= {f"{owner}.{name}": value for name, value in (choice.get("parameters") or {}).items()}
    for name, value in (cell.get("grid") or {}).items():
        row[name if name in (*GRID_COLUMNS, "factor") else f"grid.{name}"] = value
    reasons: dict[str, str] = {}
    for part in (Part.QUALITY, Part.MEMORY):
        _take_values(row, parts.get(part.value) or {}, reasons)
    _take_times(row, parts.get(Part.TIMING.value) or {}, reasons, record)
    row["missing"] = "; ".join(f"{name}: {why}" for name, why in reasons.items()) or None
    return row


def _take_values(row: dict[str, Any], part: Mapping[str, Any], reasons: dict[str, str]) -> None:
    """Move the values of one part into the row; a figure of a wrong type becomes missing, and why is noted."""
    reasons.update(part.get("reasons") or {})
    for name, value in (part.get("values") or {}).items():
        if name in row:
            if name in GRID_COLUMNS and _same(value, row[name]):
                continue  # A task may tell the grid that it made of what was asked.
            reasons[name] = "the task gave a figure under a name that is taken"
            continue
        fits, value = _fitting(name, value)
        row[name] = value
        if not fits:
            reasons[name] = "the task gave a value that does not fit the column"


def _same(value: Any, asked: Any) -> bool:
    numbers = (value, asked)
    return all(isinstance(one, int | float) for one in numbers) and math.isclose(*numbers, rel_tol=1e-9)


def _fitting(name: str, value: Any) -> tuple[bool, Any]:
    """Whether a value fits its column, and the value as the column wants it; None where it does not fit."""
    if value is None:
        return True, None
    if name not in COLUMNS and isinstance(value, str | bool):
        return True, value
    dtype = column(name).dtype
    if dtype == "string":
        return True, str(value)
    if dtype == "boolean":
        return isinstance(value, bool), value if isinstance(value, bool) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return False, None
    if dtype == "Int64":
        return float(value).is_integer(), int(value) if float(value).is_integer() else None
    return True, float(value)


def _take_times(
    row: dict[str, Any], part: Mapping[str, Any], reasons: dict[str, str], record: Mapping[str, Any]
) -> None:
    """Medians and intervals of the samples of all valid rounds; of the invalid ones where there is no other."""
    rounds = [one for one in part.get("rounds") or () if one.get("samples")]
    valid = [one for one in rounds if one.get("valid", True)]
    used = valid or rounds
    if not used:
        return
    row["timing_valid"] = bool(valid)
    if not valid:
        reasons["timing_valid"] = next((one["reason_invalid"] for one in used if one.get("reason_invalid")), "unknown")
    for name in ("time_first_s", "time_prepare_s"):
        found = interval([[one[name]] for one in used if one.get(name) is not None])
        row[name] = found.value if found else None
    for which in _TIMES:
        found = interval(
            [_present(one["samples"].get(f"time_{which}_s")) for one in used],
            seed=seed_of(f"{record.get('cell_id')} {which}"),
        )
        if found is None:
            continue
        row[f"time_{which}_s"] = found.value
        row[f"time_{which}_low_s"], row[f"time_{which}_high_s"] = found.low, found.high
        row[f"time_{which}_min_s"] = found.least
        row["timing_processes"], row["timing_samples"] = found.processes, found.samples
        row["timing_indicative"] = found.indicative


def _present(samples: Iterable[float | None] | None) -> list[float]:
    """The samples that are numbers; a call whose clock failed left a null."""
    return [sample for sample in samples or () if sample is not None]


def _series(name: str, values: list[Any]) -> pd.Series:
    """One column in its nullable dtype; one that is not documented takes the narrowest dtype that holds all its values."""
    documented = COLUMNS.get(name.removeprefix(TRAINED))
    if documented is not None:
        return pd.Series(values, dtype=documented.dtype, name=name)
    present = [value for value in values if value is not None]
    if present and all(isinstance(value, bool) for value in present):
        return pd.Series(values, dtype="boolean", name=name)
    if present and all(isinstance(value, int | float) and not isinstance(value, bool) for value in present):
        whole = all(isinstance(value, int) for value in present)
        return pd.Series(values, dtype="Int64" if whole else "Float64", name=name)
    texts = [value if value is None or isinstance(value, str) else json.dumps(value) for value in values]
    return pd.Series(texts, dtype="string", name=name)
