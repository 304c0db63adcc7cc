"""Columns of cells that ask for the compiled engine, and when compilation pays. Only suites with such cells have them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from odebench.report.column import Column, Kind, Part, flag_column, text_column

BREAK_EVEN = "break_even_calls"

COMPILED: tuple[Column, ...] = (
    text_column(
        "compile", "compile", "Whether the suite asked for the compiled engine: false, true, or auto.", Part.CELL
    ),
    flag_column("compiled", "compiled", "Whether the solves ran in the compiled engine.", Part.QUALITY),
    text_column(
        "compiled_as",
        "compiled as",
        "What its programs are, forward and back: kernel, loop, or chunks of rounds.",
        Part.QUALITY,
        Kind.TEXT,
    ),
    text_column(
        "compile_fallback_reason",
        "why it is not compiled",
        "Why solves ran without the compiled engine, where the suite allowed that.",
        Part.QUALITY,
        Kind.TEXT,
    ),
    Column(
        name=BREAK_EVEN,
        kind=Kind.SCORE,
        label="calls until compilation has paid",
        meaning="Compile time over what one compiled call saves of the time of the same cell without.",
        part=Part.TIMING,
        log=True,
        better="lower",
    ),
)


def tell_compiled(rows: Sequence[dict[str, Any]], records: Sequence[Mapping[str, Any]]) -> None:
    """Add these columns to the rows where any record asks for the compiled engine.

    A row is compared with the one of the same machine whose cell differs in nothing but that it does not.
    """
    asked = [record["cell"].get("compile", False) for record in records]
    if not any(asked):
        return
    eager = {_question(record): row for row, record, wish in zip(rows, records, asked, strict=True) if wish is False}
    for row, record, wish in zip(rows, records, asked, strict=True):
        row["compile"] = str(wish).lower()
        row.setdefault("compiled", None if wish else False)
        if row["compiled"] and row.get("time_total_s") is not None:
            value, why = _break_even(row, eager.get(_question(record)))
            row[BREAK_EVEN] = value
            if why:
                row["missing"] = "; ".join(filter(None, (row["missing"], f"{BREAK_EVEN}: {why}")))


def _question(record: Mapping[str, Any]) -> str:
    """What a record asks, whether compiled or not, and where."""
    cell = {name: value for name, value in record["cell"].items() if name != "compile"}
    return json.dumps([record.get("machine_id"), cell], sort_keys=True)


def _break_even(row: Mapping[str, Any], eager: Mapping[str, Any] | None) -> tuple[float | None, str]:
    if eager is None or eager.get("time_total_s") is None:
        return None, "the same cell without compile was not timed"
    if row.get("time_prepare_s") is None:
        return None, "the time of the compilation is not known"
    if not (row.get("timing_valid") and eager.get("timing_valid")):
        return None, "one of the two timings was disturbed"
    saved = eager["time_total_s"] - row["time_total_s"]
    if saved <= 0:
        return None, "the compiled solve is not faster"
    return row["time_prepare_s"] / saved, ""
