"""The whole report: figures, tables and the page, from one folder of records or several."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from odebench.errors import RecordError
from odebench.records.atomic import write_atomic
from odebench.report.chart import Chart, Extents, Skipped
from odebench.report.draw import draw, save
from odebench.report.figures import FAMILIES, KEPT_FAMILIES, TRAINING_FAMILIES
from odebench.report.figures.selection import studies
from odebench.report.frame import write
from odebench.report.page import Picture, page
from odebench.report.palette import Palette
from odebench.report.series import load_series
from odebench.report.sources import Source, sources_of
from odebench.report.tables import tables_of

EXTRA = "More figures"
# Pixels of the page for an inch of a figure.
_PIXELS_AN_INCH = 96


@dataclass(frozen=True, kw_only=True)
class ReportPaths:
    """What a report consists of.

    Attributes:
        index: the page.
        figures: every figure, PNG and SVG.
        tables: `records.parquet` and `records.csv` of each folder.
        skipped: figures that there is nothing for, and why.
    """

    index: Path
    figures: tuple[Path, ...]
    tables: tuple[Path, ...]
    skipped: tuple[Skipped, ...]


def write_report(
    folders: str | Path | Sequence[str | Path],
    into: str | Path | None = None,
    extra_figures: Iterable[tuple[str, Callable[[pd.DataFrame], Figure | None]]] = (),
) -> ReportPaths:
    """Write the report of one or several result folders; machines and folders stand side by side and are never pooled.

    Args:
        folders: what `odebench run` wrote.
        into: where the report goes, by default `report` in the first folder; what an earlier report left there goes.
        extra_figures: names and functions from a frame to a figure, or to None where there is nothing to draw; one that
            fails costs only itself.

    Raises:
        RecordError: a folder holds no record that can be read, or the report cannot be written.
    """
    paths = [Path(folders)] if isinstance(folders, str | Path) else [Path(folder) for folder in folders]
    if not paths:
        raise RecordError(
            "No folder was given. Give the folders that `odebench run` wrote, such as results/quickstart."
        )
    target = Path(into) if into is not None else paths[0] / "report"
    sources = sources_of(paths)
    _empty(target)
    pictures, skipped = _draw_all(sources, target)
    more, missed = _draw_extra(sources, target, extra_figures)
    pictures, skipped = pictures + more, skipped + missed
    tables = tuple(table for folder in paths for table in write(folder))
    index = target / "index.html"
    write_atomic(index, page(sources, pictures, skipped, tables_of(sources)).encode(), "report")
    figures = tuple(path for picture in pictures for path in (picture.png, picture.svg))
    return ReportPaths(index=index, figures=figures, tables=tables, skipped=tuple(skipped))


def _empty(target: Path) -> None:
    """Make the folder, and take an earlier report out of it; anything else in it stays and is refused."""
    try:
        target.mkdir(parents=True, exist_ok=True)
        strangers = [item.name for item in target.iterdir() if not _is_ours(item)]
        if strangers and not (target / "index.html").is_file():
            raise RecordError(
                f"{target}: is not empty and holds no report, but {', '.join(sorted(strangers)[:3])}. Choose another folder."
            )
        shutil.rmtree(target / "figures", ignore_errors=True)
        (target / "figures").mkdir()
    except OSError as error:
        raise RecordError(f"{target}: cannot be written: {error.strerror}. Choose another folder.") from error


def _is_ours(item: Path) -> bool:
    return item.name in ("index.html", "figures") or item.name.startswith(".")


def _draw_all(sources: Sequence[Source], target: Path) -> tuple[list[Picture], list[Skipped]]:
    """Every family of figures, the same figure of all sources one after the other with the same axes."""
    palettes = {
        owner: Palette(name for source in sources for name in source.frame[f"{owner}_label"].dropna())
        for owner in ("solver", "gradient")
    }
    pictures: list[Picture] = []
    skipped: list[Skipped] = []
    for made in _charts(sources):
        skipped += [item for _, item in made if isinstance(item, Skipped)]
        charts = [(source, item) for source, item in made if isinstance(item, Chart)]
        for key in dict.fromkeys(chart.key for _, chart in charts):
            same = [(source, chart) for source, chart in charts if chart.key == key]
            extents = Extents(chart for _, chart in same)
            for source, chart in same:
                # The file of a figure is shown without the page, so it says itself where it comes from.
                named = replace(chart, notes=(f"{source.label}.", *chart.notes)) if source.label else chart
                figure = draw(named, palettes, extents)
                pictures.append(_picture(figure, chart, source, target))
    return pictures, skipped


def _charts(sources: Sequence[Source]) -> Iterator[list[tuple[Source, Chart | Skipped]]]:
    """What each family makes of each source: of its trainings and what needs them, or of its other solves."""
    learnt = [studies(source.frame) for source in sources]
    parts = [(source, source.frame[~found]) for source, found in zip(sources, learnt, strict=True) if not found.all()]
    kept = [(source, frame, _series_of(source)) for source, frame in parts]
    for family in KEPT_FAMILIES if parts else ():
        yield [(source, item) for source, frame, series in kept for item in family(frame, series)]
    for family in FAMILIES if parts else ():
        yield [(source, item) for source, frame in parts for item in family(frame)]
    long = [(source, _series_of(source)) for source, found in zip(sources, learnt, strict=True) if found.any()]
    for family in TRAINING_FAMILIES if long else ():
        yield [(source, item) for source, series in long for item in family(source.frame, series)]


def _series_of(source: Source) -> pd.DataFrame:
    """The long columns of a source's own machine."""
    series = load_series(source.folder)
    return series[series["machine_id"] == source.machine_id]


def _draw_extra(
    sources: Sequence[Source], target: Path, extra: Iterable[tuple[str, Callable[[pd.DataFrame], Figure | None]]]
) -> tuple[list[Picture], list[Skipped]]:
    """Figures that were handed in; each gets a copy of the rows, so that it cannot spoil the others'."""
    pictures: list[Picture] = []
    skipped: list[Skipped] = []
    for name, function in extra:
        for source in sources:
            chart = Chart(key=f"extra/{name}", family=EXTRA, title=name, caption="", panels=(), palette="")
            try:
                figure = function(source.frame.copy())
                if figure is not None:
                    pictures.append(_picture(figure, chart, source, target))
                    continue
                reason = "It found nothing to draw."
            except Exception as error:  # noqa: BLE001 - a plugin may raise anything, and costs its own figure only
                reason = f"It failed: {type(error).__name__}: {error}"
            skipped.append(Skipped(key=chart.key, family=EXTRA, title=name, reason=reason))
    return pictures, skipped


def _picture(figure: Figure, chart: Chart, source: Source, target: Path) -> Picture:
    stem = file_stem("/".join([chart.key, source.label]) if source.label else chart.key)
    png, svg = (save(figure, target / "figures" / f"{stem}{suffix}") for suffix in (".png", ".svg"))
    width, height = figure.get_size_inches() * _PIXELS_AN_INCH
    return Picture(
        family=chart.family,
        model=chart.model,
        title=chart.title,
        caption=chart.caption,
        notes=chart.notes,
        source=source.label,
        svg=svg,
        png=png,
        wide=bool(width > 7 * _PIXELS_AN_INCH),
        size=(round(width), round(height)),
    )


def file_stem(key: str) -> str:
    """A file name from any key: letters, digits and dashes; a hash is added where that loses something."""
    plain = re.sub(r"[^a-z0-9]+", "-", key.lower()).strip("-")[:80]
    if plain == key.lower().replace("/", "-").replace("_", "-"):
        return plain
    return f"{plain}-{hashlib.sha256(key.encode()).hexdigest()[:8]}"
