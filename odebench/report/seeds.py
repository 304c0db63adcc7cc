"""Trainings that differ in nothing but the seed, those that failed included: what is compared in a study of several methods."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from odebench.outcome import Outcome
from odebench.report.labels import is_there, joined, plain

SCORE = "accuracy_test"
# What may tell trainings of one experiment and model apart, beside their seeds and the parameters of their parts.
_TOLD = ("solver", "gradient", "steps", "step_size", "rtol", "policy", "dtype")
_PARTS = ("model.", "task.", "solver.", "gradient.", "policy.")


@dataclass(frozen=True, kw_only=True)
class Seeds:
    """Trainings that differ in nothing but the seed.

    Attributes:
        model: name of the model.
        row: the experiment, with what tells its trainings of this model apart.
        rows: the trainings.
    """

    model: str
    row: str
    rows: pd.DataFrame

    @property
    def ended(self) -> pd.DataFrame:
        """Those that ended ok with a score."""
        return self.rows[(self.rows["outcome"] == Outcome.OK.word) & self.rows[SCORE].notna()]


def by_seeds(frame: pd.DataFrame) -> list[Seeds]:
    """All trainings of a frame, by model and experiment; none where no training has another of another seed."""
    if "policy" not in frame.columns or SCORE not in frame.columns:
        return []
    asked = frame[frame["policy"].notna() & (frame["outcome"] != Outcome.UNSUPPORTED.word)]
    made = []
    for (model, experiment), group in asked.groupby(["model", "experiment"], sort=True, dropna=False):
        names = [name for name in group.columns if name in _TOLD or name.startswith(_PARTS)]
        varying = [name for name in names if group[name].nunique(dropna=False) > 1]
        for values, rows in _alike(group, varying):
            words = (_told(name, value) for name, value in zip(varying, values, strict=True) if is_there(value))
            made.append(Seeds(model=str(model), row=joined([experiment, *words]), rows=rows))
    return made if any(one.rows["seed"].nunique() > 1 for one in made) else []


def _alike(group: pd.DataFrame, varying: list[str]) -> Iterator[tuple[tuple, pd.DataFrame]]:
    if not varying:
        yield (), group
        return
    yield from group.groupby(varying, sort=True, dropna=False)


def _told(name: str, value: object) -> str:
    owner, dot, parameter = name.partition(".")
    if name == "steps":
        return f"{plain(value)} step{'' if value == 1 else 's'}"
    return f"{parameter}={plain(value)}" if dot else plain(value) if owner != "rtol" else f"tolerance {plain(value)}"
