"""Which solver is cheapest at one and the same error."""

from __future__ import annotations

import math

import pandas as pd

from odebench.report.columns import COLUMNS
from odebench.report.equal_error import equal_error
from odebench.report.labels import joined
from odebench.report.quantity import MISSING, ratio, shown
from odebench.report.tables.table import Heading, Table, Value, sortable


def best_at_equal_error(frame: pd.DataFrame) -> Table:
    """The cheapest solver of each model at each target error."""
    rows = []
    for (model, setting, target), group in equal_error(frame).groupby(["model", "setting", "target"], sort=False):
        group = group.sort_values("nfe", na_position="last")
        reached = group[group["nfe"].fillna(math.inf) < math.inf]
        best = reached.iloc[0] if len(reached) else None
        timed = group[group["time_s"].fillna(math.inf) < math.inf].sort_values("time_s")
        rows.append(
            (
                Value(joined([model, setting])),
                Value(f"≤ {target:g}", target),
                Value("none gets there", tone="bad") if best is None else Value(best["solver"], tone="good"),
                _cost("nfe_forward", best, "nfe"),
                Value(_next_best(reached), tone="quiet"),
                Value(_fastest(timed)),
                Value(f"{len(reached)} of {len(group)}", len(reached)),
            )
        )
    return Table(
        key="best",
        title="Best solver at equal error",
        caption="Costs are interpolated on log-log axes at the same error of the final state. A solver that fails, or never "
        "gets there, costs infinity. ≤ means that its coarsest grid was already better than asked.",
        headings=(
            Heading("model"),
            Heading("error", COLUMNS["error_final"].meaning, True),
            Heading("fewest evaluations"),
            Heading("evaluations", COLUMNS["nfe_forward"].meaning, True),
            Heading("next best"),
            Heading("fastest", "Least time of the forward pass at the same error."),
            Heading("solvers that reach it", numeric=True),
        ),
        rows=tuple(rows),
        empty="No cell has an error against a reference.",
    )


def _cost(name: str, row: pd.Series | None, key: str) -> Value:
    if row is None or pd.isna(row[key]):
        return Value(MISSING)
    if math.isinf(row[key]):
        return Value("not reached", math.inf, "bad")
    bound = "≤ " if row[f"{key.removesuffix('_s')}_bound"] else ""
    return Value(f"{bound}{shown(name, row[key])}", float(row[key]))


def _next_best(reached: pd.DataFrame) -> str:
    if len(reached) < 2:
        return MISSING
    second = reached.iloc[1]
    return f"{second['solver']}, {ratio(second['nfe'] / reached.iloc[0]['nfe'])}"


def _fastest(timed: pd.DataFrame) -> str:
    if timed.empty:
        return MISSING
    best = timed.iloc[0]
    doubt = " (indicative)" if best["indicative"] else ""
    return f"{best['solver']}, {'≤ ' if best['time_bound'] else ''}{shown('time_forward_s', best['time_s'])}{doubt}"


def every_solver_at_equal_error(frame: pd.DataFrame) -> Table:
    """What every solver costs at each target error."""
    rows = [
        (
            Value(joined([row["model"], row["setting"]])),
            Value(f"≤ {row['target']:g}", row["target"]),
            Value(row["solver"]),
            _cost("nfe_forward", row, "nfe"),
            _cost("time_forward_s", row, "time_s"),
            Value(shown("error_final", row["least_error"]), sortable(row["least_error"])),
            _failed(row["failed"], row["cells"]),
        )
        for _, row in equal_error(frame).iterrows()
    ]
    return Table(
        key="equal-error",
        title="Every solver at equal error",
        caption="The ranking behind the answers, with what each solver costs at the same error.",
        headings=(
            Heading("model"),
            Heading("error", numeric=True),
            Heading("solver"),
            Heading("evaluations", COLUMNS["nfe_forward"].meaning, True),
            Heading("time, forward", COLUMNS["time_forward_s"].meaning, True),
            Heading("least error", "Smallest error that any of its grids reached.", True),
            Heading("failed", "Cells of this solver that did not end ok.", True),
        ),
        rows=tuple(rows),
        empty="No cell has an error against a reference.",
    )


def _failed(failed: int, cells: int) -> Value:
    return Value(f"{failed} of {cells}" if failed else "0", failed, "bad" if failed else "quiet")
