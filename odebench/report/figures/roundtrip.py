"""Error after solving forward and back: how reversible a solver is in practice."""

from __future__ import annotations

import pandas as pd

from odebench.report.chart import Axis, Chart, Panel, Skipped
from odebench.report.figures.selection import drawn, floor_and_guides, key_of, models, narrowed, notes, series_by

FAMILY = "Round trip"
_CAPTION = (
    "Error of the initial state after solving to the end and back again. A reversible solver stays at the rounding unit; "
    "a continuous adjoint that re-solves the state backwards suffers this error."
)
_TITLES = {False: "fixed steps", True: "adaptive, by tolerance"}


def roundtrip(frame: pd.DataFrame) -> list[Chart | Skipped]:
    """Round-trip error against steps and against tolerance, a chart a model."""
    frame = narrowed(frame)
    asked = frame[frame["task"].isin(frame.loc[frame["roundtrip_error"].notna(), "task"].unique())]
    made: list[Chart | Skipped] = []
    if asked.empty:
        reason = "No task of this suite solves forward and back."
        return [Skipped(key=key_of("", "roundtrip"), family=FAMILY, title="Round-trip error", reason=reason)]
    for model, scope in models(asked):
        rows = drawn(scope, "roundtrip_error")
        rows = rows[rows["rtol"].notna() | rows["steps_accepted"].notna() | rows["steps"].notna()]
        key, title = key_of(model, "roundtrip"), f"{model}: round-trip error"
        if rows.empty:
            reason = "No round trip of this model ended ok; the failures tell why."
            made.append(Skipped(key=key, family=FAMILY, title=title, reason=reason, model=model))
            continue
        rows = rows.assign(steps_shown=rows["steps"].fillna(rows["steps_accepted"]))
        floor, guides = floor_and_guides(rows)
        panels = tuple(
            Panel(
                title=_TITLES[bool(tolerance)],
                x=Axis("rtol", "tolerance", falling=True) if tolerance else Axis("steps", "steps, one way"),
                y=Axis("roundtrip_error"),
                series=series_by(group, "solver", "rtol" if tolerance else "steps_shown", "roundtrip_error"),
                guides=guides,
                floor=floor,
            )
            for tolerance, group in rows.groupby(rows["rtol"].notna(), sort=True)
        )
        made.append(
            Chart(
                key=key,
                family=FAMILY,
                title=title,
                caption=_CAPTION,
                panels=panels,
                palette="solver",
                model=model,
                notes=notes(scope, ["roundtrip_error"], rows),
            )
        )
    return made
