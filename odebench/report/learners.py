"""Trainings, and what became of the trained models with other solvers and steps, as two tidy frames."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from odebench.outcome import Outcome
from odebench.report.columns import TRAINED
from odebench.report.critical_step import THRESHOLD, Critical, critical_step
from odebench.report.labels import SETTINGS, is_there, joined, plain

# What may tell trainings of one model and solver apart, beside grid and seed.
_TOLD = ("gradient", "policy", *(name for name in SETTINGS if name not in ("policy_label", "training_label")))
# Equal steps may differ in their last digits, and methods of equal stages may spend a few evaluations more on a first step.
_EQUAL, _AS_MANY = 1e-6, 0.95


def trainings(frame: pd.DataFrame) -> pd.DataFrame:
    """Trainings that ended ok, a row each; no rows where there is none.

    Columns: those of `_of_training`, `cell_id`, `model`, `seed`, and `accuracy`, `nfe`, `iterations`.
    """
    rows = _lacking(frame, "accuracy_test", "nfe_mean", "iterations")
    rows = _ended_ok(rows, "accuracy_test", "iterations")
    made = _of_training(rows, "")
    return made.assign(
        cell_id=rows["cell_id"], model=rows["model_label"], seed=rows["seed"], accuracy=rows["accuracy_test"].astype(float),
        nfe=rows["nfe_mean"].astype(float), iterations=rows["iterations"].astype(float),
    ).reset_index(drop=True)  # fmt: skip


def swaps(frame: pd.DataFrame) -> pd.DataFrame:
    """Answers of trained models with some solver and step, a row each; no rows where there is none.

    Columns: those of `_of_training` (of the training), `training` (its cell), `model`, `seed`, `solver`, `steps`, `at` (step or
    tolerance of the answer), `factor` (times that of the training), `accuracy`, `own` (of the training itself), `change`, `spent`
    (evaluations a step), `itself` (whether it is the training's own solver and step), and `comparable`: whether its error is
    certainly no larger than that of the training's own solve, since it takes no longer a step and asks no less of the field in one.
    """
    needed = (f"{TRAINED}cell_id", "accuracy_test", "accuracy_change", f"{TRAINED}accuracy_test")
    frame = _lacking(frame, *needed, "tolerance", "factor")
    rows = _ended_ok(frame, *needed)
    made = _of_training(rows, TRAINED)
    steps = rows["steps"].fillna(rows["steps_accepted"]).astype(float)
    at = rows["step_size"].fillna(rows["tolerance"]).fillna(rows["rtol"]).astype(float)
    spent = rows["nfe_forward"].astype(float) / rows["steps_accepted"].astype(float)
    same = rows["solver"] == made["solver_name"]
    factor = (at / made["size"]).where(_same_kind(rows, made))
    itself = same & ((factor - 1).abs() < _EQUAL)
    made = made.assign(
        training=rows[f"{TRAINED}cell_id"], model=rows["model_label"], seed=rows["seed"], solver=rows["solver_label"],
        steps=steps, at=at, factor=factor, accuracy=rows["accuracy_test"].astype(float),
        own=rows[f"{TRAINED}accuracy_test"].astype(float), change=rows["accuracy_change"].astype(float), spent=spent,
        itself=itself.astype(bool),
    )  # fmt: skip
    least = made["solver_name"].map(made[same.astype(bool)].groupby("solver_name")["spent"].median())
    least = least.astype(float).fillna(_spent_while_training(rows) / made["trained_steps"])
    made["comparable"] = (factor <= 1 + _EQUAL) & (same | (spent >= _AS_MANY * least)).fillna(False) & ~made["itself"]
    return made.reset_index(drop=True)


def critical_steps(rows: pd.DataFrame, threshold: float = THRESHOLD) -> dict[tuple[str, str, bool], Critical]:
    """The critical step of each model, solver of the training, and kind of step (whether it is a tolerance).

    Args:
        rows: what `swaps` gives; trainings whose policy changed the step are left out, as each ends with a step of its own.
        threshold: as in `critical_step`.
    """
    rows = rows[rows["comparable"] & ~rows["adapts"]]
    found = {}
    for (model, who, tolerance), group in rows.groupby(["model", "who", "tolerance"], sort=True):
        changes: dict[float, dict[int, list[float]]] = {}
        for size, training, change in zip(group["size"], group["training"], group["change"], strict=True):
            changes.setdefault(float(size), {}).setdefault(training, []).append(float(change))
        found[str(model), str(who), bool(tolerance)] = critical_step(changes, threshold)
    return found


def with_training(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows that need a training with `who`, `size` and `tolerance_trained` of it."""
    made = _of_training(rows, TRAINED)
    return rows.assign(who=made["who"], size=made["size"], tolerance_trained=made["tolerance"])


def size_words(size: float, tolerance: bool) -> str:
    """A training step in words: `1/64`, `0.3`, `tolerance 0.001`."""
    if tolerance:
        return f"tolerance {plain(float(size))}"
    one_over = round(1 / size) if size > 0 else 0
    return f"1/{one_over}" if one_over > 1 and abs(size * one_over - 1) < _EQUAL else plain(float(size))


def _ended_ok(frame: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """Rows that ended ok and hold all the columns. (`figures` has the same, and looks into this module.)"""
    return frame[(frame["outcome"] == Outcome.OK.word) & frame[list(columns)].notna().all(axis=1)]


def _of_training(rows: pd.DataFrame, prefix: str) -> pd.DataFrame:
    """What tells trainings apart, from their own rows or from what is joined to others.

    Columns: `who` (solver of the training, and what else varies), `solver_name`, `policy`, `adapts` (whether a policy changed the
    step while it was trained), `size` (step, or tolerance, at its end), `tolerance` (whether it is one) and `trained_steps`.
    """
    names = [f"{prefix}{name}" for name in (
        "solver", "policy", "nfe_checks", "steps", "step_size", "rtol", "step_size_final", "tolerance_final", "steps_final",
    )]  # fmt: skip
    rows = _lacking(rows, *names)
    solver, policy, checks, steps, asked_size, asked_rtol, final_size, final_rtol, final_steps = (
        rows[name] for name in names
    )
    size = _numbers(final_size).fillna(_numbers(asked_size)).fillna(1 / _numbers(steps))
    rtol = _numbers(final_rtol).fillna(_numbers(asked_rtol))
    asked = steps.notna() | asked_size.notna() | asked_rtol.notna()
    adapts = (_numbers(checks).fillna(0) > 0) | ~asked
    # What varies only because policies differ says nothing about trainings without one.
    who = pd.concat([_who(rows[adapts], prefix), _who(rows[~adapts], prefix)]).reindex(rows.index)
    return pd.DataFrame(
        {
            "who": who.astype("string"),
            "solver_name": solver.astype("string"),
            "policy": policy.astype("string"),
            "adapts": adapts,
            "size": size.fillna(rtol),
            "tolerance": size.isna() & rtol.notna(),
            "trained_steps": _numbers(steps).fillna(_numbers(final_steps)),
        },
        index=rows.index,
    )


def _who(rows: pd.DataFrame, prefix: str) -> pd.Series:
    """The solver of each training, with whatever else varies between the trainings of the frame but its grid and seed."""
    plain_names = [f"{prefix}{name}" for name in _TOLD]
    parameters = [
        name for name in rows.columns
        if name.startswith(tuple(f"{prefix}{owner}." for owner in ("task", "solver", "gradient", "policy")))
    ]  # fmt: skip
    varying = [name for name in (*plain_names, *parameters) if name in rows.columns and rows[name].nunique() > 1]
    words = []
    for row in rows[[f"{prefix}solver", *varying]].itertuples(index=False, name=None):
        told = [
            _told(name.removeprefix(prefix), value)
            for name, value in zip(varying, row[1:], strict=True)
            if is_there(value)
        ]
        words.append(joined([row[0], *told]))
    return pd.Series(words, index=rows.index, dtype="string")


def _told(name: str, value: object) -> str:
    owner, dot, parameter = name.partition(".")
    return f"{parameter}={plain(value)}" if dot and owner != "grid" else plain(value)


def _spent_while_training(rows: pd.DataFrame) -> pd.Series:
    """Evaluations of the field in an iteration of the training that each row needs, those of its policy not counted."""
    rows = _lacking(rows, f"{TRAINED}nfe_training", f"{TRAINED}iterations")
    return _numbers(rows[f"{TRAINED}nfe_training"]) / _numbers(rows[f"{TRAINED}iterations"])


def _same_kind(rows: pd.DataFrame, made: pd.DataFrame) -> pd.Series:
    """Whether answer and training both have a step, or both a tolerance."""
    return rows["step_size"].isna() == made["tolerance"]


def _numbers(values: pd.Series) -> pd.Series:
    return pd.to_numeric(values, errors="coerce").astype("Float64").astype(float)


def _lacking(frame: pd.DataFrame, *names: str) -> pd.DataFrame:
    """The frame, with empty columns of these names where it has none."""
    return frame.assign(**{name: np.nan for name in names if name not in frame.columns})


def seeds_of(values: Sequence[float]) -> tuple[float, float | None, int]:
    """Mean over seeds, their standard deviation (n - 1; None with one seed), and how many there are."""
    # In one order, so that the same values in two columns have the same mean to the last digit.
    array = np.sort(np.asarray(values, dtype=float))
    return float(array.mean()), float(array.std(ddof=1)) if len(array) > 1 else None, len(array)
