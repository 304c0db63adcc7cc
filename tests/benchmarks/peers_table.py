"""The table of torchode's paper (M. Lienen, S. Günnemann, arXiv:2210.12375, table 2) from the records of suites/peers.toml, as Markdown.

    python tests/benchmarks/peers_table.py results/peers [--all]

Time beyond the field is the time of a cell less its evaluations times that of one evaluation alone (task `evaluate`), a step that was
tried: accepted or rejected. For a gradient it is the time over the field's own: evaluations forward and backward, and a
vector-Jacobian product for each that was made. Where a solve is compiled, or in JAX, its field is another program, and nothing is subtracted.
`--all` adds a line for every model and tolerance. A cell that failed, or was not timed on an idle machine, is left out and counted.
"""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

import odebench
from odebench.report.labels import with_labels

PAPER, OVERHEAD, FIXED = (
    "the table of torchode's paper",
    "overhead of a step, with error control",
    "overhead of a step, fixed steps",
)
GRADIENT = ("work, precision and memory of the gradient", "the gradient of fixed steps", "memory of reversible methods")
# What the cost of one evaluation does not depend on.
_NOT_OF_THE_FIELD = ("model.span", "model.outputs")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="results of suites/peers.toml")
    parser.add_argument(
        "--all", action="store_true", help="every model and tolerance, instead of one model's gradients"
    )
    parser.add_argument(
        "--disturbed", action="store_true", help="what was timed on a busy machine, too: to try this out"
    )
    arguments = parser.parse_args()
    frame = odebench.load(arguments.folder)
    print(tables(frame, everything=arguments.all, disturbed_too=arguments.disturbed))


def tables(frame: pd.DataFrame, *, everything: bool = False, disturbed_too: bool = False) -> str:
    """All tables of the records, as Markdown."""
    frame = with_labels(frame)
    left_out = frame[~(frame.outcome == "ok").fillna(False)]
    disturbed = frame[(frame.outcome == "ok") & ~frame.timing_valid.fillna(True).astype(bool)]
    disturbed = disturbed.head(0) if disturbed_too else disturbed
    timed = with_costs(frame.drop(index=[*left_out.index, *disturbed.index]))
    parts = [_versions(frame)]
    paper = timed[timed.experiment.str.contains(PAPER, regex=False)]
    parts.append(f"### {PAPER[0].upper()}{PAPER[1:]}\n\n{solution_table(paper)}")
    for name in (OVERHEAD, FIXED):
        rows = timed[timed.experiment.str.contains(name, regex=False)]
        parts.append(
            f"### {name[0].upper()}{name[1:]}\n\nMicroseconds beyond the field a step (all of a step, ms).\n\n{grid_table(rows)}"
        )
        if everything:
            parts.append(solution_table(rows))
    gradients = timed[timed.task == "gradient"]
    for name in GRADIENT:
        rows = gradients[gradients.experiment.str.contains(name, regex=False)]
        if not everything:
            rows = _one_question(rows)
        parts.append(f"### {name[0].upper()}{name[1:]}\n\n{gradient_table(rows)}")
    parts.append(_left_out(left_out, disturbed))
    return "\n\n".join(parts)


def with_costs(frame: pd.DataFrame) -> pd.DataFrame:
    """The cells of solves, with `attempts`, `step_s` and `beyond_s`: steps tried, time of one, and what of that is not the field's.

    For gradients also `over_field`, the time over that of the field and its vector-Jacobian products.
    """
    keys = ["model", *(name for name in frame.columns if name.startswith("model.") and name not in _NOT_OF_THE_FIELD)]
    alone = frame[frame.task == "evaluate"]
    vjp = alone["task.vjp"].astype(bool) if "task.vjp" in alone.columns else pd.Series(False, index=alone.index)
    field_s, both_s = (_by_model(alone[chosen], keys) for chosen in (~vjp, vjp))
    cells = frame[frame.task.isin(["integrate", "gradient"])].copy()
    of_model = [_key(row, keys) for row in cells.to_dict("records")]
    elsewhere = cells.plugin_versions.str.contains(r"\bjax ", regex=True)
    if "compiled" in cells.columns:
        elsewhere |= cells.compiled.fillna(False).astype(bool)
    field = pd.Series([field_s.get(key, math.nan) for key in of_model], index=cells.index).where(~elsewhere)
    both = pd.Series([both_s.get(key, math.nan) for key in of_model], index=cells.index).where(~elsewhere)
    forward, backward, vjps = (
        cells[name].astype("Float64").astype(float) for name in ("nfe_forward", "nfe_backward", "vjps")
    )
    cells["attempts"] = (cells.steps_accepted + cells.steps_rejected).astype("Float64").astype(float)
    total = cells.time_total_s.astype(float)
    cells["step_s"] = total / cells.attempts
    cells["field_s"] = field
    cells["beyond_s"] = (total - forward * field) / cells.attempts
    cells["over_field"] = total / ((forward + backward.fillna(0.0) - vjps) * field + vjps * both)
    return cells


def solution_table(rows: pd.DataFrame) -> str:
    """A line for each solver and model."""
    head = (
        "library",
        "solver",
        "model",
        "steps (rejected)",
        "evaluations",
        "time, ms",
        "a step, ms",
        "model a step, ms",
        "beyond the field a step, µs",
        "error",
    )
    lines = [
        (
            *_method(row.solver_label), row.model_label, f"{row.attempts:.0f} ({row.steps_rejected})", f"{row.nfe_forward}",
            _interval(row), _number(row.step_s * 1e3), _number((row.step_s - row.beyond_s) * 1e3), _number(row.beyond_s * 1e6),
            _error(row.error_final),
        )
        for row in rows.sort_values(["model_label", "step_s"]).itertuples()
    ]  # fmt: skip
    return markdown(head, lines)


def grid_table(rows: pd.DataFrame) -> str:
    """Solvers against models."""
    models = sorted(rows.model_label.unique())
    lines = []
    for solver in dict.fromkeys(rows.sort_values("beyond_s").solver_label):
        of_solver = rows[rows.solver_label == solver].drop_duplicates("model_label").set_index("model_label")
        cells = [_both(of_solver, model) for model in models]
        lines.append((*_method(solver), *cells))
    return markdown(("library", "solver", *models), lines)


def gradient_table(rows: pd.DataFrame) -> str:
    """A line for each gradient method, model and grid."""
    head = (
        "library",
        "solver",
        "gradient",
        "model",
        "grid",
        "steps",
        "evaluations there / back",
        "peak memory, KiB",
        "error, same grid",
        "error of y0, parameters",
        "time, ms",
        "÷ the field's own",
    )
    lines = [
        (
            *_method(row.solver_label), row.gradient_label.rpartition("/")[2], row.model_label, row.grid_label, f"{row.attempts:.0f}",
            f"{row.nfe_forward} / {'' if pd.isna(row.nfe_backward) else row.nfe_backward}", _number(row.memory_peak_bytes / 1024),
            _error(row.grad_error_discrete), f"{_error(row.grad_error_y0)}, {_error(row.grad_error_params)}", _interval(row),
            _number(row.over_field),
        )
        for row in rows.sort_values(["model_label", "grid_label", "time_total_s"]).itertuples()
    ]  # fmt: skip
    return markdown(head, lines)


def markdown(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table."""
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *lines))


def _by_model(alone: pd.DataFrame, keys: Sequence[str]) -> dict[tuple, float]:
    each = alone.time_total_s.astype(float) / alone.nfe_forward.astype("Float64").astype(float)
    return {_key(row, keys): seconds for row, seconds in zip(alone.to_dict("records"), each, strict=True)}


def _key(row: dict, keys: Sequence[str]) -> tuple:
    return tuple(None if pd.isna(row[name]) else row[name] for name in keys)


def _one_question(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of the model and grid that most methods answered, and of two the finer grid."""
    counts = rows.groupby(["model_label", "grid_label"]).size().sort_index()
    for model in ("mlp-field (width=64)", "mlp-field, width 64", *counts.index.get_level_values(0)):
        if model in counts.index.get_level_values(0):
            grid = counts[model].index[-1]
            return rows[(rows.model_label == model) & (rows.grid_label == grid)]
    return rows


def _method(label: str) -> tuple[str, str]:
    library, slash, name = re.sub(r" \(.*\)", "", label).partition("/")  # the same method, whatever it allows
    return (library, name) if slash else ("odebench", library)


def _both(of_solver: pd.DataFrame, model: str) -> str:
    if model not in of_solver.index or pd.isna(of_solver.step_s[model]):
        return ""
    return f"{_number(of_solver.beyond_s[model] * 1e6) or '–'} ({_number(of_solver.step_s[model] * 1e3)})"


def _interval(row: tuple) -> str:
    return f"{_number(row.time_total_s * 1e3)} [{_number(row.time_total_low_s * 1e3)}, {_number(row.time_total_high_s * 1e3)}]"


def _number(value: float) -> str:
    """Three digits."""
    if pd.isna(value):
        return ""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _error(value: float) -> str:
    return "" if pd.isna(value) else f"{value:.1e}"


def _versions(frame: pd.DataFrame) -> str:
    found = sorted(
        {one for cell in frame.plugin_versions.dropna() for one in cell.split(", ") if not one.startswith("odebench-")}
    )
    processes, repeats = frame.timing_processes.max(), frame.timing_samples.max()
    return f"{', '.join(found)}. Medians of {repeats} calls in {processes} processes, with 95 % intervals."


def _left_out(failed: pd.DataFrame, disturbed: pd.DataFrame) -> str:
    lines = [
        f"{len(rows)} {outcome}, such as {rows.iloc[0].solver_label} on {rows.iloc[0].model_label}: {rows.iloc[0].reason}"
        for outcome, rows in failed.groupby("outcome")
    ]
    lines += [f"{len(disturbed)} timed while the machine was busy."] if len(disturbed) else []
    return "Left out: " + ("; ".join(lines) if lines else "nothing.")


if __name__ == "__main__":
    main()
