"""Peak memory against steps, and the bytes that each step costs."""

from __future__ import annotations

import pandas as pd

from odebench.report.chart import Axis, Chart, Panel, Skipped
from odebench.report.figures.selection import (
    NO_GRADIENT,
    drawn,
    in_pieces,
    key_of,
    models,
    narrowed,
    notes,
    one_way,
    series_by,
)
from odebench.report.quantity import shown
from odebench.report.statistics import Line, fit_line, memory_line

FAMILY = "Peak memory"
_PANELS = 12
_CAPTION = (
    "Peak memory beyond inputs and parameters, measured to the byte. The legend gives the fitted bytes per step, without the "
    "record of the grid (16 bytes a step) that every solve returns: 0 means that memory does not grow with the number of steps."
)


def against_steps(frame: pd.DataFrame) -> list[Chart | Skipped]:
    """Peak memory against accepted steps, a chart a model and a panel a solver."""
    made: list[Chart | Skipped] = []
    frame = narrowed(frame, "memory_peak_bytes", "memory_grid_bytes")
    for model, scope in models(one_way(frame)):
        rows = drawn(scope, "memory_peak_bytes", "steps_accepted")
        if rows["gradient"].notna().any():  # without a gradient nothing is stored, so that there is nothing to compare
            rows = rows[rows["gradient"].notna()]
        key = key_of(model, "memory")
        title = f"{model}: peak memory against steps"
        if rows.empty:
            reason = "No cell of this model has both a measured memory and a number of steps."
            made.append(Skipped(key=key, family=FAMILY, title=title, reason=reason, model=model))
            continue
        panels = [
            Panel(
                title=str(solver),
                x=Axis("steps_accepted", "steps"),
                y=Axis("memory_peak_bytes"),
                series=series_by(group, "gradient", "steps_accepted", "memory_peak_bytes", fits=fits_of(group)),
                legend=True,
            )
            for solver, group in rows.groupby("solver_label", sort=True)
        ]
        pieces = in_pieces(panels, _PANELS)
        made += [
            Chart(
                key=key if place == 0 else f"{key}/{place + 1}",
                family=FAMILY,
                title=title + (f" ({place + 1} of {len(pieces)})" if len(pieces) > 1 else ""),
                caption=_CAPTION,
                panels=piece,
                palette="gradient",
                model=model,
                notes=notes(scope, ["memory_peak_bytes", "steps_accepted"], rows),
            )
            for place, piece in enumerate(pieces)
        ]
    return made


def fits_of(rows: pd.DataFrame) -> dict[tuple[str, str], tuple[Line | None, str]]:
    """Fitted line and words of each method and setting."""
    fits = {}
    named = rows.assign(gradient_label=rows["gradient_label"].fillna(NO_GRADIENT))
    for key, group in named.groupby(["gradient_label", "setting_label"]):
        line = fit_line(group["steps_accepted"].astype(float), group["memory_peak_bytes"].astype(float))
        beyond = memory_line(group)
        fits[key] = (line, bytes_per_step(beyond) if beyond else "")
    return fits


def bytes_per_step(line: Line) -> str:
    """A fitted slope in words, with the share it explains where that is less than all: `5.2 MiB a step (98 %)`."""
    size = (
        shown("memory_peak_bytes", round(line.slope))
        if abs(line.slope) < 1024
        else shown("memory_peak_bytes", line.slope)
    )
    doubt = f" ({line.explained:.0%} explained)" if line.explained < 0.99 else ""
    return f"{size} a step{doubt}"
