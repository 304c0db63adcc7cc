"""Trajectories of two classes in the plane, on the grid of the training and on a fine one, with their crossings marked."""

from __future__ import annotations

import pandas as pd

from odebench.report.chart import Axis, Chart, Panel, Point, Series, Skipped
from odebench.report.columns import TRAINED
from odebench.report.figures.selection import drawn, key_of
from odebench.report.learners import size_words, with_training
from odebench.report.palette import COLOURS
from odebench.report.style import INK

FAMILY = "Trajectories in the plane"
_CAPTION = (
    "Above: trajectories on the grid of the training. Below: the same models on a fine grid. Colours are classes, dots initial "
    "states, and crosses the places where trajectories of different classes cross, which those of a flow cannot."
)
# As many trajectories of each class as are told apart, and as many training steps as fit side by side.
_OF_A_CLASS, _SIDE_BY_SIDE = 12, 3
_X, _Y = (
    Axis("x", "first element of the state", scale="linear"),
    Axis("y", "second element of the state", scale="linear"),
)
_OUTER = 0.06
_NEEDED = {"on_grid", "index", "class", "time", "x", "y", "other"}


def trajectories(frame: pd.DataFrame, series: pd.DataFrame) -> list[Chart | Skipped]:
    """Trajectories of some trained models, the coarsest and the finest training step among them; of each the first seed."""
    title = "trajectories in the plane, and where classes cross"
    if "crossings" not in frame.columns or f"{TRAINED}cell_id" not in frame.columns:
        return [_skipped("", "No cell counted crossings.", title)]
    rows = with_training(drawn(frame, "crossings", f"{TRAINED}cell_id"))
    if rows.empty:
        return [_skipped("", "No cell counted crossings.", title)]
    if not set(series.columns) >= _NEEDED:
        return [_skipped("", "The folder holds no series with trajectories.", title)]
    made: list[Chart | Skipped] = []
    for (model, who), group in rows.groupby(["model_label", "who"], sort=True):
        first = group.sort_values(["size", "seed"], ascending=[False, True]).drop_duplicates("size")
        shown = [row for row in _spread(first.to_dict("records")) if (series["cell_id"] == row["cell_id"]).any()]
        words = f"{model}, trained with {who}: {title}"
        if not shown:
            made.append(_skipped(str(model), "The folder holds no series of these cells.", words, str(who)))
            continue
        parts = {row["cell_id"]: _Plane(series[series["cell_id"] == row["cell_id"]]) for row in shown}
        panels = tuple(_panel(row, parts[row["cell_id"]], grid) for grid in ("own", "fine") for row in shown)
        made.append(
            Chart(
                key=key_of(str(model), "phase", str(who)),
                family=FAMILY,
                title=words,
                caption=_CAPTION,
                panels=panels,
                palette="solver",
                model=str(model),
                notes=tuple(_notes(shown)),
                across=len(shown),
                equal=True,
            )
        )
    return made


def _skipped(model: str, reason: str, title: str, who: str = "") -> Skipped:
    title = title[:1].upper() + title[1:] if not model else title
    return Skipped(key=key_of(model, "phase", who), family=FAMILY, title=title, reason=reason, model=model)


def _spread(rows: list[dict]) -> list[dict]:
    """The first, the last and one between."""
    if len(rows) <= _SIDE_BY_SIDE:
        return rows
    return [rows[round(place * (len(rows) - 1) / (_SIDE_BY_SIDE - 1))] for place in range(_SIDE_BY_SIDE)]


class _Plane:
    """Which trajectories of a cell are drawn, and the square that they are drawn in: where most corners of its own grid lie.

    A step that is too long can hide how fast the flow carries states away; on the fine grid such trajectories leave the square.
    """

    def __init__(self, series: pd.DataFrame) -> None:
        corners = series[series["class"] >= 0]
        self.classes = {
            int(one): [int(index) for index in found[:: max(1, len(found) // _OF_A_CLASS)][:_OF_A_CLASS]]
            for one, found in corners.groupby("class")["index"].agg(lambda x: sorted(x.unique())).items()
        }
        self.chosen = {index for found in self.classes.values() for index in found}
        own = corners[(corners["on_grid"] == "own") & corners["index"].isin(self.chosen)][["x", "y"]].astype(float)
        # Without the few corners far away, beside which the others would be one point.
        low, high = own.quantile(_OUTER), own.quantile(1 - _OUTER)
        half = 0.6 * max(float((high - low).max()), 1e-9)
        self.square = {
            name: (float(low[name] + high[name]) / 2 - half, float(low[name] + high[name]) / 2 + half) for name in "xy"
        }
        self.corners = {grid: corners[corners["on_grid"] == grid] for grid in ("own", "fine")}
        crossings = series[
            (series["class"] < 0) & series["index"].isin(self.chosen) & series["other"].isin(self.chosen)
        ]
        self.crossings = {grid: self.within(crossings[crossings["on_grid"] == grid]) for grid in ("own", "fine")}

    def within(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The rows whose point lies in the square."""
        return rows[
            rows["x"].between(*self.square["x"]).fillna(False) & rows["y"].between(*self.square["y"]).fillna(False)
        ]


def _panel(row: dict, plane: _Plane, grid: str) -> Panel:
    """The trajectories of one model on one grid."""
    made: list[Series] = []
    corners = plane.corners[grid]
    for one, found in plane.classes.items():
        look = {"name": f"class {one}", "colour": COLOURS[one % len(COLOURS)], "marker": "o"}
        lines = [part.sort_values("time") for _, part in corners[corners["index"].isin(found)].groupby("index")]
        made += [Series(**look, label="", points=_points(line), marked=False) for line in lines]
        starts = tuple(point for line in lines for point in _points(plane.within(line.head(1))))
        made.append(Series(**look, label=f"class {one}", points=starts, joined=False, size=3.6))
    crossings = _points(plane.crossings[grid])
    made.append(
        Series(name="crossing", label="crossing", points=crossings, joined=False, colour=INK, marker="X", size=3.2)
    )
    count = row["crossings"] if grid == "own" else row.get("crossings_fine")
    told = "crossings unknown" if pd.isna(count) else f"{int(count):,} crossing{'' if count == 1 else 's'}"
    step = size_words(row["size"], bool(row["tolerance_trained"]))
    where = f"trained with {step}" if grid == "own" else f"{step}, fine grid"
    return Panel(
        title=f"{where}: {told}",
        x=Axis("x", "first element of the state", scale="linear", limits=plane.square["x"]),
        y=Axis("y", "second element of the state", scale="linear", limits=plane.square["y"]),
        series=tuple(made),
    )


def _points(rows: pd.DataFrame) -> tuple[Point, ...]:
    return tuple(
        Point(x=float(x), y=float(y)) for x, y in zip(rows["x"], rows["y"], strict=True) if pd.notna(x) and pd.notna(y)
    )


def _notes(rows: list[dict]) -> list[str]:
    count = {int(row["trajectories"]) for row in rows if pd.notna(row.get("trajectories"))}
    told = (
        [f"At most {_OF_A_CLASS} trajectories of each class are drawn; crossings are counted among all {max(count):,}."]
        if count
        else []
    )
    return [*told, "Of each training step the first seed is drawn; lines that leave the frame are cut."]
