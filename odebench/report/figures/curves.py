"""Loss and accuracy of each epoch by gradient method: the median over the seeds, from the least to the greatest."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from odebench.outcome import Outcome
from odebench.report.chart import Axis, Chart, Panel, Point, Series, Skipped
from odebench.report.figures.selection import key_of
from odebench.report.labels import is_there, joined, plain

FAMILY = "Learning curves"
_CAPTION = (
    "Above: the loss of the training batches, the mean of an epoch. Below: the accuracy after it. Lines are the median over the "
    "seeds, bars go from the least to the greatest. A training that diverged counts as infinitely bad from then on: where most did, "
    "the line ends in a hollow mark. Marks of one epoch stand side by side."
)
_TITLE = "loss and accuracy by gradient method"
_EPOCH = Axis("epoch", "epoch", scale="linear")
_ENDED = (Outcome.OK.word, Outcome.DIVERGED.word)
#: Share of an epoch over which the marks of its methods are spread.
_ASIDE = 0.5
#: What tells trainings apart that are not to be compared by their gradient methods; a grid has a panel of its own.
_ALSO = ("solver_label", "policy_label", "dtype", "device")


def curves(frame: pd.DataFrame, series: pd.DataFrame) -> list[Chart | Skipped]:
    """A chart for each model and way of training that several gradient methods were asked about, panels for each division of time."""
    made: list[Chart | Skipped] = []
    for model, told, rows in _comparisons(frame):
        if rows["gradient_label"].nunique() < 2:
            continue
        key, title = key_of(model, "curves", told), f"{joined([model, told])}: {_TITLE}"
        traces = {cell: trace for cell in rows["cell_id"] if len(trace := _epochs(series, cell))}
        rows = rows[rows["cell_id"].isin(traces)]
        if max(map(len, traces.values()), default=0) < 2:
            reason = "The folder holds no series of two epochs or more of these trainings."
            made.append(Skipped(key=key, family=FAMILY, title=title, reason=reason, model=model))
            continue
        grids = list(dict.fromkeys(rows.sort_values(["steps", "grid_label"])["grid_label"]))
        tested = any("accuracy_test" in trace for trace in traces.values())
        panels = [
            Panel(
                title=str(grid) if name == "loss" else "",
                x=_EPOCH,
                y=_axis(name, tested),
                series=tuple(_series(rows[rows["grid_label"] == grid], traces, name)),
            )
            for name in ("loss", "accuracy")
            for grid in grids
        ]
        made.append(
            Chart(
                key=key,
                family=FAMILY,
                title=title,
                caption=_CAPTION,
                panels=tuple(panels),
                palette="gradient",
                model=model,
                notes=tuple(_notes(rows)),
                across=len(grids),
            )
        )
    if not made:
        reason = "No trainings differ in nothing but their gradient method and seed."
        made.append(Skipped(key=key_of("", "curves"), family=FAMILY, title=_TITLE.capitalize(), reason=reason))
    return made


def _comparisons(frame: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Model, what else tells the trainings apart, and the trainings."""
    if "policy" not in frame.columns:
        return
    rows = frame[frame["policy"].notna() & frame["gradient"].notna() & frame["outcome"].isin(_ENDED)]
    for model, group in rows.groupby("model_label", sort=True):
        names = [name for name in group.columns if name in _ALSO or name.startswith(("task.", "policy."))]
        varying = [name for name in names if group[name].nunique(dropna=False) > 1]
        if not varying:
            yield str(model), "", group
            continue
        for values, same in group.groupby(varying, sort=True, dropna=False):
            words = [_word(name, value) for name, value in zip(varying, values, strict=True) if is_there(value)]
            yield str(model), joined(words), same


def _word(name: str, value: object) -> str:
    owner, dot, parameter = name.partition(".")
    return f"{parameter}={plain(value)}" if dot and owner else plain(value)


def _epochs(series: pd.DataFrame, cell_id: str) -> pd.DataFrame:
    """Loss and accuracy of each epoch of one training; no rows where the folder has none, or no epochs."""
    if not {"epoch", "loss", "iteration"} <= set(series.columns):
        return pd.DataFrame()
    own = series[(series["cell_id"] == cell_id) & series["epoch"].notna()].sort_values("iteration")
    number = np.ceil(own["epoch"].astype(float) - 1e-9).astype(int)
    # A mean over what is not finite is not finite: that epoch went astray.
    groups = own.assign(loss=own["loss"].astype(float)).groupby(number)
    found = pd.DataFrame({"loss": groups["loss"].agg(lambda values: np.mean(values.to_numpy()))})
    for name in ("accuracy_test", "accuracy"):
        if name in own.columns and own[name].notna().any():
            found[name] = groups[name].agg(lambda values: values.dropna().mean())
    return found


def _axis(name: str, tested: bool) -> Axis:
    if name == "loss":
        return Axis("loss_train", "loss of the batches")
    return Axis(
        "accuracy_test" if tested else "accuracy_train", "test accuracy" if tested else "accuracy of the batches"
    )


def _series(rows: pd.DataFrame, traces: dict[str, pd.DataFrame], name: str) -> Iterator[Series]:
    epochs = max(len(trace) for trace in traces.values())
    groups = list(rows.groupby("gradient_label", sort=True))
    for number, (label, group) in enumerate(groups):
        # Side by side within an epoch, since exact methods have the same values.
        aside = _ASIDE * (number - (len(groups) - 1) / 2) / len(groups)
        table = np.array([_values(traces[cell], name, epochs) for cell in group["cell_id"]])
        points = []
        for place in range(epochs):
            column = table[:, place]
            middle = float(np.median(column))
            if not np.isfinite(middle):
                continue
            known = column[np.isfinite(column)]
            points.append(Point(x=place + 1.0 + aside, y=middle, y_low=float(known.min()), y_high=float(known.max())))
        if points and len(points) < epochs:
            points[-1] = Point(x=points[-1].x, y=points[-1].y, hollow=True)
        yield Series(name=str(label), label=str(label), points=tuple(points), size=3.5)


def _values(trace: pd.DataFrame, name: str, epochs: int) -> np.ndarray:
    """One value an epoch; what is missing, or not finite, counts as infinitely bad."""
    worst = np.inf if name == "loss" else -np.inf
    column = name if name == "loss" else next((one for one in ("accuracy_test", "accuracy") if one in trace), None)
    values = np.full(epochs, worst)
    if column is not None:
        found = trace[column].to_numpy(dtype=float, na_value=np.nan)
        usable = np.isfinite(found) & np.isfinite(trace["loss"].to_numpy(dtype=float))
        at = trace.index.to_numpy() - 1
        values[at[usable]] = found[usable]
    return values


def _notes(rows: pd.DataFrame) -> Iterator[str]:
    for (label, grid), group in rows.groupby(["gradient_label", "grid_label"], sort=True):
        lost = int((group["outcome"] == Outcome.DIVERGED.word).sum())
        if lost:
            yield f"{label}, {grid}: {lost} of {len(group)} diverged."
