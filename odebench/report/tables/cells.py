"""The cells themselves: those that failed, and all."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from odebench.outcome import Outcome
from odebench.report.columns import COLUMNS, Kind, column
from odebench.report.figures.selection import OK, UNSUPPORTED
from odebench.report.labels import joined
from odebench.report.quantity import shown
from odebench.report.tables.table import Heading, Table, Value, sortable

_FIGURES = (
    "error_final", "error_trajectory_max", "grad_error_discrete", "grad_error_y0", "grad_error_params",
    "roundtrip_error", "nfe_forward", "nfe_backward", "vjps", "steps_accepted", "steps_rejected",
    "memory_peak_bytes", "time_forward_s", "time_backward_s", "time_total_s",
    "loss_train", "accuracy_train", "loss_test", "accuracy_test", "accuracy_change", "changed_answers", "examples_test",
    "crossings", "crossings_fine",
    "iterations", "step_size_final", "tolerance_final", "nfe_mean", "time_iteration_s",
)  # fmt: skip


def failures(frame: pd.DataFrame) -> Table:
    """Every cell that did not end ok, with its reason."""
    lost = frame[frame["outcome"] != OK]
    lost = lost.assign(offered=lost["outcome"] != UNSUPPORTED).sort_values("offered", ascending=False, kind="stable")
    rows = tuple(
        (
            Value(str(row["outcome"]).replace("_", " "), tone="quiet" if row["outcome"] == UNSUPPORTED else "bad"),
            Value(shown("reason", row["reason"])),
            *(Value(shown("model", row[name])) for name in ("task", "model_label", "solver_label", "gradient_label")),
            Value(joined([row["grid_label"], row["setting_label"]])),
            Value(shown("cell_id", row["cell_id"])),
        )
        for row in lost.to_dict("records")
    )
    return Table(
        key="failures",
        title="Failures, and what is not offered",
        caption=" ".join(f"{one.word.replace('_', ' ')}: {one.value}" for one in Outcome if one.word != OK),
        headings=tuple(
            map(Heading, ("outcome", "reason", "task", "model", "solver", "gradient method", "grid", "cell"))
        ),
        rows=rows,
        empty="Every cell ended ok.",
    )


def figures_in(frames: Sequence[pd.DataFrame]) -> list[str]:
    """Columns of figures that any of the frames fills: the usual ones, then those of plugins."""
    names = dict.fromkeys(
        name
        for frame in frames
        for name in (*_FIGURES, *frame.columns)
        if name in _FIGURES or not (name in COLUMNS or "." in name or name.endswith("_label"))
    )
    return [name for name in names if any(name in frame and frame[name].notna().any() for frame in frames)]


def every_cell(frame: pd.DataFrame, figures: Sequence[str] | None = None) -> Table:
    """All cells with their figures; by default those that somebody filled."""
    filled = figures_in([frame]) if figures is None else figures
    fixed = ("task", "model_label", "solver_label", "gradient_label")
    frame = frame.sort_values([*fixed, "steps", "step_size", "rtol"], ascending=[True] * 6 + [False])
    rows = tuple(
        (
            Value(str(row["outcome"]).replace("_", " "), tone="" if row["outcome"] == OK else "bad"),
            *(Value(shown("model", row[name])) for name in fixed),
            Value(joined([row["grid_label"], row["setting_label"]])),
            *(Value(shown(name, row.get(name)), sortable(row.get(name))) for name in filled),
            Value(shown("missing", row["missing"]), tone="quiet"),
            Value(shown("cell_id", row["cell_id"]), tone="quiet"),
        )
        for row in frame.to_dict("records")
    )
    headings = (
        *map(Heading, ("outcome", "task", "model", "solver", "gradient method", "grid")),
        *(Heading(_short(name), column(name).meaning, True) for name in filled),
        Heading("missing", COLUMNS["missing"].meaning),
        Heading("cell", COLUMNS["cell_id"].meaning),
    )
    return Table(
        key="cells",
        title="All cells",
        caption="One row a cell. The same table lies in records.csv and records.parquet, with every column.",
        headings=headings,
        rows=rows,
        empty="There is no cell.",
    )


def _short(name: str) -> str:
    """The name of a column without its unit, which stands with every value."""
    kind = column(name).kind
    suffix = {Kind.SECONDS: "_s", Kind.BYTES: "_bytes"}.get(kind, "")
    return name.removesuffix(suffix)
