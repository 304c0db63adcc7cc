"""The catalogue: all solvers, gradient methods, models, tasks and step policies side by side, on one page that needs nothing else."""

from __future__ import annotations

import base64
import datetime
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from odebench import __version__
from odebench.errors import RecordError
from odebench.records.atomic import write_atomic
from odebench.report.catalogue_tables import tables_of
from odebench.report.stability_figure import thumbnail

_TEMPLATES = files("odebench.report") / "templates"
# What all pictures show, in units of z: as much as the largest region that has an end, but not the far end of a thin one.
_LEAST, _MOST, _RIGHT = 3.0, 6.0, 1.5
_HEADINGS = {
    "solver": "Solvers",
    "gradient": "Gradient methods",
    "model": "Models",
    "task": "Tasks",
    "step_policy": "Step policies",
}


def write_catalogue(entries: Sequence[dict[str, Any]], path: Path, failures: Sequence[dict[str, str]] = ()) -> Path:
    """Write the page.

    Args:
        entries: of every plugin what `odebench show NAME --json` tells.
        path: the file.
        failures: plugins that did not load: `plugin` and `message` of each.

    Raises:
        RecordError: it cannot be written.
    """
    if path.is_dir():
        raise RecordError(f"{path}: is a folder. Give the name of a file, such as {path / 'catalogue.html'}.")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, catalogue(entries, failures).encode(), "page")
    return path


def catalogue(entries: Sequence[dict[str, Any]], failures: Sequence[dict[str, str]] = ()) -> str:
    """The page as HTML; every word in it that came from a plugin is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: (_TEMPLATES / name).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    kinds = {kind: [one for one in entries if one["kind"] == kind] for kind in _HEADINGS}
    origins = sorted({_origin(one) for one in entries})
    return environment.get_template("catalogue.html.j2").render(
        headings=_HEADINGS,
        kinds={kind: told for kind, told in kinds.items() if told},
        tables=tables_of(entries, _pictures(kinds["solver"])),
        origins=origins,
        origin=_origin,
        failures=failures,
        version=__version__,
        made=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        style=Markup((_TEMPLATES / "page.css").read_text(encoding="utf-8")),
        script=Markup((_TEMPLATES / "page.js").read_text(encoding="utf-8")),
    )


def _origin(told: dict[str, Any]) -> str:
    return f"{told['distribution']} {told['version']}" if told["distribution"] else told["plugin"]


def _pictures(solvers: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Addresses of the upper halves of the stability regions, by the solver's name; all of them to one scale."""
    known = {told["name"]: told["stability"] for told in solvers if told.get("stability")}
    ends = [one[end] for one in known.values() for end in ("real_end", "imaginary_end") if one[end] is not None]
    reach = 1.1 * min(max([_LEAST, *ends]), _MOST)
    # Equal functions, such as those of all methods of two stages and order 2, share one picture.
    drawn: dict[tuple[str, ...], str] = {}
    for one in known.values():
        key = (*one["numerator"], "/", *one["denominator"])
        if key not in drawn:
            svg = thumbnail(one, (-reach, _RIGHT, 0.0, reach))
            drawn[key] = "data:image/svg+xml;base64," + base64.b64encode(svg).decode()
    return {name: drawn[(*one["numerator"], "/", *one["denominator"])] for name, one in known.items()}
