"""What each solver costs at one and the same error: the only fair way to rank them."""

from __future__ import annotations

import math
import statistics

import pandas as pd

from odebench.report.figures.selection import OK, UNSUPPORTED, drawn, least_encumbered, models, narrowed, one_way
from odebench.report.frame import GRID_COLUMNS
from odebench.report.statistics import eps

TARGETS = (1e-3, 1e-6)


def cost_at(errors: list[float], costs: list[float], target: float) -> tuple[float, bool]:
    """Cost at which the error falls to `target`, and whether that is only an upper bound.

    Interpolated between the points around it on log-log axes. A method that never gets there costs infinity; one whose
    cheapest point is already better costs at most that point.

    Args:
        errors: relative errors above 0.
        costs: costs above 0, in any unit.
        target: the error to reach.
    """
    best_error = math.inf
    before: tuple[float, float] | None = None
    for cost, error in sorted(zip(costs, errors, strict=True)):
        if error >= best_error:
            continue  # More work for no less error: not a point of the frontier.
        best_error = error
        if error <= target:
            if before is None:
                return cost, True
            share = math.log(before[1] / target) / math.log(before[1] / error)
            return math.exp(math.log(before[0]) + share * math.log(cost / before[0])), False
        before = (cost, error)
    return math.inf, False


def equal_error(frame: pd.DataFrame, targets: tuple[float, ...] = TARGETS) -> pd.DataFrame:
    """Cost of every solver at each target error, a row a model, setting, target and solver.

    Args:
        frame: labelled rows of one source.
        targets: relative errors of the final state.

    Returns:
        Columns `model setting target solver nfe nfe_bound time_s time_bound least_error indicative failed cells`;
        `nfe` and `time_s` are infinite where the solver does not get there and null where nobody measured it, undisturbed.
    """
    rows = []
    frame = narrowed(
        frame, "error_final", "nfe_forward", "time_forward_s", "timing_valid", "timing_indicative", "reference_digits"
    )
    for model, scope in models(one_way(frame)):
        for (setting, solver), group in least_encumbered(scope).groupby(["setting_label", "solver_label"]):
            asked, ok = group[group["outcome"] != UNSUPPORTED], drawn(group)
            if asked.empty or (len(ok) and ok["error_final"].isna().all()):
                continue  # Not offered, or without a reference to measure an error against.
            evaluations = _points(group, "nfe_forward")
            times = _points(group[group["timing_valid"].fillna(False)], "time_forward_s")
            facts = {
                "least_error": ok["error_final"].min(),
                "digits": ok["reference_digits"].min(),
                "indicative": bool(group["timing_indicative"].fillna(True).any()),
                "failed": int((asked["outcome"] != OK).sum()),
                "cells": len(asked),
            }
            for target in targets:
                nfe, nfe_bound = _cost(evaluations, target)
                seconds, time_bound = _cost(times, target)
                if seconds == math.inf and nfe is not None and nfe < math.inf:
                    seconds = None  # It gets there, but on grids whose times are missing or were disturbed.
                costs = {"nfe": nfe, "nfe_bound": nfe_bound, "time_s": seconds, "time_bound": time_bound}
                rows.append({"model": model, "setting": setting, "target": target, "solver": solver} | costs | facts)
    names = ["model", "setting", "target", "solver", "nfe", "nfe_bound", "time_s", "time_bound", "least_error"]
    table = pd.DataFrame(rows, columns=[*names, "digits", "indicative", "failed", "cells"])
    return table.sort_values(["model", "setting", "target", "nfe", "solver"], ascending=[True, True, False, True, True])


def _points(group: pd.DataFrame, cost: str) -> tuple[list[float], list[float]] | None:
    """Errors and costs of one solver, seeds pooled; None where successes hold no such cost."""
    points = drawn(group, "error_final", cost)
    if points.empty:
        # All cells failed: nothing is missing, it is infinitely expensive.
        return None if len(drawn(group, "error_final")) or group.empty else ([], [])
    # An error of exactly 0 is one at or below the rounding unit.
    least = min(eps(name) for name in points["dtype"].dropna().unique())
    grids: dict[tuple[str, ...], list[tuple[float, float]]] = {}
    for *grid, error, spent in points[[*GRID_COLUMNS, "error_final", cost]].itertuples(index=False, name=None):
        grids.setdefault(tuple(map(str, grid)), []).append((error, spent))
    medians = [[float(statistics.median(values)) for values in zip(*same, strict=True)] for same in grids.values()]
    return [max(error, least) for error, _ in medians], [spent for _, spent in medians]


def _cost(points: tuple[list[float], list[float]] | None, target: float) -> tuple[float | None, bool]:
    """Cost at the target, and whether it is a bound; None where nobody measured it."""
    return (None, False) if points is None else cost_at(*points, target)
