"""Accuracy of trained models against the steps that they are tested with: a flow only gains by finer ones."""

from __future__ import annotations

import pandas as pd

from odebench.report.chart import Axis, Chart, Panel, Point, Series, Skipped
from odebench.report.figures.selection import in_pieces, key_of
from odebench.report.labels import joined
from odebench.report.learners import seeds_of, size_words, swaps
from odebench.report.palette import MARKERS, ordered

FAMILY = "Accuracy against test steps"
_PANELS, _LINES = 6, 12
_CAPTION = (
    "One line for each training step, the mean over the seeds; single seeds are faint. The ring marks the training's own step. "
    "A model that is a flow keeps its accuracy to the right of its ring; one that is tied to its solver loses it."
)


def against_test_steps(frame: pd.DataFrame) -> list[Chart | Skipped]:
    """Accuracy against the steps of the test, a line for each training step, a panel for each test solver."""
    rows = swaps(frame)
    adapted = rows["adapts"].all() and not rows.empty
    rows = rows[~rows["adapts"]]
    title = "accuracy against the steps of the test"
    if rows.empty:
        reason = (
            "The step policy changed the step of every training, so no model belongs to one step: see the tables."
            if adapted
            else "No trained model was tested with another solver or step."
        )
        return [Skipped(key=key_of("", "refinement"), family=FAMILY, title=title.capitalize(), reason=reason)]
    made: list[Chart | Skipped] = []
    for (model, who, tolerance), group in rows.groupby(["model", "who", "tolerance"], sort=True):
        key = key_of(str(model), "refinement", str(who), *(["tolerance"] if tolerance else []))
        name = f"{model}, trained with {who}: {title}"
        x = "at" if tolerance else "steps"
        # Two places make a line; one is the dot plot's.
        if group.groupby(["size", "solver"])[x].nunique().max() < 2:
            reason = "Each model was tested with one step only."
            made.append(Skipped(key=key, family=FAMILY, title=name, reason=reason, model=str(model)))
            continue
        sizes = _thinned(sorted(group["size"].unique()))
        looks = dict(zip(sizes, ordered(len(sizes)), strict=True))
        panels = [
            Panel(
                title=f"tested with {solver}",
                x=Axis("rtol", "tolerance of the test", falling=True) if tolerance else _STEPS,
                y=Axis("accuracy_test"),
                series=_lines(part, x, bool(tolerance), looks),
            )
            for solver, part in group.groupby("solver", sort=True)
        ]
        pieces = in_pieces(panels, _PANELS)
        made += [
            Chart(
                key=key if place == 0 else f"{key}/{place + 1}",
                family=FAMILY,
                title=name + (f" ({place + 1} of {len(pieces)})" if len(pieces) > 1 else ""),
                caption=_CAPTION,
                panels=piece,
                palette="solver",
                model=str(model),
                notes=_notes(group, sizes),
            )
            for place, piece in enumerate(pieces)
        ]
    return made


_STEPS = Axis("steps", "steps of the test", scale="log2")


def _lines(rows: pd.DataFrame, x: str, tolerance: bool, looks: dict[float, str]) -> tuple[Series, ...]:
    """The seeds of each training step as faint points, and their mean as a line."""
    faint, bold = [], []
    for place, (size, colour) in enumerate(looks.items()):
        group = rows[rows["size"] == size]
        if group.empty:
            continue
        look = {"name": f"step {size}", "colour": colour, "marker": MARKERS[place % len(MARKERS)]}
        means = [
            Point(x=float(at), y=seeds_of(same["accuracy"])[0], ringed=bool(((same["factor"] - 1).abs() < 1e-6).any()))
            for at, same in group.groupby(x, sort=True)
        ]
        bold.append(
            Series(
                **look,
                label=f"trained with {'' if tolerance else 'step '}{size_words(size, tolerance)}",
                points=tuple(means),
            )
        )
        if group["seed"].nunique() > 1:
            points = tuple(Point(x=float(a), y=float(b)) for a, b in zip(group[x], group["accuracy"], strict=True))
            faint.append(Series(**look, label="", points=points, joined=False, faint=True))
    return (*faint, *bold)


def _thinned(sizes: list[float]) -> list[float]:
    """At most so many sizes as lines can be told apart, evenly chosen, both ends among them."""
    if len(sizes) <= _LINES:
        return sizes
    return [sizes[round(place * (len(sizes) - 1) / (_LINES - 1))] for place in range(_LINES)]


def _notes(rows: pd.DataFrame, sizes: list[float]) -> tuple[str, ...]:
    seeds = rows.groupby("size")["seed"].nunique()
    low, high = int(seeds.min()), int(seeds.max())
    told = [f"{low if low == high else f'{low} to {high}'} seed{'' if high == 1 else 's'} for each training step."]
    left = rows["size"].nunique() - len(sizes)
    told += [f"{left} training steps between are not drawn; the table has them."] if left else []
    return (joined([" ".join(told)]),)
