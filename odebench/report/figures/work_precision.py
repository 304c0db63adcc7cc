"""Error against cost: which solver gives most accuracy for the least work."""

from __future__ import annotations

import pandas as pd

from odebench.report.chart import Axis, Chart, Panel, Skipped
from odebench.report.figures.selection import (
    drawn,
    ends_of,
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

FAMILY_NFE, FAMILY_TIME = "Error against evaluations", "Error against time"


def against_evaluations(frame: pd.DataFrame) -> list[Chart | Skipped]:
    """Error of the final state against evaluations of the field, a chart a model."""
    return _charts(
        frame,
        "nfe_forward",
        FAMILY_NFE,
        "error against evaluations of the field",
        "Lower left is better. At equal error (a horizontal cut) the leftmost line needs the fewest evaluations; its "
        "slope is the order of the method. Evaluations are counted and carry no noise.",
    )


def against_time(frame: pd.DataFrame) -> list[Chart | Skipped]:
    """Error of the final state against the time of the forward pass, a chart a model."""
    return _charts(
        frame,
        "time_forward_s",
        FAMILY_TIME,
        "error against time of the forward pass",
        "Lower left is better. Whiskers are 95 % intervals. Where this ranks methods otherwise than the evaluations do, "
        "the difference is overhead of the implementation, or of the step control.",
    )


def _charts(frame: pd.DataFrame, cost: str, family: str, title: str, caption: str) -> list[Chart | Skipped]:
    made: list[Chart | Skipped] = []
    frame = narrowed(frame, "error_final", cost, *ends_of(cost), "timing_valid", "timing_indicative")
    for model, scope in models(one_way(frame)):
        scope = least_encumbered(scope)
        rows = drawn(scope, "error_final", cost)
        key = key_of(model, "error", cost)
        if rows.empty:
            reason = _why_empty(scope, cost)
            made.append(Skipped(key=key, family=family, title=f"{model}: {title}", reason=reason, model=model))
            continue
        floor, guides = floor_and_guides(rows)
        hollow = "timing_valid" if cost.startswith("time") else None
        indicative = hollow and rows["timing_indicative"].fillna(False).any()
        panel = Panel(
            title="",
            x=Axis(cost),
            y=Axis("error_final"),
            series=series_by(rows, "solver", cost, "error_final", over=GRID_COLUMNS, hollow=hollow),
            guides=guides,
            floor=floor,
        )
        made.append(
            Chart(
                key=key,
                family=family,
                title=f"{model}: {title}{' (indicative)' if indicative else ''}",
                caption=caption,
                panels=(panel,),
                palette="solver",
                model=model,
                notes=notes(scope, ["error_final", cost], rows),
            )
        )
    return made


def _why_empty(scope: pd.DataFrame, cost: str) -> str:
    """Why a chart has no point."""
    if drawn(scope).empty:
        return "No cell of this model ended ok; the failures tell why."
    if drawn(scope, "error_final").empty:
        return "No cell of this model has an error against a reference."
    return f"No cell of this model has {cost}."
