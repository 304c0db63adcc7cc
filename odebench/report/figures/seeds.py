"""Test accuracy of each row of a comparison: every seed, their mean, and from the least to the greatest."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import pandas as pd

from odebench.outcome import Outcome
from odebench.report.chart import Axis, Chart, Panel, Point, Series, Skipped
from odebench.report.figures.selection import key_of
from odebench.report.labels import joined
from odebench.report.seeds import SCORE, Seeds, by_seeds
from odebench.report.style import INK

FAMILY = "Trainings over their seeds"
_CAPTION = (
    "Test accuracy with the training's own solver and step. Small marks are seeds, large ones their mean, bars go from the least to the "
    "greatest."
)
_TITLE = "test accuracy over the seeds"


# More rows than a page is high stand in a chart for each experiment.
_TALL = 20


def over_seeds(frame: pd.DataFrame) -> list[Chart | Skipped]:
    """A chart for each model with all its trainings, or, where they are many, for each model and experiment."""
    found = by_seeds(frame)
    if not any(len(one.ended) for one in found):
        reason = "No training was repeated with another seed." if not found else "No training ended ok."
        return [Skipped(key=key_of("", "seeds"), family=FAMILY, title=_TITLE.capitalize(), reason=reason)]
    made: list[Chart] = []
    for model, group in itertools.groupby(found, key=lambda one: one.model):
        rows = list(group)
        if len(rows) <= _TALL:
            made += _chart(model, "", {one.row: one for one in rows})
            continue
        for experiment, some in itertools.groupby(rows, key=lambda one: one.experiment):
            made += _chart(model, experiment, {one.words or experiment: one for one in some})
    return made


def _chart(model: str, experiment: str, rows: dict[str, Seeds]) -> list[Chart]:
    """The chart of these rows, by what they are called; none where no training ended."""
    if not any(len(one.ended) for one in rows.values()):
        return []
    panel = Panel(title="", x=Axis(SCORE), y=Axis("experiment"), series=_series(rows.values()), rows=tuple(rows))
    return [
        Chart(
            key=key_of(model, "seeds", experiment) if experiment else key_of(model, "seeds"),
            family=FAMILY,
            title=f"{joined([model, experiment])}: {_TITLE}",
            caption=_CAPTION,
            panels=(panel,),
            palette="gradient",
            model=model,
            notes=tuple(_notes(rows)),
        )
    ]


def _series(rows: Iterable[Seeds]) -> tuple[Series, Series]:
    seeds, means = [], []
    for place, one in enumerate(rows):
        scores = one.ended[SCORE].astype(float)
        if scores.empty:
            continue
        seeds += [Point(x=float(score), y=float(place)) for score in scores]
        means.append(
            Point(x=float(scores.mean()), y=float(place), x_low=float(scores.min()), x_high=float(scores.max()))
        )
    look = {"colour": INK, "marker": "o", "joined": False}
    return (
        Series(name="seeds", label="", points=tuple(seeds), faint=True, **look),
        Series(name="mean", label="mean of the seeds, from the least to the greatest", points=tuple(means), **look),
    )


def _notes(rows: dict[str, Seeds]) -> Iterator[str]:
    for name, one in rows.items():
        lost = one.rows[~one.rows.index.isin(one.ended.index)]
        for word, count in lost["outcome"].value_counts().items():
            told = "diverged" if word == Outcome.DIVERGED.word else f"ended as {word}"
            yield f"{name}: {count} of {len(one.rows)} seeds {told}."
