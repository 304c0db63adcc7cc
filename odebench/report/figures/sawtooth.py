"""The saw-tooth of step adaptation: the step of each iteration, and how well the batches are answered below."""

from __future__ import annotations

import numpy as np
import pandas as pd

from odebench.report.chart import Axis, Chart, Panel, Point, Series, Skipped
from odebench.report.figures.selection import key_of
from odebench.report.labels import joined
from odebench.report.learners import trainings
from odebench.report.palette import COLOURS, MARKERS

FAMILY = "Steps while training"
_CAPTION = (
    "Above: the step that the policy chose, which grows while the test solver agrees and is cut where it does not: a saw-tooth. "
    "Below: how well the batches are answered; a cut of the step shows where the model had come to depend on its solver."
)
# Means below are over so many iterations that a line has at most this many points.
_POINTS = 120
_ITERATION = Axis("iteration", "iteration", scale="linear")


def sawtooth(frame: pd.DataFrame, series: pd.DataFrame) -> list[Chart | Skipped]:
    """Step and batch accuracy against the iteration, a chart for each model and policy that changes the step, a line a seed."""
    title = "steps while training"
    rows = trainings(frame)
    rows = rows[rows["adapts"]]
    if rows.empty:
        reason = "No step policy changed the step of a training."
        return [Skipped(key=key_of("", "sawtooth"), family=FAMILY, title=title.capitalize(), reason=reason)]
    made: list[Chart | Skipped] = []
    for (model, who, policy), group in rows.groupby(["model", "who", "policy"], sort=True):
        name = str(who) if str(policy) in str(who) else joined([who, policy])
        key, words = key_of(str(model), "sawtooth", name), f"{model}, trained with {name}: {title}"
        traces = {
            seed: _trace(series, cell) for seed, cell in sorted(zip(group["seed"], group["cell_id"], strict=True))
        }
        traces = {seed: trace for seed, trace in traces.items() if len(trace)}
        if not traces:
            reason = "The folder holds no series of these trainings."
            made.append(Skipped(key=key, family=FAMILY, title=words, reason=reason, model=str(model)))
            continue
        step, score = _step_of(traces), _score_of(traces)
        width = max(1, round(max(len(trace) for trace in traces.values()) / _POINTS))
        lines = [
            (f"seed {seed}", trace, COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)])
            for place, (seed, trace) in enumerate(traces.items())
        ]
        panels = (
            Panel(
                title="",
                x=_ITERATION,
                y=Axis("rtol", "tolerance") if step == "tolerance" else Axis("step_size", "step", scale="log2"),
                series=tuple(_line(*line, _corners(line[1], step)) for line in lines),
            ),
            Panel(
                title="",
                x=_ITERATION,
                y=Axis("accuracy_train", "accuracy of the batch")
                if score == "accuracy"
                else Axis("loss_train", "loss of the batch"),
                series=tuple(_line(*line, _means(line[1], score, width)) for line in lines),
            ),
        )
        made.append(
            Chart(
                key=key,
                family=FAMILY,
                title=words,
                caption=_CAPTION,
                panels=panels,
                palette="solver",
                model=str(model),
                notes=(f"Below: means of {width} iterations.",) if width > 1 else (),
                across=1,
            )
        )
    return made


def _trace(series: pd.DataFrame, cell_id: str) -> pd.DataFrame:
    """The iterations of one training; no rows where the folder has none, or they tell no step."""
    if "iteration" not in series.columns or not {"step_size", "tolerance"} & set(series.columns):
        return series.iloc[:0]
    return series[(series["cell_id"] == cell_id) & series["iteration"].notna()].sort_values("iteration")


def _step_of(traces: dict[int, pd.DataFrame]) -> str:
    """Which column holds the steps: `step_size` or `tolerance`."""
    return next(
        name for name in ("step_size", "tolerance")
        if any(name in trace.columns and trace[name].notna().any() for trace in traces.values())
    )  # fmt: skip


def _score_of(traces: dict[int, pd.DataFrame]) -> str:
    return (
        "accuracy"
        if all("accuracy" in trace.columns and trace["accuracy"].notna().any() for trace in traces.values())
        else "loss"
    )


def _line(name: str, trace: pd.DataFrame, colour: str, marker: str, points: tuple[Point, ...]) -> Series:
    return Series(name=name, label=name, points=points, colour=colour, marker=marker, marked=False)


def _corners(trace: pd.DataFrame, name: str) -> tuple[Point, ...]:
    """The values as stairs: the ends of each stretch in which they stay the same."""
    at = trace["iteration"].to_numpy(dtype=float)
    values = trace[name].to_numpy(dtype=float, na_value=np.nan)
    at, values = at[np.isfinite(values)], values[np.isfinite(values)]
    if not len(values):
        return ()
    firsts = np.flatnonzero(np.r_[True, values[1:] != values[:-1]])
    lasts = np.r_[firsts[1:], len(values)]
    # A stretch lasts until the next one begins, so that the line falls upright.
    ends = np.r_[at[firsts[1:]], at[-1]]
    return tuple(
        Point(x=float(x), y=float(values[last - 1]))
        for first, last, end in zip(firsts, lasts, ends, strict=True)
        for x in (at[first], end)
    )


def _means(trace: pd.DataFrame, name: str, width: int) -> tuple[Point, ...]:
    """Means of stretches of so many iterations, at their middles."""
    at = trace["iteration"].to_numpy(dtype=float)
    values = trace[name].to_numpy(dtype=float, na_value=np.nan)
    stretches = [slice(first, first + width) for first in range(0, len(at), width)]
    return tuple(
        Point(x=float(at[one].mean()), y=float(np.nanmean(values[one])))
        for one in stretches
        if np.isfinite(values[one]).any()
    )
