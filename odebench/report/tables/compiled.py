"""What the compiled engine gains and costs, cell by cell."""

from __future__ import annotations

import pandas as pd

from odebench.report.columns import COLUMNS
from odebench.report.compiled_columns import BREAK_EVEN
from odebench.report.figures.selection import OK
from odebench.report.labels import is_there, joined
from odebench.report.quantity import MISSING, ratio, shown
from odebench.report.tables.table import Heading, Table, Value, sortable

_SAME = ["task", "model_label", "eager_label", "gradient_label", "grid_label", "setting_label", "seed"]


def compiled_engine(frame: pd.DataFrame) -> Table:
    """Every cell that ran compiled, beside the same one without."""
    rows = []
    if "compiled" in frame.columns:
        ok = frame[frame["outcome"] == OK]
        eager = {_key(row): row for row in ok[ok["compile"] == "false"].to_dict("records")}
        asked = ok[ok["compile"] != "false"].sort_values(_SAME)
        rows = [_row(row, eager.get(_key(row), {})) for row in asked.to_dict("records")]
    return Table(
        key="compiled",
        title="The compiled engine",
        caption="Compile time is that of the first process, which has no cache. Compiled and eager cells are timed in different "
        "processes. Where both are there, evaluations are those of the compiled one over those of the eager one.",
        headings=(
            *map(Heading, ("task", "model", "solver", "gradient method", "grid", "compiled")),
            Heading("time, eager", COLUMNS["time_total_s"].meaning, True),
            Heading("time, compiled", COLUMNS["time_total_s"].meaning, True),
            Heading("compiled / eager", "", True),
            Heading("compile time", COLUMNS["time_prepare_s"].meaning, True),
            Heading("break-even calls", COLUMNS[BREAK_EVEN].meaning, True),
            Heading("evaluations, compiled / eager", COLUMNS["nfe_forward"].meaning, True),
            Heading("peak memory, compiled / eager", COLUMNS["memory_peak_bytes"].meaning, True),
            Heading("why not", COLUMNS["compile_fallback_reason"].meaning),
        ),
        rows=tuple(rows),
        empty="No cell asks for the compiled engine.",
    )


def _key(row: dict) -> tuple:
    return tuple(str(row[name]) for name in _SAME)


def _row(row: dict, eager: dict) -> tuple[Value, ...]:
    compiled = row["compiled"] is True or row["compiled"] == True  # noqa: E712 - pandas' own truth
    times = [one.get("time_total_s") for one in (eager, row if compiled else {})]
    calls = row.get(BREAK_EVEN)
    return (
        *(Value(shown("model", row[name])) for name in ("task", "model_label", "eager_label", "gradient_label")),
        Value(joined([row["grid_label"], row["setting_label"]])),
        Value(_form(row) if compiled else "no", tone="" if compiled else "quiet"),
        *(Value(shown("time_total_s", time), sortable(time)) for time in times),
        _ratio(row, eager, "time_total_s") if compiled else Value(MISSING),
        Value(shown("time_prepare_s", row["time_prepare_s"]), sortable(row["time_prepare_s"])),
        Value(f"{calls:,.0f}" if is_there(calls) else MISSING, sortable(calls)),
        _ratio(row, eager, "nfe_forward"),
        _ratio(row, eager, "memory_peak_bytes"),
        Value(shown("reason", row.get("compile_fallback_reason")), tone="quiet"),
    )


def _form(row: dict) -> str:
    """What it was compiled as, where the record tells it."""
    form = row.get("compiled_as")
    return form if is_there(form) else "yes"


def _ratio(row: dict, eager: dict, name: str) -> Value:
    upper, lower = row.get(name), eager.get(name)
    if not (is_there(upper) and is_there(lower)) or not lower:
        return Value(MISSING)
    return Value(ratio(upper / lower), float(upper / lower))
