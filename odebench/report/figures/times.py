"""Forward and backward time of the gradient methods, on one grid a solver."""

from __future__ import annotations

import pandas as pd

from odebench.report.chart import Axis, Chart, Panel, Point, Series, Skipped
from odebench.report.figures.selection import drawn, ends_of, key_of, models, narrowed, notes
from odebench.report.labels import joined

FAMILY = "Forward and backward time"
_CAPTION = (
    "Further left is faster. Each row is one solver on one grid, the finest one that most gradient methods finished; "
    "whiskers are 95 % intervals. A method that recomputes pays for it in the backward pass."
)


def forward_and_backward(frame: pd.DataFrame) -> list[Chart | Skipped]:
    """Times of the forward and of the backward pass side by side, a chart a model."""
    made: list[Chart | Skipped] = []
    shown = ("time_forward_s", "time_backward_s")
    ends = (end for name in shown for end in ends_of(name))
    frame = narrowed(frame, *shown, *ends, "timing_valid", "timing_indicative")
    for model, scope in models(frame[frame["gradient"].notna()]):
        rows = drawn(scope, "time_forward_s", "time_backward_s")
        key, title = key_of(model, "time"), f"{model}: forward and backward time of the gradient methods"
        if rows.empty:
            reason = "No cell of this model has both a forward and a backward time."
            made.append(Skipped(key=key, family=FAMILY, title=title, reason=reason, model=model))
            continue
        rows = _one_grid_a_solver(rows)
        places = sorted(rows["place"].unique())
        indicative = rows["timing_indicative"].fillna(False).any()
        panels = tuple(
            Panel(
                title=words,
                # One column for both panels, so that they share their axis.
                x=Axis("time_total_s", "time"),
                y=Axis("time_total_s"),
                rows=tuple(places),
                series=_series(rows, name, places),
            )
            for name, words in (("time_forward_s", "forward"), ("time_backward_s", "backward"))
        )
        made.append(
            Chart(
                key=key,
                family=FAMILY,
                title=title + (" (indicative)" if indicative else ""),
                caption=_CAPTION,
                panels=panels,
                palette="gradient",
                model=model,
                notes=notes(scope, ["time_forward_s", "time_backward_s"], rows),
            )
        )
    return made


def _one_grid_a_solver(rows: pd.DataFrame) -> pd.DataFrame:
    """For each solver and setting the rows of the grid that most gradient methods finished, the finest of those."""
    kept = []
    for (solver, setting), group in rows.groupby(["solver_label", "setting_label"]):
        grids = group.groupby("grid_label").agg(
            methods=("gradient_label", "nunique"), steps=("steps_accepted", "median")
        )
        best = grids.fillna({"steps": 0}).sort_values(["methods", "steps"]).index[-1]
        kept.append(group[group["grid_label"] == best].assign(place=joined([f"{solver}, {best}", setting])))
    return pd.concat(kept)


def _series(rows: pd.DataFrame, name: str, places: list[str]) -> tuple[Series, ...]:
    """A series a gradient method; within a row of the chart the methods stand a little apart."""
    methods_of = {place: sorted(group["gradient_label"].unique()) for place, group in rows.groupby("place")}
    apart = 0.62 / max(2, *map(len, methods_of.values()))
    made = []
    for method in sorted(rows["gradient_label"].unique()):
        points = []
        for place, group in rows[rows["gradient_label"] == method].groupby("place"):
            low, high = (_only(group[end]) for end in ends_of(name))
            beside = methods_of[place]
            points.append(
                Point(
                    x=float(group[name].median()),
                    y=places.index(place) + (beside.index(method) - (len(beside) - 1) / 2) * apart,
                    x_low=low,
                    x_high=high,
                    hollow=not group["timing_valid"].fillna(True).all(),
                )
            )
        made.append(Series(name=str(method), label=str(method), points=tuple(points), joined=False))
    return tuple(made)


def _only(values: pd.Series) -> float | None:
    """The one value of a series; None where it is missing or there are several."""
    return float(values.iloc[0]) if len(values) == 1 and values.notna().all() else None
