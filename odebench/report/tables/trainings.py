"""What was trained, at which cost, and what other solvers make of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from odebench.report.columns import COLUMNS, TRAINING
from odebench.report.critical_step import THRESHOLD, worst_change
from odebench.report.labels import joined
from odebench.report.learners import critical_steps, seeds_of, size_words, swaps, trainings
from odebench.report.quantity import MISSING, shown
from odebench.report.tables.table import Heading, Table, Value

_MEANING = {one.name: one.meaning for one in (*COLUMNS.values(), *TRAINING)}
_SAME_STEP = 1e-6
_CHANGE = (
    f"The largest change by a solver whose error is certainly no larger: no longer a step, and no fewer evaluations in one. A flow "
    f"changes by at most {100 * THRESHOLD:g} points, mean over the seeds."
)


def solvers_tested(frames: Sequence[pd.DataFrame]) -> list[str]:
    """Solvers that any of the frames tests trained models with."""
    return sorted({str(solver) for frame in frames for solver in swaps(frame)["solver"].unique()})


def by_test_solver(frame: pd.DataFrame, solvers: Sequence[str] | None = None) -> Table:
    """Accuracy by training step and test solver, at the training's own step: mean and spread over the seeds."""
    rows, solvers = swaps(frame), solvers_tested([frame]) if solvers is None else solvers
    criticals = critical_steps(rows)
    made = []
    for (model, who, tolerance, adapts, size), group in _by_step(rows):
        same = group[(group["factor"] - 1).abs() < _SAME_STEP]
        worst = _worst(group)
        critical = criticals.get((model, who, tolerance))
        verdict = Value(MISSING)
        if worst:
            flow = float(np.mean(worst)) <= THRESHOLD * (1 + 1e-9)
            verdict = Value("yes" if flow else "no", float(flow), "good" if flow else "bad")
            if critical is not None and not adapts and critical.step == size:
                verdict = Value("yes, critical step", 1.0, "good")
        made.append(
            (
                Value(str(model)),
                Value(_trained(str(who), group)),
                _step(size, tolerance, adapts, group),
                _accuracy(group.drop_duplicates("training")["own"]),
                *(_accuracy(same.loc[same["solver"] == solver, "accuracy"]) for solver in solvers),
                _points(worst),
                verdict,
                Value(str(group["training"].nunique()), group["training"].nunique()),
            )
        )
    return Table(
        key="test-solvers",
        title="Accuracy by training step and test solver",
        caption="Test accuracy, mean ± standard deviation over the seeds; each test solver takes the training's own step. "
        + _CHANGE,
        headings=(
            Heading("model"),
            Heading("trained with"),
            Heading("training step", _MEANING["step_size_final"], True),
            Heading("own solver", "With the training's own solver and step.", True),
            *(Heading(f"test: {solver}", "At the training's own step.", True) for solver in solvers),
            Heading("worst change", _CHANGE, True),
            Heading(
                "a flow",
                f"The critical step is the largest training step whose mean worst change is at most {100 * THRESHOLD:g} points.",
            ),
            Heading("seeds", numeric=True),
        ),
        rows=tuple(made),
        empty="No trained model was tested with another solver or step.",
    )


def every_swap(frame: pd.DataFrame) -> Table:
    """Accuracy of each model with each test solver and step."""
    rows = swaps(frame)
    rows = rows.assign(place=rows["steps"].where(~rows["adapts"], rows["factor"].round(6)))
    keys = ["model", "who", "tolerance", "adapts", "size_shown", "solver", "place"]
    made = []
    grouped = rows.assign(size_shown=rows["size"].where(~rows["adapts"], -1.0)).groupby(keys, sort=True, dropna=False)
    for (model, who, tolerance, adapts, size, solver, _), group in grouped:
        steps, factor = sorted(group["steps"].dropna().unique()), group["factor"].median()
        made.append(
            (
                Value(str(model)),
                Value(_trained(str(who), group)),
                _step(size, tolerance, adapts, group),
                Value(str(solver)),
                Value(_range(steps, "{:,.0f}"), steps[0] if steps else None),
                Value(f"× {factor:.3g}" if pd.notna(factor) else MISSING, factor if pd.notna(factor) else None),
                _accuracy(group["accuracy"]),
                Value(shown("accuracy_change", group["change"].mean()), float(group["change"].mean())),
                Value(shown("accuracy_change", _largest(group["change"])), abs(_largest(group["change"]))),
                Value(str(len(group)), len(group)),
            )
        )
    return Table(
        key="swaps",
        title="Every test solver and step",
        caption="Test accuracy of the trained models with other solvers and steps, mean ± standard deviation over the seeds.",
        headings=(
            Heading("model"),
            Heading("trained with"),
            Heading("training step", _MEANING["step_size_final"], True),
            Heading("tested with"),
            Heading("test steps", "Steps of the test over the whole span.", True),
            Heading("of the training's", "Step of the test over that of the training.", True),
            Heading("accuracy", _MEANING["accuracy_test"], True),
            Heading("change", _MEANING["accuracy_change"] + " Mean over the seeds.", True),
            Heading("worst change", "Of all seeds.", True),
            Heading("seeds", numeric=True),
        ),
        rows=tuple(made),
        empty="No trained model was tested with another solver or step.",
    )


def every_training(frame: pd.DataFrame) -> Table:
    """Accuracy, cost and gap of each training: step policies beside the points of the grid."""
    rows, changed = trainings(frame), swaps(frame)
    made = []
    for (model, who, tolerance, adapts, size), group in _by_step(rows):
        own = changed[changed["training"].isin(group["cell_id"])]
        worst = _worst(own)
        accuracy, nfe = seeds_of(group["accuracy"]), seeds_of(group["nfe"])
        made.append(
            (
                Value(str(model)),
                Value(_trained(str(who), group)),
                _step(size, tolerance, adapts, group),
                _accuracy(group["accuracy"]),
                Value(_spread(nfe, "{:,.1f}"), nfe[0]),
                _points(worst),
                Value(_range(sorted(group["iterations"].unique()), "{:,.0f}"), float(group["iterations"].max())),
                Value(str(accuracy[2]), accuracy[2]),
            )
        )
    return Table(
        key="trainings",
        title="Trainings: accuracy, cost, gap",
        caption="Mean ± standard deviation over the seeds. Evaluations include those of the step policy. The gap is the worst change "
        "of the accuracy by a solver whose error is certainly no larger than that of the training's own.",
        headings=(
            Heading("model"),
            Heading("trained with"),
            Heading("training step", _MEANING["step_size_final"], True),
            Heading("accuracy", _MEANING["accuracy_test"], True),
            Heading("evaluations an iteration", _MEANING["nfe_mean"], True),
            Heading("gap", _CHANGE, True),
            Heading("iterations", _MEANING["iterations"], True),
            Heading("seeds", numeric=True),
        ),
        rows=tuple(made),
        empty="No training ended ok.",
    )


def _by_step(rows: pd.DataFrame):
    """Groups of seeds: by training step, the largest first; where a policy changed the step, all together, last."""
    rows = rows.assign(size_shown=rows["size"].where(~rows["adapts"], -1.0))
    keys = ["model", "who", "tolerance", "adapts", "size_shown"]
    ordered = rows.sort_values(
        ["model", "who", "adapts", "size_shown"], ascending=[True, True, True, False], kind="stable"
    )
    yield from ordered.groupby(keys, sort=False, dropna=False)


def _trained(who: str, group: pd.DataFrame) -> str:
    """What a model was trained with, the step policy included where it changed the step."""
    policy = str(group["policy"].iloc[0])
    return joined([who, policy]) if bool(group["adapts"].iloc[0]) and policy not in who else who


def _step(size: float, tolerance: bool, adapts: bool, group: pd.DataFrame) -> Value:
    """The training step; of a policy that changed it the range over the seeds at the end."""
    if not adapts:
        return Value(size_words(size, tolerance), float(size))
    sizes = sorted(group["size"].dropna())
    if not sizes:
        return Value(MISSING)
    ends = dict.fromkeys([f"{sizes[0]:.3g}", f"{sizes[-1]:.3g}"])
    return Value(f"ends at {' – '.join(ends)}", float(np.median(sizes)))


def _worst(rows: pd.DataFrame) -> list[float]:
    """The worst change of each model, by solvers of no larger error."""
    return [worst_change(group["change"]) for _, group in rows[rows["comparable"]].groupby("training")]


def _largest(changes: pd.Series) -> float:
    return float(changes.loc[changes.abs().idxmax()])


def _accuracy(values: pd.Series) -> Value:
    if values.empty:
        return Value(MISSING)
    found = seeds_of(values * 100)
    return Value(f"{_spread(found, '{:.1f}')} %", found[0])


def _points(worst: Sequence[float]) -> Value:
    if not worst:
        return Value(MISSING)
    found = seeds_of(np.array(worst) * 100)
    return Value(f"{_spread(found, '{:.1f}')} points", found[0])


def _spread(found: tuple[float, float | None, int], form: str) -> str:
    mean, spread, _ = found
    return form.format(mean) if spread is None else f"{form.format(mean)} ± {form.format(spread)}"


def _range(values: Sequence[float], form: str) -> str:
    if not len(values):
        return MISSING
    return " – ".join(dict.fromkeys([form.format(values[0]), form.format(values[-1])]))
