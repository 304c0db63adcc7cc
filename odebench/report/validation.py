"""The page of a validation: the verdict, one figure, the table, and how to read them; from what `Validation.to_json` gives."""

from __future__ import annotations

import base64
import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from odebench import __version__
from odebench.errors import RecordError
from odebench.records.atomic import write_atomic
from odebench.report.validation_figure import figure_of, svg_of

_TEMPLATES = files("odebench.report") / "templates"
# Words of a place, for the table, and its tone.
_PLACES = {
    "inside": ("inside", "good"),
    "outside": ("outside", "bad"),
    "across": ("neither", ""),
    None: ("not judged", "quiet"),
}
_TONES = {"a flow": "good", "tied to its solver": "bad", "undecided": ""}
_PIXELS_AN_INCH = 96


def write_page(told: dict[str, Any], path: Path) -> Path:
    """Write the page of a validation, one file that needs nothing from anywhere.

    Args:
        told: what `Validation.to_json` returned.
        path: the file.

    Raises:
        RecordError: it cannot be written.
    """
    if path.is_dir():
        raise RecordError(f"{path}: is a folder. Give the name of a file, such as {path / 'page.html'}.")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, page(told).encode(), "page")
    return path


def page(told: dict[str, Any]) -> str:
    """The page as HTML; every word in it that came from the model is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: (_TEMPLATES / name).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    figure = figure_of(told)
    width, height = figure.get_size_inches() * _PIXELS_AN_INCH
    return environment.get_template("validation.html.j2").render(
        told={**told, "sentence": told["sentence"].replace(" %", "\u00a0%").replace(" points", "\u00a0points")},
        tone=_TONES[told["verdict"]],
        rows=[_row(one, told) for one in (told["own"], *told["tried"])],
        threshold=difference(told["threshold"], told["percent"]),
        answers=told["own"]["metric"] is not None and any(one["changed_answers"] is not None for one in told["tried"]),
        failures=[one for one in told["tried"] if one["failure"]],
        picture=Markup("data:image/svg+xml;base64,") + base64.b64encode(svg_of(figure)).decode(),
        size=(round(width), round(height)),
        value=value(told["own"]["metric"], told["percent"]),
        trainings=_trainings(told),
        version=__version__,
        made=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        style=Markup((_TEMPLATES / "page.css").read_text(encoding="utf-8")),
    )


def value(number: float | None, percent: bool) -> str:
    """A value of the metric."""
    if number is None:
        return "–"
    return f"{100 * number:.1f} %" if percent else f"{number:.4g}"


def difference(number: float | None, percent: bool, signed: bool = False) -> str:
    """A difference of two values; an end of an interval that is infinite is ∞."""
    if number is None:
        return "∞"
    shown = 100 * number if percent else number
    words = f"{abs(shown):.1f}" if percent and abs(shown) >= 0.1 else f"{abs(shown):.2g}"
    words = words if signed else words.removesuffix(".0")
    sign = ("−" if shown < 0 else "+" if shown > 0 else "") if signed else ""
    return sign + words + (" points" if percent and not signed else "")


def _trainings(told: dict[str, Any]) -> list[tuple[str, ...]]:
    """A line for each training of the critical step, in words."""
    percent = told["percent"]
    return [
        (
            str(one["steps"]),
            str(one["seed"]),
            value(one["metric"], percent),
            difference(one["worst_change"], percent),
            one["verdict"],
        )
        for one in (told["critical"] or {"trainings": []})["trainings"]
    ]


def _row(one: dict[str, Any], told: dict[str, Any]) -> dict[str, Any]:
    """A line of the table, in words."""
    percent, own = told["percent"], one is told["own"]
    place, tone = ("its own", "") if own else _PLACES[one["place"]]
    interval = ""
    if one["change"] is not None:
        low, high = (difference(one[end], percent, signed=True) for end in ("low", "high"))
        interval = f"{'−∞' if one['low'] is None else low} to {high}"
    return {
        "solver": one["solver"],
        "division": one["division"],
        "evaluations": one["evaluations"],
        "metric": "failed" if one["failure"] else value(one["metric"], percent),
        "change": "" if own or one["failure"] else difference(one["change"], percent, signed=True),
        "interval": interval,
        "changed": "" if one["changed_answers"] is None else one["changed_answers"],
        "error": "" if one["error"] is None else f"{one['error']:#.3g}",
        "place": place,
        "tone": tone,
        "own": own,
    }
