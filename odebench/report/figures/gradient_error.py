"""Gradient error against steps or tolerance: against the continuous problem, and against the exact one of the grid."""

from __future__ import annotations

import pandas as pd

from odebench.report.chart import Axis, Chart, Panel, Skipped
from odebench.report.figures.selection import (
    drawn,
    floor_and_guides,
    in_pieces,
    key_of,
    models,
    narrowed,
    notes,
    series_by,
    solver_panels,
)

FAMILY_CONTINUOUS = "Gradient error, continuous problem"
FAMILY_DISCRETE = "Gradient error, same grid"
_PANELS = 12
_CONTINUOUS = (
    "How far the gradient is from that of the continuous problem. It falls at the solver's order for every sound method: "
    "methods that lie on each other are equally good here."
)
_DISCRETE = (
    "How far the gradient is from the exact one of the discrete solution on the same grid. A method at the rounding "
    "unit is exact: what it trains on is what it computes. A method that falls with the step optimises something "
    "slightly different from the loss that one sees."
)


def continuous(frame: pd.DataFrame) -> list[Chart | Skipped]:
    """Errors against the gradient of the continuous problem; y0 and parameters in charts of their own."""
    charts: list[Chart | Skipped] = []
    frame = narrowed(frame, "grad_error_y0", "grad_error_params")
    for model, scope in models(frame[frame["gradient"].notna()]):
        found = [
            chart
            for name, words in (("grad_error_y0", "in y0"), ("grad_error_params", "in the parameters"))
            for chart in _charts(model, scope, name, FAMILY_CONTINUOUS, f"gradient error {words}", _CONTINUOUS)
        ]
        # A model without parameters has no gradient in them; that is no gap worth a line on the page.
        drawn_ones = [chart for chart in found if isinstance(chart, Chart)]
        charts += drawn_ones or found[:1]
    return charts


def discrete(frame: pd.DataFrame) -> list[Chart | Skipped]:
    """Errors against the exact gradient of the same grid."""
    frame = narrowed(frame, "grad_error_discrete")
    return [
        chart
        for model, scope in models(frame[frame["gradient"].notna()])
        for chart in _charts(
            model, scope, "grad_error_discrete", FAMILY_DISCRETE, "gradient error on the same grid", _DISCRETE
        )
    ]


def _charts(
    model: str, scope: pd.DataFrame, error: str, family: str, title: str, caption: str
) -> list[Chart | Skipped]:
    rows = drawn(scope, error)
    rows = rows[rows["rtol"].notna() | rows["steps_accepted"].notna()]
    key = key_of(model, "gradient", error)
    if rows.empty:
        reason = (
            "No cell with a gradient method ended ok; the failures tell why."
            if drawn(scope).empty
            else f"No cell has {error}; the table of all cells tells why."
        )
        return [Skipped(key=key, family=family, title=f"{model}: {title}", reason=reason, model=model)]
    floor, guides = floor_and_guides(rows)
    panels = [
        Panel(
            title=solver,
            x=Axis("rtol", "tolerance", falling=True) if tolerance else Axis("steps_accepted", "steps"),
            y=Axis(error, "relative error of the gradient"),
            series=series_by(group, "gradient", "rtol" if tolerance else "steps_accepted", error),
            guides=guides,
            floor=floor,
        )
        for solver, tolerance, group in solver_panels(rows)
    ]
    # Fixed steps first, tolerances after: panels of one kind stand together.
    panels.sort(key=lambda panel: (panel.x.column != "steps_accepted", panel.title))
    pieces = in_pieces(panels, _PANELS)
    return [
        Chart(
            key=key if place == 0 else f"{key}/{place + 1}",
            family=family,
            title=f"{model}: {title}" + (f" ({place + 1} of {len(pieces)})" if len(pieces) > 1 else ""),
            caption=caption,
            panels=piece,
            palette="gradient",
            model=model,
            notes=notes(scope, [error], rows),
        )
        for place, piece in enumerate(pieces)
    ]
