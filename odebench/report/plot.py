"""Any comparison from the columns: one call, scales and units chosen from what the columns hold."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from odebench.errors import OdebenchError
from odebench.report.chart import Axis, Chart, Extents, Panel, Point, Series
from odebench.report.columns import COLUMNS, Kind, column
from odebench.report.draw import draw, save
from odebench.report.figures.selection import OK, at_floor, floor_and_guides
from odebench.report.frame import GRID_COLUMNS
from odebench.report.labels import OWNERS, joined, plain, with_labels
from odebench.report.palette import MARKERS, Look, Palette
from odebench.report.where import columns_in, known_column, select

SUFFIXES = (".png", ".svg", ".pdf")
_PANELS = 30
# Columns that tell questions apart, the grid aside: points that differ in one of them are not joined by a line.
_ASKED_FOR = ("task", "gradient")
_IDENTITY = (
    "task",
    "model",
    "solver",
    "gradient",
    "device",
    "dtype",
    "threads",
    "compile",
    "seed",
    "machine_id",
    "suite",
)

# Figures of the forward solve: they are the same whatever task and gradient method it was done for.
_OF_THE_SOLVE = {
    "error_final", "error_trajectory_max", "error_trajectory_rms", "nfe_forward", "steps_accepted", "steps_rejected",
    *GRID_COLUMNS,
}  # fmt: skip


class PlotError(OdebenchError):
    """There is nothing to plot, or nowhere to put it."""


def plot(
    frame: pd.DataFrame,
    x: str,
    y: str,
    *,
    hue: str | None = None,
    facet: str | None = None,
    style: str | None = None,
    where: str | None = None,
    output: str | Path,
) -> Path:
    """Draw y against x into a file.

    Args:
        frame: what `load` gives; several may be concatenated.
        x, y: columns; text makes a categorical axis.
        hue: column whose values get colours, and a line each; models, solvers and gradient methods of one name are told
            apart by their parameters.
        facet: column whose values get panels.
        style: column whose values get markers.
        where: which rows, such as `model == 'lorenz' and steps >= 64` (see `where.select`).
        output: file to write; its suffix, .png, .svg or .pdf, is the format.

    Returns:
        The file.

    Raises:
        WhereError: a column that the frame does not have, or a condition that cannot be read.
        PlotError: no row is left, and why; or the file cannot be written.
    """
    target = Path(output)
    if target.suffix.lower() not in SUFFIXES:
        raise PlotError(f"{target} ends in {target.suffix!r}; a figure is written as {', '.join(SUFFIXES)}.")
    if not target.parent.is_dir():
        raise PlotError(f"{target.parent} is no folder: make it, or choose another place for {target.name}.")
    chart, looks = comparison(frame, x, y, hue=hue, facet=facet, style=style, where=where)
    return save(draw(chart, {chart.palette: looks}, Extents([chart])), target)


def comparison(
    frame: pd.DataFrame,
    x: str,
    y: str,
    *,
    hue: str | None = None,
    facet: str | None = None,
    style: str | None = None,
    where: str | None = None,
) -> tuple[Chart, dict[str, Look]]:
    """The chart that `plot` draws, and the looks of its series; arguments and errors as `plot`."""
    given = {"--x": x, "--y": y, "--hue": hue, "--facet": facet, "--style": style}
    for what, name in given.items():
        if name is not None:
            known_column(frame, name, what)
    frame = with_labels(frame)
    selected = select(frame, where) if where else frame
    if selected.empty:
        raise PlotError(_why_none_selected(frame, where))
    rows = _drawable(selected, x, y)
    x_places, y_places = _places(rows[x]), _places(rows[y])
    told = {name for name in (hue, facet, style) if name}
    facet_name, hue, facet, style = (
        facet,
        *(f"{name}_label" if name in OWNERS else name for name in (hue, facet, style)),
    )
    colours = Palette(_values(frame, hue) or [""])
    markers = _values(rows, style)
    looks: dict[str, Look] = {}
    varying: set[str] = set()
    panels = []
    floor, guides = floor_and_guides(rows)
    for value, part in _parts(rows, facet):
        series = []
        for (hue_value, style_value), group in _series_rows(part, hue, style):
            name = joined([hue_value, style_value])
            colour = colours[hue_value]
            marker = MARKERS[markers.index(style_value) % len(MARKERS)] if style else colour.marker
            looks[name] = Look(colour.colour, marker)
            ordered = not x_places and not y_places
            differing = _differing(group, x, y, told) if ordered else set()
            varying |= differing
            aside = _aside(hue_value, _values(rows, hue)) if x_places or y_places else 0.0
            points = tuple(_points(group, x, y, x_places, y_places, aside))
            series.append(Series(name=name, label=name, points=points, joined=ordered and not differing))
        panels.append(
            Panel(
                title=f"{facet_name} = {value}" if facet else "",
                x=Axis(x),
                y=Axis(y),
                series=tuple(series),
                columns=x_places,
                rows=y_places,
                floor=floor,
                guides=guides if column(y).kind is Kind.ERROR else (),
            )
        )
    if len(panels) > _PANELS:
        raise PlotError(
            f"--facet {facet_name} has {len(panels)} values, and {_PANELS} panels are the most. Narrow --where."
        )
    chart = Chart(
        key="plot",
        family="",
        title=f"{column(y).label} against {column(x).label}".capitalize(),
        caption="",
        panels=tuple(panels),
        palette="",
        notes=tuple(_notes(selected, rows, x, y, where, varying)),
    )
    return chart, looks


def _drawable(selected: pd.DataFrame, x: str, y: str) -> pd.DataFrame:
    """Rows with both values that ended ok, or however they ended where an axis shows the outcome."""
    outcome_shown = any(column(name).kind is Kind.OUTCOME for name in (x, y))
    ended = selected if outcome_shown else selected[selected["outcome"] == OK]
    if ended.empty:
        counts = selected["outcome"].value_counts().to_dict()
        raise PlotError(
            f"None of the {len(selected)} selected rows ended ok: "
            f"{', '.join(f'{number} {outcome}' for outcome, number in counts.items())}. Their `reason` tells why."
        )
    rows = ended[ended[x].notna() & ended[y].notna()]
    if rows.empty:
        empty = [name for name in (x, y) if ended[name].isna().all()] or [x, y]
        reasons = ended["missing"].dropna() if "missing" in ended else pd.Series(dtype="string")
        told = next((text for text in reasons if any(name in text for name in empty)), None)
        filled = [c.name for c in COLUMNS.values() if c.kind is column(empty[0]).kind and c.name in ended]
        filled = [name for name in filled if ended[name].notna().any()]
        raise PlotError(
            f"None of the {len(ended)} selected rows holds {' and '.join(empty)}"
            + (f" ({told})." if told else ".")
            + (f" They hold {', '.join(filled)}." if filled else "")
        )
    return rows


def _why_none_selected(frame: pd.DataFrame, where: str | None) -> str:
    """Which values there are in the columns that a condition names."""
    if not where:
        return "The table has no rows: run the suite first."
    there = []
    for name in (name for name in columns_in(where) if name in frame.columns):
        values = frame[name].dropna()
        if isinstance(values.dtype, pd.StringDtype) or values.nunique() <= 8:
            known = sorted(map(plain, values.unique()))
            there.append(f"{name} is one of {', '.join(known[:12])}{', …' if len(known) > 12 else ''}")
        else:
            there.append(f"{name} lies between {plain(values.min())} and {plain(values.max())}")
    return f"None of the {len(frame)} rows satisfies {where!r}. " + ("; ".join(there) + "." if there else "")


def _places(values: pd.Series) -> tuple[str, ...]:
    """Places of a categorical axis, () for numbers."""
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        return ()
    return tuple(sorted(map(str, values.unique())))


def _values(rows: pd.DataFrame, name: str | None) -> list[str]:
    """The words of a column's values, sorted; [] without a column."""
    if name is None:
        return []
    words = {plain(value) or _none(name) for value in rows[name].tolist()}
    return sorted(words)


def _none(name: str) -> str:
    """The words for a missing value: `no gradient method`."""
    return f"no {column(name.removesuffix('_label')).label}"


def _aside(value: str, values: list[str]) -> float:
    """How far the marks of one hue stand beside the middle of their place, as a share of the place."""
    return (values.index(value) - (len(values) - 1) / 2) * 0.7 / len(values) if len(values) > 1 else 0.0


def _parts(rows: pd.DataFrame, facet: str | None) -> Iterator[tuple[str, pd.DataFrame]]:
    if facet is None:
        yield "", rows
        return
    for value, part in rows.groupby(facet, sort=True, dropna=False):
        yield plain(value) or "none", part


def _series_rows(
    part: pd.DataFrame, hue: str | None, style: str | None
) -> Iterator[tuple[tuple[str, str], pd.DataFrame]]:
    keys = [
        part[name].map(plain, na_action=None).replace("", _none(name)).astype(str)
        if name
        else pd.Series("", index=part.index)
        for name in (hue, style)
    ]
    yield from part.groupby(keys, sort=True)


def _differing(group: pd.DataFrame, x: str, y: str, told: set[str]) -> set[str]:
    """Identity columns and parameters that vary within a series though nothing in the figure shows them."""
    # What is told of a model, solver or gradient method is its label, which holds its parameters.
    owners = told & set(OWNERS)
    names = [
        name for name in group.columns if name in _IDENTITY or ("." in name and name.partition(".")[0] not in owners)
    ]
    found = {name for name in names if name not in {x, y, *told} and group[name].nunique(dropna=False) > 1}
    if {x, y} <= _OF_THE_SOLVE and found and _same_on_each_grid(group, x, y):
        found = {name for name in found if name.partition(".")[0] not in _ASKED_FOR}
    return {name for name in found if name.partition(".")[0] == name or name.partition(".")[0] not in found}


def _same_on_each_grid(group: pd.DataFrame, x: str, y: str) -> bool:
    """Whether all rows of a grid stand at one point, to a thousandth."""
    grids = group.groupby(list(GRID_COLUMNS), dropna=False)
    return all(bool((grids[name].max() - grids[name].min() <= 1e-3 * grids[name].max().abs()).all()) for name in (x, y))


def _points(
    group: pd.DataFrame, x: str, y: str, x_places: tuple[str, ...], y_places: tuple[str, ...], aside: float
) -> Iterator[Point]:
    # On a categorical axis the order of the places is the order of the points.
    for row in group.sort_values([x, y]).to_dict("records"):
        x_low, x_high = _interval(row, x)
        y_low, y_high = _interval(row, y)
        yield Point(
            x=x_places.index(str(row[x])) + aside if x_places else float(row[x]),
            y=y_places.index(str(row[y])) + (0.0 if x_places else aside) if y_places else float(row[y]),
            x_low=x_low,
            x_high=x_high,
            y_low=y_low,
            y_high=y_high,
            hollow=Kind.SECONDS in (column(x).kind, column(y).kind) and row.get("timing_valid") is False,
        )


def _interval(row: dict, name: str) -> tuple[float | None, float | None]:
    stem = name.removesuffix("_s")
    ends = [row.get(f"{stem}_{end}_s") for end in ("low", "high")]
    return (None, None) if any(pd.isna(end) or end is None for end in ends) else (float(ends[0]), float(ends[1]))


def _notes(
    selected: pd.DataFrame, rows: pd.DataFrame, x: str, y: str, where: str | None, varying: set[str]
) -> Iterator[str]:
    if where:
        yield f"Where {where}."
    failed = int((selected["outcome"] != OK).sum()) if (rows["outcome"] == OK).all() else 0
    absent = len(selected) - len(rows) - failed
    lost = [f"{failed} that did not end ok"] if failed else []
    lost += [f"{absent} without {x} or {y}"] if absent else []
    if lost:
        yield f"Not drawn: {', '.join(lost)}."
    yield from at_floor(rows, {name for name in (x, y) if column(name).kind is Kind.ERROR})
    if varying:
        yield f"Points are not joined where {', '.join(sorted(varying))} vary; show them by --hue, --facet or --style."
    seconds = Kind.SECONDS in (column(x).kind, column(y).kind)
    if seconds and rows["timing_indicative"].fillna(False).any():
        yield "Times are indicative: fewer than three processes measured them."
