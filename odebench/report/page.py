"""The page: one file that holds everything, and needs nothing from anywhere."""

from __future__ import annotations

import base64
import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from odebench.errors import SuiteError
from odebench.report.chart import Skipped
from odebench.report.claims import judge_source
from odebench.report.columns import COLUMNS
from odebench.report.headline import headline
from odebench.report.provenance import facts, title_of
from odebench.report.sources import Source
from odebench.report.tables import Table
from odebench.report.trust import remarks

_TEMPLATES = files("odebench.report") / "templates"


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A figure that was saved.

    Attributes:
        family: section of the page.
        model: which model it is about, or "".
        title: one line; also the text for those who cannot see it.
        caption: what to read from it.
        notes: what is not drawn.
        source: label of its source, "" where there is one.
        svg, png: the files.
        wide: whether it takes the page's whole width.
        size: width and height in pixels of the page.
    """

    family: str
    model: str
    title: str
    caption: str
    notes: tuple[str, ...]
    source: str
    svg: Path
    png: Path
    wide: bool
    size: tuple[int, int]

    @property
    def alternative(self) -> str:
        """Words in place of the picture."""
        return " ".join([f"{self.title}.", f"{self.source}." if self.source else "", self.caption, *self.notes]).strip()

    @property
    def data(self) -> Markup:
        """The picture as an address that holds it; an image cannot run scripts."""
        return Markup("data:image/svg+xml;base64,") + base64.b64encode(self.svg.read_bytes()).decode()


def page(
    sources: Sequence[Source], pictures: Sequence[Picture], skipped: Sequence[Skipped], tables: dict[str, Table]
) -> str:
    """The page as HTML. Every word in it that came from a record is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: (_TEMPLATES / name).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    families = dict.fromkeys([*(one.family for one in pictures), *(one.family for one in skipped)])
    told = [_told(source) for source in sources]
    return environment.get_template("index.html.j2").render(
        title=title_of(sources),
        sources=told,
        claims=any(source["claims"] or source["claims_fault"] for source in told),
        families=[
            {
                "name": family,
                "caption": next((one.caption for one in pictures if one.family == family), ""),
                "pictures": [one for one in pictures if one.family == family],
                "skipped": [one for one in skipped if one.family == family],
            }
            for family in families
        ],
        models=sorted({one.model for one in pictures if one.model}),
        tables=tables,
        glossary=[one for one in COLUMNS.values() if any(one.name in source.frame for source in sources)],
        made=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        style=Markup((_TEMPLATES / "page.css").read_text(encoding="utf-8")),
        script=Markup((_TEMPLATES / "page.js").read_text(encoding="utf-8")),
    )


def _told(source: Source) -> dict[str, Any]:
    """What the page says about a source besides its figures and tables."""
    return {
        "label": source.label,
        "facts": facts(source),
        "suite": source.run.text if source.run else "",
        **_claims(source),
        "answers": headline(source.frame),
        "remarks": remarks(source.frame),
        "outdated": source.outdated,
        "faults": source.faults,
        "counts": source.frame["outcome"].value_counts().to_dict(),
        "cells": len(source.frame),
    }


def _claims(source: Source) -> dict[str, Any]:
    """The judged claims of a source; that they cannot be read costs the report only them."""
    try:
        return {"claims": judge_source(source), "claims_fault": ""}
    except SuiteError as error:
        return {"claims": [], "claims_fault": str(error)}
