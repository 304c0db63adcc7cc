"""Which rows a figure draws, and what it says about those it does not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pandas as pd

from odebench.outcome import Outcome
from odebench.report.chart import Guide, Point, Series
from odebench.report.columns import TRAINED
from odebench.report.labels import joined
from odebench.report.statistics import Line, eps

OK, UNSUPPORTED = Outcome.OK.word, Outcome.UNSUPPORTED.word
# Label and palette key of a solve that nothing differentiates.
NO_GRADIENT = "no gradient"
# How many solves a network is made of: with it, and not with steps alone, its memory grows.
BLOCKS = "task.blocks"


# What every conclusion needs of a row, whatever it is about.
_ALWAYS = (
    "outcome", "task", "model", "solver", "gradient", "dtype", "seed", "roundtrip_error", "steps_accepted",
    "steps", "step_size", "rtol", "atol",
    "model_label", "solver_label", "gradient_label", "grid_label", "setting_label", "eager_label", "compile",
)  # fmt: skip


def narrowed(frame: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """The frame with what tells rows apart and these columns only: every selection copies each column that it has."""
    return frame[[name for name in dict.fromkeys((*_ALWAYS, *columns)) if name in frame.columns]]


def drawn(frame: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """Rows that ended ok and hold all the columns."""
    kept = frame["outcome"] == OK
    for name in columns:
        kept &= frame[name].notna()
    return frame[kept]


def studies(frame: pd.DataFrame) -> pd.Series:
    """Which rows are trainings, or need one: they have figures and tables of their own."""
    found = pd.Series(False, index=frame.index)
    for name in ("policy", f"{TRAINED}cell_id"):
        if name in frame.columns:
            found |= frame[name].notna().astype(bool)
    return found


def one_way(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows that solve in one direction: a round trip counts twice what the others count once."""
    return frame[frame["roundtrip_error"].isna()]


def least_encumbered(scope: pd.DataFrame) -> pd.DataFrame:
    """For each solver its rows without a gradient method, or all where it has no other: a gradient only adds cost."""
    kept = []
    for _, rows in scope.groupby("solver_label"):
        bare = rows[rows["gradient"].isna()]
        kept.append(bare if len(drawn(bare, "error_final")) else rows)
    return pd.concat(kept) if kept else scope


def notes(scope: pd.DataFrame, columns: list[str], rows: pd.DataFrame) -> tuple[str, ...]:
    """What a figure does not draw of `scope`, what it draws at its floor, and which times are not to be trusted."""
    failed = int((~scope["outcome"].isin([OK, UNSUPPORTED])).sum())
    absent = int((scope["outcome"] == OK).sum()) - len(drawn(scope, *columns))
    said = []
    if failed:
        said.append(f"{failed} failed, see failures")
    if absent:
        said.append(f"{absent} without this figure, see the reasons in the table of all cells")
    found = [f"Not drawn: {'; '.join(said)}."] if said else []
    found += at_floor(rows, columns)
    if any(name.startswith("time") for name in columns):
        if rows["timing_indicative"].fillna(False).any():
            found.append("Times are indicative: fewer than three processes measured them.")
        invalid = int((~rows["timing_valid"].fillna(True)).sum())
        if invalid:
            found.append(f"{invalid} hollow marks: timings that were disturbed.")
    return tuple(found)


def at_floor(rows: pd.DataFrame, columns: Iterable[str]) -> list[str]:
    """A sentence about the errors of exactly 0 among some columns, none where there is no such error."""
    zeros = sum(int((rows[name] == 0).sum()) for name in columns if "error" in name)
    if not zeros:
        return []
    return [f"{zeros} error{'s' if zeros > 1 else ''} of exactly 0 drawn as ▽ at the rounding unit."]


def models(frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Each model's label and rows, by name; a model none of whose cells could be asked for is left out."""
    for label, rows in frame.groupby("model_label", sort=True):
        yield str(label), rows


def floor_and_guides(rows: pd.DataFrame) -> tuple[float, tuple[Guide, ...]]:
    """Where exact zeros stand, and lines at the rounding units of the formats that the rows use."""
    formats = sorted(rows["dtype"].dropna().unique())
    guides = tuple(Guide(eps(name), f"rounding unit of {name}") for name in formats)
    return min((guide.y for guide in guides), default=eps("float64")), guides


def key_of(model: str, *parts: str) -> str:
    """Key of a chart, from its family and model."""
    return "/".join((*parts, model))


def series_by(
    rows: pd.DataFrame,
    owner: str,
    x: str,
    y: str,
    *,
    over: tuple[str, ...] = (),
    hollow: str | None = None,
    fits: dict[tuple[str, str], tuple[Line, str]] | None = None,
) -> tuple[Series, ...]:
    """Series of one owner's methods, settings apart; rows that ask the same question with other seeds become one point.

    Args:
        rows: rows to draw, labelled.
        owner: "solver" or "gradient": whose method makes a series.
        x, y: columns.
        over: columns that tell points of a series apart, such as the grid; () takes x itself.
        hollow: name of a boolean column; a point is hollow where it is false.
        fits: line and words for the legend by (method, setting).
    """
    made = []
    named = rows.assign(**{f"{owner}_label": rows[f"{owner}_label"].fillna(NO_GRADIENT)})
    for (method, setting), group in named.groupby([f"{owner}_label", "setting_label"], sort=True):
        points = []
        for _, same in group.groupby(list(over) or [x], sort=True, dropna=False):
            points.append(
                Point(
                    x=float(same[x].median()),
                    y=float(same[y].median()),
                    hollow=bool(hollow and not same[hollow].fillna(True).all()),
                    **_interval(same, x),
                )
            )
        points.sort(key=lambda point: (point.x, -point.y))
        line, words = (fits or {}).get((method, setting), (None, ""))
        made.append(
            Series(
                name=str(method),
                label=joined([method, setting, words]),
                points=tuple(points),
                joined=fits is None,
                fit=line,
            )
        )
    return tuple(made)


def ends_of(name: str) -> tuple[str, str]:
    """Columns with the lower and the upper end of the interval of a time: `time_total_low_s` for `time_total_s`."""
    stem = name.removesuffix("_s")
    return f"{stem}_low_s", f"{stem}_high_s"


def _interval(same: pd.DataFrame, x: str) -> dict[str, float]:
    """Ends of the interval of a time, {} for what has none or comes from several rows."""
    low, high = ends_of(x)
    if len(same) != 1 or low not in same.columns or same[low].isna().any():
        return {}
    return {"x_low": float(same[low].iloc[0]), "x_high": float(same[high].iloc[0])}


def solver_panels(rows: pd.DataFrame) -> Iterator[tuple[str, bool, pd.DataFrame]]:
    """For each solver its label, whether a tolerance divides its time, and its rows; both ways make two panels."""
    adaptive = rows["rtol"].notna()
    for (label, tolerance), group in rows.groupby([rows["solver_label"], adaptive], sort=True):
        yield str(label), bool(tolerance), group


def in_pieces(panels: Iterable, size: int) -> list[tuple]:
    """Panels in portions of at most `size`, as even as possible."""
    panels = tuple(panels)
    count = -(-len(panels) // size)
    each = -(-len(panels) // count) if count else 0
    return [panels[start : start + each] for start in range(0, len(panels), each or 1)]
