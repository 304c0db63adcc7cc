"""One figure a model for a first look: which solver, which gradient method, at which cost."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from odebench.report.chart import Axis, Chart, Panel
from odebench.report.figures.memory import fits_of
from odebench.report.figures.selection import (
    UNSUPPORTED,
    at_floor,
    drawn,
    floor_and_guides,
    key_of,
    least_encumbered,
    models,
    narrowed,
    notes,
    one_way,
    series_by,
)
from odebench.report.frame import GRID_COLUMNS

FAMILY = "Overview"
MOST_SOLVERS = 12
"""More than these cannot be told apart in one panel."""

_CAPTION = (
    "Left: at equal error (a horizontal cut) the leftmost solver needs the fewest evaluations. Middle: a gradient method at "
    "the rounding unit is exact. Right: what a method keeps until the backward pass. The figures below show every solver."
)


def overview(frame: pd.DataFrame) -> list[Chart]:
    """Solvers by error, gradient methods by exactness and by memory: three panels a model.

    A model that was not asked for all three has no overview, and the other figures say what it lacks.
    """
    frame = narrowed(
        frame, "error_final", "nfe_forward", "grad_error_discrete", "memory_peak_bytes", "memory_grid_bytes"
    )
    made = []
    for model, scope in models(one_way(frame)):
        solvers = drawn(least_encumbered(scope), "error_final", "nfe_forward")
        asked = scope[scope["gradient"].notna()]
        methods = _one_solver(drawn(asked, "grad_error_discrete", "memory_peak_bytes", "steps_accepted"))
        if solvers.empty or methods.empty:
            continue
        solvers, behind = _foremost(solvers)
        shown = set(methods["gradient_label"])
        absent = sorted(set(asked.loc[asked["outcome"] != UNSUPPORTED, "gradient_label"]) - shown)
        said = [f"Not in this figure: {', '.join(absent)}; see those below."] if absent else []
        said += [f"{behind} more solver{'s' * (behind > 1)} below."] if behind else []
        said += at_floor(solvers, ["error_final"]) + at_floor(methods, ["grad_error_discrete"])
        made.append(
            Chart(
                key=key_of(model, "overview"),
                family=FAMILY,
                title=f"{model}: which solver, which gradient method, at which cost",
                caption=_CAPTION,
                panels=(_work(solvers), *_methods(methods)),
                palette="gradient",
                model=model,
                notes=(*notes(scope, [], drawn(scope)), *said),
            )
        )
    return made


def _foremost(rows: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Rows of the solvers that need the fewest evaluations for some error, and how many solvers are left out.

    Those of which some point is beaten by no other solver's come first, then those that are next without them, and so on.
    """
    chosen: list[str] = []
    left = rows
    while len(left) and len(chosen) < MOST_SOLVERS:
        ordered = left.sort_values(["nfe_forward", "error_final"], kind="stable")
        best = ordered["error_final"].cummin().shift(fill_value=float("inf"))
        ahead = list(dict.fromkeys(ordered.loc[ordered["error_final"] < best, "solver_label"]))
        if not ahead:  # what is left has no finite error
            break
        chosen += ahead
        left = left[~left["solver_label"].isin(ahead)]
    chosen = chosen[:MOST_SOLVERS]
    return rows[rows["solver_label"].isin(chosen)], rows["solver_label"].nunique() - len(chosen)


def _one_solver(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of the solver whose gradient methods are compared: on fixed grids if there are any, and on most of them."""
    fixed = rows[rows["rtol"].isna()]
    rows = fixed if len(fixed) else rows
    if rows.empty:
        return rows
    seen = rows.groupby("solver_label").agg(
        methods=("gradient_label", "nunique"), grids=("steps_accepted", "nunique"), cells=("outcome", "size")
    )
    best = seen.sort_values(["methods", "grids", "cells"], ascending=False, kind="stable").index[0]
    return rows[rows["solver_label"] == best]


def _work(rows: pd.DataFrame) -> Panel:
    floor, guides = floor_and_guides(rows)
    return Panel(
        title="error against evaluations",
        x=Axis("nfe_forward", "evaluations, forward"),
        y=Axis("error_final", "error of the final state"),
        series=series_by(rows, "solver", "nfe_forward", "error_final", over=GRID_COLUMNS),
        guides=guides,
        floor=floor,
        legend=True,
        palette="solver",
    )


def _methods(rows: pd.DataFrame) -> tuple[Panel, Panel]:
    """Exactness and memory of the gradient methods of one solver; the right legend gives the bytes, the left one the names."""
    solver = rows["solver_label"].iloc[0]
    floor, guides = floor_and_guides(rows)
    steps = Axis("steps_accepted", "steps")
    errors = Panel(
        title=f"gradient error, same grid ({solver})",
        x=steps,
        y=Axis("grad_error_discrete", "error of the gradient"),
        series=series_by(rows, "gradient", "steps_accepted", "grad_error_discrete"),
        guides=guides,
        floor=floor,
        legend=True,
    )
    memory = series_by(rows, "gradient", "steps_accepted", "memory_peak_bytes", fits=fits_of(rows))
    bytes_alone = tuple(
        replace(one, label=one.label.removeprefix(f"{named.label} · "))
        for one, named in zip(memory, errors.series, strict=True)
    )
    return errors, Panel(
        title=f"peak memory ({solver})", x=steps, y=Axis("memory_peak_bytes"), series=bytes_alone, legend=True
    )
