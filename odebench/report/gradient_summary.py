"""What each gradient method gives and costs: exactness, memory, time, evaluations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from odebench.report.figures.selection import BLOCKS, OK, UNSUPPORTED, drawn, models, narrowed
from odebench.report.labels import compiled_words
from odebench.report.statistics import memory_line, to_rounding

# A line through two points explains everything and proves nothing.
_STEPS_FOR_A_LAW = 3
_SAME_QUESTION = ["model_label", "eager_label", "grid_label", "setting_label", "seed", "task"]
_NEEDED = (
    "cell_id", "nfe_forward", "nfe_backward", "grad_error_discrete", "grad_error_y0", "grad_error_params", "grad_rounding",
    "memory_peak_bytes", "memory_grid_bytes", "time_total_s", "timing_valid", "timing_indicative",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class GradientSummary:
    """One gradient method on one model, or on all.

    Attributes:
        model: label of the model, "" for all.
        gradient: label of the method.
        cells: cells that were asked for and are offered.
        ok: how many of them ended ok.
        judged: how many have an error against the exact gradient of their grid.
        exact: how many of these are at rounding.
        worst_discrete: the largest such error, or None.
        worst_continuous: the largest error against the continuous problem, or None.
        bytes_low, bytes_high: range of the fitted bytes per step over models and solvers, or None; see `_best_laws`.
        time_ratio: geometric mean of total time over that of the baseline on the same question, or None.
        baseline: label of the method whose time is 1, or "".
        backward_ratio: evaluations of the backward pass over those of the forward pass, median, or None.
        indicative: whether too few processes timed it.
    """

    model: str
    gradient: str
    cells: int
    ok: int
    judged: int
    exact: int
    worst_discrete: float | None
    worst_continuous: float | None
    bytes_low: float | None
    bytes_high: float | None
    time_ratio: float | None
    baseline: str
    backward_ratio: float | None
    indicative: bool

    @property
    def is_exact(self) -> bool | None:
        """Whether every judged cell is at rounding; None where none was judged."""
        return self.exact == self.judged if self.judged else None


def baseline(frame: pd.DataFrame) -> str | None:
    """The method that the others' times are compared with: it evaluates nothing in the backward pass.

    Of several such methods the one with most successful cells, then the first by name; None where there is none.
    """
    rows = drawn(frame, "gradient", "nfe_backward", "time_total_s")
    counts = rows.groupby("gradient_label").agg(most=("nfe_backward", "max"), cells=("cell_id", "size"))
    plain = counts[counts["most"] == 0].reset_index().sort_values(["cells", "gradient_label"], ascending=[False, True])
    return None if plain.empty else str(plain["gradient_label"].iloc[0])


def summarise(frame: pd.DataFrame) -> list[GradientSummary]:
    """A summary of every gradient method over all models, then for each model alone."""
    asked = narrowed(frame, *_NEEDED)
    asked = _compiled_apart(asked[asked["gradient"].notna()])
    reference = baseline(asked)
    ratios = _time_ratios(asked, reference)
    laws = bytes_per_step(asked)
    made = []
    for model, scope in [("", asked), *models(asked)]:
        for gradient, rows in scope.groupby("gradient_label", sort=True):
            mine = (laws["gradient"] == gradient) & ((laws["model"] == model) | (model == ""))
            made.append(_summary(model, str(gradient), rows, ratios, reference or "", _best_laws(laws[mine])))
    return made


def _compiled_apart(rows: pd.DataFrame) -> pd.DataFrame:
    """Methods that ran compiled and those that did not, under labels of their own where both are there."""
    return rows.assign(gradient_label=rows["gradient_label"] + compiled_words(rows))


def bytes_per_step(frame: pd.DataFrame) -> pd.DataFrame:
    """Fitted bytes per accepted step beyond the record of the grid, a row a model, solver, gradient method and setting.

    Networks of several solves are left out: their memory grows with more than steps.

    Returns:
        Columns `model solver gradient setting bytes_per_step base_bytes explained points fixed`; `points` counts distinct
        numbers of steps, and `fixed` tells whether the suite chose them all, rather than a tolerance.
    """
    rows = []
    if BLOCKS in frame.columns:
        frame = frame[frame[BLOCKS].isna()]
    frame = narrowed(frame, "memory_peak_bytes", "memory_grid_bytes")
    measured = drawn(frame[frame["gradient"].notna()], "memory_peak_bytes", "steps_accepted")
    for key, group in measured.groupby(["model_label", "solver_label", "gradient_label", "setting_label"], sort=True):
        line = memory_line(group)
        if line:
            fixed = bool(group["rtol"].isna().all())
            rows.append((*map(str, key), line.slope, line.intercept, line.explained, line.points, fixed))
    names = ["model", "solver", "gradient", "setting", "bytes_per_step", "base_bytes", "explained", "points", "fixed"]
    return pd.DataFrame(rows, columns=names)


def _best_laws(laws: pd.DataFrame) -> pd.DataFrame:
    """The fits that a range may be told from: fixed grids of three sizes or more; where there are none, any three; else all."""
    proven = laws[laws["points"] >= _STEPS_FOR_A_LAW]
    fixed = proven[proven["fixed"].astype(bool)]
    return next((found for found in (fixed, proven) if len(found)), laws)


def _time_ratios(asked: pd.DataFrame, reference: str | None) -> pd.Series:
    """Total time over the baseline's on the same question, by the frame's index."""
    timed = drawn(asked, "time_total_s")
    timed = timed[timed["timing_valid"].fillna(False) & (timed["time_total_s"] > 0)]
    base = timed[timed["gradient_label"] == reference].groupby(_SAME_QUESTION, dropna=False)["time_total_s"].median()
    if reference is None or base.empty:
        return pd.Series(dtype=float)
    joined = timed.join(base.rename("base"), on=_SAME_QUESTION)
    return (joined["time_total_s"] / joined["base"]).dropna().astype(float)


def _summary(
    model: str, gradient: str, rows: pd.DataFrame, ratios: pd.Series, reference: str, laws: pd.DataFrame
) -> GradientSummary:
    offered = rows[rows["outcome"] != UNSUPPORTED]
    judged = drawn(rows, "grad_error_discrete")
    allowed = [
        to_rounding(dtype, evaluations, amplified)
        for dtype, evaluations, amplified in zip(
            judged["dtype"],
            judged["nfe_forward"].fillna(0) + judged["nfe_backward"].fillna(0),
            judged["grad_rounding"].fillna(0.0),
            strict=True,
        )
    ]
    sizes = laws["bytes_per_step"]
    mine = ratios[ratios.index.isin(rows.index)]
    counted = drawn(rows, "nfe_forward", "nfe_backward")
    shares = counted.loc[counted["nfe_forward"] > 0, "nfe_backward"] / counted["nfe_forward"]
    continuous = drawn(rows)[["grad_error_y0", "grad_error_params"]].max(axis=1)
    return GradientSummary(
        model=model,
        gradient=gradient,
        cells=len(offered),
        ok=int((offered["outcome"] == OK).sum()),
        judged=len(judged),
        exact=int((judged["grad_error_discrete"].to_numpy(dtype=float) <= np.array(allowed)).sum()),
        worst_discrete=_number(judged["grad_error_discrete"].max()),
        worst_continuous=_number(continuous.max()),
        bytes_low=_number(sizes.min()),
        bytes_high=_number(sizes.max()),
        time_ratio=float(np.exp(np.log(mine).mean())) if len(mine) else None,
        baseline=reference,
        backward_ratio=_number(shares.median()),
        indicative=bool(drawn(rows)["timing_indicative"].fillna(True).any()),
    )


def _number(value: object) -> float | None:
    return None if pd.isna(value) else float(value)
