"""Trainings that differ in nothing but the seed, those that failed included: what is compared in a study of several methods."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from odebench.outcome import Outcome
from odebench.report.frame import BETWEEN_EXPERIMENTS, GRID_COLUMNS
from odebench.report.labels import is_there, joined, plain, with_labels

SCORE = "accuracy_test"
# What may tell trainings of one experiment and model apart, beside their seeds and the parameters of the training.
_TOLD = ("model_label", "solver_label", "gradient_label", "grid_label", "policy_label", "dtype")
_TASK = "task."


@dataclass(frozen=True, kw_only=True)
class Seeds:
    """Trainings that differ in nothing but the seed.

    Attributes:
        model: name of the model.
        experiment: what the suite calls what asked for them.
        words: what tells them apart from the other trainings of this experiment and model; "" where there are no others.
        rows: the trainings.
    """

    model: str
    experiment: str
    words: str
    rows: pd.DataFrame

    @property
    def row(self) -> str:
        """The experiment, with what tells its trainings of this model apart."""
        return joined([self.experiment, self.words])

    @property
    def ended(self) -> pd.DataFrame:
        """Those that ended ok with a score."""
        return self.rows[(self.rows["outcome"] == Outcome.OK.word) & self.rows[SCORE].notna()]


def by_seeds(frame: pd.DataFrame) -> list[Seeds]:
    """All trainings of a frame, by model and experiment; none where no training has another of another seed.

    A training that several experiments asked for stands in each of them.
    """
    if "policy" not in frame.columns or SCORE not in frame.columns:
        return []
    asked = frame[frame["policy"].notna() & (frame["outcome"] != Outcome.UNSUPPORTED.word)]
    asked = asked.assign(experiment=asked["experiment"].str.split(BETWEEN_EXPERIMENTS)).explode("experiment")
    made = []
    for (model, experiment), group in asked.groupby(["model", "experiment"], sort=True, dropna=False):
        # Labels anew, so that they tell what varies within this experiment, and nothing else.
        rows = with_labels(group.reset_index(drop=True))
        names = [*_TOLD, *(name for name in rows.columns if name.startswith(_TASK))]
        # By the numbers of the grids, since "16 steps" would stand before "2 steps".
        rows = rows.sort_values([*_TOLD[:3], *GRID_COLUMNS, *names[4:]], kind="stable")
        varying = [name for name in names if rows[name].nunique(dropna=False) > 1]
        for values, alike in rows.groupby(varying, sort=False, dropna=False) if varying else [((), rows)]:
            words = (_told(name, value, model) for name, value in zip(varying, values, strict=True) if is_there(value))
            made.append(Seeds(model=str(model), experiment=str(experiment), words=joined(list(words)), rows=alike))
    return made if any(one.rows["seed"].nunique() > 1 for one in made) else []


def _told(name: str, value: object, model: str) -> str:
    if name == "model_label":  # that it is this model, is said above
        return str(value).removeprefix(model).strip(" ()")
    return f"{name.removeprefix(_TASK)}={plain(value)}" if name.startswith(_TASK) else plain(value)
