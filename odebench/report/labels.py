"""Short words that tell rows apart: methods with the parameters that vary, grids, panels."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from odebench.report.columns import TRAINED

OWNERS = ("model", "solver", "gradient")
# What may vary besides model, solver, gradient method and grid; figures of different ones are never joined by a line.
SETTINGS = ("policy_label", "dtype", "device", "threads", "grid.batch", "training_label")
_COMPILED = {"true": ", compiled", "auto": ", compiled where it can be"}


def with_labels(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with `model_label`, `solver_label`, `gradient_label`, `grid_label` and `setting_label` added.

    A label is the name, followed by the parameters whose values differ between the rows of that name. A setting is
    what else varies over the whole frame (step policy, dtype, device, threads, batch control, and the training that a
    cell needs), "" where nothing does. A solver that is compiled in some rows and not in others is told apart as two solvers
    are; `eager_label` is the same for both. Frames with trainings have `policy_label` and `training_label` too.
    """
    labelled = frame.copy()
    for owner in (*OWNERS, *(("policy",) if "policy" in frame.columns else ())):
        labelled[f"{owner}_label"] = _choice_labels(frame, owner)
    labelled["grid_label"] = [grid_words(row) for row in frame.to_dict("records")]
    if f"{TRAINED}cell_id" in frame.columns:
        labelled["training_label"] = _training_labels(labelled)
    varying = [name for name in SETTINGS if name in labelled.columns and labelled[name].nunique() > 1]
    labelled["setting_label"] = pd.Series(
        [
            ", ".join(
                _setting_words(name, value) for name, value in zip(varying, values, strict=True) if is_there(value)
            )
            for values in labelled[varying].itertuples(index=False, name=None)
        ]
        if varying
        else "",
        index=frame.index,
        dtype="string",
    )
    labelled["eager_label"] = labelled["solver_label"]
    labelled["solver_label"] += compiled_words(labelled)
    return labelled


def compiled_words(frame: pd.DataFrame) -> pd.Series:
    """What a label of each row ends with where some rows are compiled and others are not; "" elsewhere."""
    if "compile" not in frame.columns or frame["compile"].nunique() < 2:
        return pd.Series("", index=frame.index, dtype="string")
    return frame["compile"].map(_COMPILED).fillna("").astype("string")


def _choice_labels(frame: pd.DataFrame, owner: str) -> pd.Series:
    """Labels of one owner's choices, missing where there is no choice."""
    labels = frame[owner].astype("string").copy()
    parameters = [name for name in frame.columns if name.startswith(f"{owner}.")]
    for _, rows in frame.groupby(owner, observed=True):
        varying = [name for name in parameters if rows[name].nunique(dropna=False) > 1]
        if not varying:
            continue
        for index, values in zip(rows.index, rows[varying].itertuples(index=False, name=None), strict=True):
            words = ", ".join(
                f"{name.partition('.')[2]}={plain(value)}"
                for name, value in zip(varying, values, strict=True)
                if is_there(value)
            )
            if words:  # of two rows of one name, one may have left all parameters out
                labels.loc[index] = f"{rows.loc[index, owner]} ({words})"
    return labels


def _training_labels(labelled: pd.DataFrame) -> pd.Series:
    """The training that each cell needs, in the words of its own row; where that is not among the rows, by its cell."""
    policies = ["policy_label"] if "policy_label" in labelled and labelled["policy_label"].nunique() > 1 else []
    parts = labelled[["solver_label", "grid_label", *policies]].itertuples(index=False, name=None)
    words = {
        cell_id: ", ".join(str(part) for part in of_cell if is_there(part) and part)
        for cell_id, of_cell in zip(labelled["cell_id"], parts, strict=True)
    }
    return pd.Series(
        [f"trained with {words.get(need, need)}" if is_there(need) else None for need in labelled[f"{TRAINED}cell_id"]],
        index=labelled.index,
        dtype="string",
    )


def grid_words(row: dict) -> str:
    """How time was divided, in words: `64 steps`, `step 0.1`, `tolerance 1e-06`, `2 × the trained step`."""
    if is_there(row.get("factor")):
        adaptive = is_there(row.get("tolerance")) or is_there(row.get("rtol"))
        return f"{plain(row['factor'])} × the trained {'tolerance' if adaptive else 'step'}"
    if is_there(row.get("steps")):
        return f"{int(row['steps'])} step{'' if row['steps'] == 1 else 's'}"
    if is_there(row.get("step_size")):
        return f"step {plain(row['step_size'])}"
    if is_there(row.get("rtol")):
        relative, absolute = plain(row["rtol"]), plain(row.get("atol"))
        return f"tolerance {relative}" if relative == absolute else f"rtol {relative}, atol {absolute}"
    return ""


def plain(value: object) -> str:
    """A value as few characters: integers without a point, floats by `%g`, "" where missing."""
    if not is_there(value):
        return ""
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)


def is_there(value: object) -> bool:
    """Whether a value is none of the ways to be missing."""
    return not (value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)))


def _setting_words(name: str, value: object) -> str:
    if name == "threads":
        return f"{plain(value)} thread{'' if value == 1 else 's'}"
    return plain(value)


def joined(parts: Sequence[object]) -> str:
    """The parts that say something, joined by a middle dot."""
    return " · ".join(str(part) for part in parts if is_there(part) and str(part))
