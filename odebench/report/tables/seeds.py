"""Trainings over their seeds: the least, the mean and the greatest score of each row of a comparison."""

from __future__ import annotations

import numpy as np
import pandas as pd

from odebench.outcome import Outcome
from odebench.report.columns import COLUMNS, TRAINING
from odebench.report.quantity import MISSING, shown
from odebench.report.seeds import SCORE, Seeds, by_seeds
from odebench.report.tables.table import Heading, Table, Value

_MEANING = {one.name: one.meaning for one in (*COLUMNS.values(), *TRAINING)}


def over_seeds(frame: pd.DataFrame) -> Table:
    """A row for each experiment and model, with how many seeds diverged or failed otherwise."""
    return Table(
        key="seeds",
        title="Trainings over their seeds",
        caption="Test accuracy with the training's own solver and step: least, mean and greatest of the seeds that ended. A loss "
        "that is not finite is a result, and is counted.",
        headings=(
            Heading("model"),
            Heading("experiment", "With what tells its trainings of this model apart."),
            Heading("least", _MEANING[SCORE], True),
            Heading("mean", _MEANING[SCORE], True),
            Heading("greatest", _MEANING[SCORE], True),
            Heading("spread", "Standard deviation of the test accuracy over the seeds.", True),
            Heading("training loss", _MEANING["loss_train"] + " Mean over the seeds.", True),
            Heading("parameters", _MEANING["parameters_trained"], True),
            Heading("diverged", "Seeds whose loss or state ceased to be finite.", True),
            Heading("failed", "Seeds that ended otherwise: out of time or memory, or in an error.", True),
            Heading("seeds", numeric=True),
        ),
        rows=tuple(_row(one) for one in by_seeds(frame)),
        empty="No training was repeated with another seed.",
    )


def _row(one: Seeds) -> tuple[Value, ...]:
    scores = one.ended[SCORE].to_numpy(dtype=float)
    seeds, diverged = len(one.rows), int((one.rows["outcome"] == Outcome.DIVERGED.word).sum())
    failed = seeds - len(one.ended) - diverged
    spread = float(np.std(scores, ddof=1)) if len(scores) > 1 else None
    losses = one.ended["loss_train"].dropna().astype(float)
    loss = float(losses.mean()) if len(losses) else None
    return (
        Value(one.model),
        Value(one.row),
        *(_share(float(pick(scores)) if len(scores) else None) for pick in (np.min, np.mean, np.max)),
        Value(f"{100 * spread:.1f} points", spread) if spread is not None else Value(MISSING),
        Value(MISSING if loss is None else f"{loss:.3g}", loss),
        _parameters(one.rows),
        Value(str(diverged), diverged, "bad" if diverged else ""),
        Value(str(failed), failed, "bad" if failed else ""),
        Value(str(seeds), seeds),
    )


def _share(value: float | None) -> Value:
    return Value(MISSING) if value is None else Value(f"{100 * value:.1f} %", value)


def _parameters(rows: pd.DataFrame) -> Value:
    """How many numbers were trained, the same for all seeds."""
    found = rows["parameters_trained"].dropna() if "parameters_trained" in rows.columns else []
    return Value(shown("parameters_trained", int(found.iloc[0])), int(found.iloc[0])) if len(found) else Value(MISSING)
