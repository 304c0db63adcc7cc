"""Images before a solve, after it, and after the way back, side by side: what a round trip leaves of what one knows by sight."""

from __future__ import annotations

import math

import pandas as pd

from odebench.report.chart import Axis, Chart, Image, Panel, Skipped
from odebench.report.figures.selection import OK, key_of
from odebench.report.labels import grid_words, is_there, plain

FAMILY = "Images there and back"
_CAPTION = (
    "Each row is one solve: the initial image, what the solver makes of it, and what comes back from there, by grid. Input and "
    "reconstructions share one scale, beyond which all is black or white; the output has its own."
)
#: What tells the rows of a figure apart, where the model has it; whatever else varies makes figures of their own.
_ROWS = "model.activation"
_NEEDED = {"row", "column", "initial", "reached", "returned"}
_GRIDS = 3


def there_and_back(frame: pd.DataFrame, series: pd.DataFrame) -> list[Chart | Skipped]:
    """A chart for each model, solver and setting whose cells kept images; of several seeds the first."""
    if not set(series.columns) >= _NEEDED:
        return []
    pixels = dict(iter(series[series["returned"].notna() | series["initial"].notna()].groupby("cell_id")))
    asked = frame[frame["task"].isin(frame.loc[frame["cell_id"].isin(list(pixels)), "task"].unique())]
    asked = asked[asked["model"].isin(frame.loc[frame["cell_id"].isin(list(pixels)), "model"].unique())]
    parameters = [name for name in asked.columns if name.startswith("model.") and name != _ROWS]
    varying = [name for name in parameters if asked[name].nunique(dropna=False) > 1]
    made: list[Chart | Skipped] = []
    for keys, rows in asked.groupby(["model", "solver_label", "setting_label", *varying], sort=True, dropna=False):
        model, *others = keys
        told = [f"{name.partition('.')[2]}={plain(value)}" for name, value in zip(varying, others[2:], strict=True)]
        label = ", ".join([str(model), *filter(None, others[:2]), *told])
        chart = _chart(label, rows, pixels)
        if chart is not None:
            made.append(chart)
    return made


def _chart(label: str, rows: pd.DataFrame, pixels: dict[str, pd.DataFrame]) -> Chart | None:
    """Rows by activation, columns by grid; None where no cell has an image."""
    rows = rows[rows["seed"] == rows["seed"].min()]
    kinds = _least_lost_first(rows) if _ROWS in rows.columns else []
    grids = sorted(
        {(plain(row.get("rtol")), plain(row.get("steps"))): row for row in rows.to_dict("records")}.values(),
        key=lambda row: (-row["rtol"] if is_there(row["rtol"]) else 0, row["steps"] if is_there(row["steps"]) else 0),
    )[:_GRIDS]
    words = [grid_words(row) for row in grids]
    panels: list[Panel] = []
    for place, kind in enumerate(kinds or [None]):
        mine = rows if kind is None else rows[rows[_ROWS] == kind]
        cells = {grid_words(row): row for row in mine.to_dict("records")}
        found = [cells[word] for word in words if word in cells and cells[word]["cell_id"] in pixels]
        if not found:
            continue
        finest = pixels[found[-1]["cell_id"]]
        low, high = float(finest["initial"].min()), float(finest["initial"].max())
        name = "" if kind is None else str(kind)
        heads = ("input", "output", *(f"back, {word}" for word in words)) if place == 0 else ("",) * (2 + len(words))
        panels.append(_panel(heads[0], _image(finest, "initial", low, high), name))
        reached = _image(finest, "reached")
        panels.append(_panel(heads[1], reached, "", f"{reached.low:.2g} to {reached.high:.2g}"))
        for head, word in zip(heads[2:], words, strict=True):
            panels.append(_back(head, cells.get(word), pixels, low, high))
    if not panels:
        return None
    return Chart(
        key=key_of(label, "images"),
        family=FAMILY,
        title=f"{label}: input, output, and what comes back",
        caption=_CAPTION,
        panels=tuple(panels),
        palette="solver",
        model=str(rows["model_label"].iloc[0]) if rows["model_label"].nunique() == 1 else "",
        notes=("The first channel of the first image, of the first seed. The output is that of the last grid.",),
        across=2 + len(words),
    )


def _least_lost_first(rows: pd.DataFrame) -> list[object]:
    """The values that tell rows apart, by the error of the worst grid; one that did not end ok is the worst."""
    errors = rows["roundtrip_error"].astype(float).where(rows["outcome"] == OK, math.inf).fillna(math.inf)
    worst = errors.groupby(rows[_ROWS].astype("string")).max().sort_index()
    return list(worst.sort_values(kind="stable").index)


def _back(head: str, cell: dict | None, pixels: dict[str, pd.DataFrame], low: float, high: float) -> Panel:
    """What came back in one cell, in the scale of the input, or why there is none."""
    if cell is None:
        return _panel(head, Image(words="not measured"))
    if cell["cell_id"] not in pixels or cell["outcome"] != OK:
        return _panel(head, Image(words=str(cell["outcome"])))
    error = cell["roundtrip_error"]
    below = f"error {100 * error:.2g} %" if error < 1 else f"error {error:,.3g} times its size"
    return _panel(head, _image(pixels[cell["cell_id"]], "returned", low, high), "", below)


def _panel(head: str, image: Image, name: str = "", below: str = "") -> Panel:
    return Panel(title=head, x=Axis("column", below), y=Axis("row", name), series=(), image=image)


def _image(pixels: pd.DataFrame, name: str, low: float | None = None, high: float | None = None) -> Image:
    table = pixels.pivot(index="row", columns="column", values=name).astype(float)
    return Image(
        values=tuple(tuple(row) for row in table.itertuples(index=False, name=None)),
        low=float(table.min().min()) if low is None else low,
        high=float(table.max().max()) if high is None else high,
    )
