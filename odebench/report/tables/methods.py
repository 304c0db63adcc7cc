"""What the gradient methods give and cost, and the laws behind: bytes per step, observed orders."""

from __future__ import annotations

import pandas as pd

from odebench.report.columns import COLUMNS
from odebench.report.figures.selection import drawn, models
from odebench.report.gradient_summary import GradientSummary, bytes_per_step, summarise
from odebench.report.labels import joined
from odebench.report.quantity import MISSING, ratio, shown
from odebench.report.statistics import observed_order
from odebench.report.tables.table import Heading, Table, Value


def gradient_methods(frame: pd.DataFrame) -> Table:
    """Exactness and cost of every gradient method, over all models and for each."""
    summaries = summarise(frame)
    base = next((summary.baseline for summary in summaries if summary.baseline), "")
    several = frame["model_label"].nunique() > 1
    rows = [_gradient_row(one) for one in summaries if several or one.model]
    return Table(
        key="gradients",
        title="Gradient methods",
        caption="Exact: equal to the exact gradient of the same grid to rounding, 100 eps √evaluations. Time is the total "
        + (f"against {base!r} on the same solver and grid (geometric mean)." if base else "(no baseline was run)."),
        headings=(
            Heading("model"),
            Heading("gradient method"),
            Heading("exact", COLUMNS["grad_error_discrete"].meaning, True),
            Heading("worst error, same grid", COLUMNS["grad_error_discrete"].meaning, True),
            Heading("worst error, continuous", COLUMNS["grad_error_params"].meaning, True),
            Heading(
                "memory a step",
                "Range of the fitted bytes per step over the solvers, from fixed grids of three sizes where there are any.",
                True,
            ),
            Heading("time", f"Total time over that of {base}." if base else "", True),
            Heading("evaluations backward / forward", "Median over the cells.", True),
            Heading("ok", "Cells that ended ok, of those that are offered.", True),
        ),
        rows=tuple(rows),
        empty="No cell has a gradient method.",
    )


def exactness(summary: GradientSummary) -> str:
    """Whether a gradient method is exact, in words."""
    if summary.is_exact is None:
        return "not judged"
    if summary.is_exact:
        return f"yes, {summary.exact} of {summary.judged}"
    return f"{summary.exact} of {summary.judged}" if summary.exact else f"no, 0 of {summary.judged}"


def memory_range(summary: GradientSummary) -> str:
    """Bytes per step in words: one size, or the range over the solvers."""
    if summary.bytes_low is None or summary.bytes_high is None:
        return MISSING
    low, high = (shown("memory_peak_bytes", round(size)) for size in (summary.bytes_low, summary.bytes_high))
    if low == high:
        return low
    (_, unit), (_, other) = low.rsplit(" ", 1), high.rsplit(" ", 1)
    return f"{low.removesuffix(f' {unit}') if unit == other else low} – {high}"


def _gradient_row(one: GradientSummary) -> tuple[Value, ...]:
    share = one.exact / one.judged if one.judged else None
    return (
        Value(one.model or "all models"),
        Value(one.gradient),
        Value(exactness(one), share, {True: "good", None: "quiet"}.get(one.is_exact, "")),
        Value(shown("grad_error_discrete", one.worst_discrete), one.worst_discrete),
        Value(shown("grad_error_params", one.worst_continuous), one.worst_continuous),
        Value(memory_range(one), one.bytes_high),
        Value(ratio(one.time_ratio) + (" (indicative)" if one.indicative and one.time_ratio else ""), one.time_ratio),
        Value(f"{one.backward_ratio:.3g}" if one.backward_ratio is not None else MISSING, one.backward_ratio),
        Value(f"{one.ok} of {one.cells}", one.ok, "" if one.ok == one.cells else "bad"),
    )


def orders(frame: pd.DataFrame) -> Table:
    """Observed order of every fixed-step solver."""
    rows = []
    usable = drawn(frame[frame["rtol"].isna()], "error_final", "steps_accepted")
    for model, scope in models(usable):
        for (solver, setting), group in scope.groupby(["solver_label", "setting_label"], sort=True):
            order, slopes = observed_order(group["steps_accepted"], group["error_final"], str(group["dtype"].iloc[0]))
            if order is not None:
                doubt = "" if slopes >= 3 else "hint, fewer than three halvings"
                rows.append(
                    (
                        Value(model),
                        Value(joined([solver, setting])),
                        Value(f"{order:.2f}", order),
                        Value(str(slopes), slopes),
                        Value(doubt, tone="quiet"),
                    )
                )
    return Table(
        key="orders",
        title="Observed order",
        caption="Median slope of error against step where the error lies between 1000 eps and 1e-2: there it is neither "
        "rounding nor chance. Three refinements or more are a measurement.",
        headings=(
            Heading("model"),
            Heading("solver"),
            Heading("observed order", numeric=True),
            Heading("refinements", numeric=True),
            Heading("note"),
        ),
        rows=tuple(rows),
        empty="No fixed-step solver has two errors in the window.",
    )


def memory_laws(frame: pd.DataFrame) -> Table:
    """Fitted bytes per step of every gradient method on every solver."""
    rows = tuple(
        (
            Value(row["model"]),
            Value(row["solver"]),
            Value(joined([row["gradient"], row["setting"]])),
            Value(shown("memory_peak_bytes", round(row["bytes_per_step"])), row["bytes_per_step"]),
            Value(shown("memory_peak_bytes", round(row["base_bytes"])), row["base_bytes"]),
            Value(f"{row['explained']:.1%}", row["explained"]),
            Value(str(row["points"]), row["points"]),
        )
        for _, row in bytes_per_step(frame).iterrows()
    )
    return Table(
        key="memory",
        title="Bytes per step",
        caption="Least squares of peak memory against accepted steps. With two grids the line explains everything by itself.",
        headings=(
            Heading("model"),
            Heading("solver"),
            Heading("gradient method"),
            Heading("a step", "Slope of the line.", True),
            Heading("at 0 steps", "Intercept of the line.", True),
            Heading("explained", "Share of the variance that the line explains.", True),
            Heading("grids", numeric=True),
        ),
        rows=rows,
        empty="No gradient method has memory figures on two grids.",
    )
