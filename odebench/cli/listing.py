"""`odebench list`: what there is to compare."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from odebench.cli.describe import describe
from odebench.cli.details import details
from odebench.cli.elsewhere import said_there
from odebench.cli.options import interpreter_option, json_option, plugin_option
from odebench.cli.output import count, warn, write_json, write_table
from odebench.cli.told import end_words, number_words, state_words

if TYPE_CHECKING:
    from odebench.plugins import Registry

_KINDS = {"solvers": "solver", "gradients": "gradient", "models": "model", "tasks": "task", "policies": "step_policy"}


def _cell(part: str, name: str, words: Callable[[Any], str] | None = None) -> Callable[[dict[str, Any]], Any]:
    """A cell from what `details` found; empty where it found nothing."""

    def cell(told: dict[str, Any]) -> Any:
        found = told.get(part)
        return None if found is None else words(found[name]) if words else found[name]

    return cell


def _works_with(part: str) -> Callable[[dict[str, Any]], str | None]:
    """With how many of the other kind it works."""

    def cell(told: dict[str, Any]) -> str | None:
        found = told.get(part)
        return None if found is None else f"{len(found['with'])} of {len(found['with']) + len(found['without'])}"

    return cell


def _span(told: dict[str, Any]) -> str | None:
    problem = told.get("problem")
    return None if problem is None else f"{problem['start']:g} to {problem['end']:g}"


# By kind: headings, and the keys of `describe` below them, or what gives the cell.
_COLUMNS: dict[str, dict[str, str | Callable[[dict[str, Any]], Any]]] = {
    "solver": {
        "order": "order",
        "adaptive": "adaptive",
        "implicit": "implicit",
        "evaluations a step": _cell("cost", "forward", number_words),
        "stable, real axis": _cell("stability", "real_end", end_words),
        "imaginary axis": _cell("stability", "imaginary_end", end_words),
        "compiled": "has_compiled_form",
        "gradients": _works_with("gradients"),
    },
    "gradient": {
        "exact": "exact_for_discretisation",
        "memory": "memory",
        "backward: evaluations a step": _cell("cost", "backward", number_words),
        "VJPs": _cell("cost", "vjps", number_words),
        "with": _cell("cost", "solver"),
        "compiled": lambda told: told.get("compiled_memory") is not None,
        "solvers": _works_with("solvers"),
    },
    "model": {
        "state": _cell("problem", "state", state_words),
        "times": _span,
        "parameters": _cell("problem", "parameters"),
        "closed form": _cell("problem", "closed_form"),
        "can be trained": _cell("problem", "can_learn"),
    },
    "task": {"needs a gradient method": "needs_gradient"},
    "step_policy": {"finds the first step": "chooses_first"},
}


@click.command("list")
@click.argument("kind", metavar="KIND", type=click.Choice([*_KINDS, "suites"]))
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("suites"),
    show_default=True,
    help="Where suites are looked for.",
)
@plugin_option
@interpreter_option
@json_option
def command(
    kind: str, folder: Path, local_files: tuple[Path, ...], interpreters: dict[str, Path], as_json: bool
) -> None:
    """List all solvers, gradients, models, tasks, step policies or suites.

    \b
    Example:
      odebench list solvers
      odebench list suites --folder suites/papers

    KIND is one of solvers, gradients, models, tasks, policies, suites.
    """
    if kind == "suites":
        _list_suites(folder, as_json)
        return
    from odebench.interpreters.interpreter import homes_of
    from odebench.plugins import build_registry

    there = homes_of(interpreters)
    registry = build_registry(local_files=local_files)
    living = [entry for entry in registry.entries(_KINDS[kind]) if entry.origin.plugin not in there]
    entries = [describe(entry) | details(entry, registry) for entry in living]
    for path in dict.fromkeys(there.values()):
        names = {name for name, where in there.items() if where == path}
        entries += [one for one in said_there(path, "list", kind, local_files=local_files) if one["plugin"] in names]
    if as_json:
        write_json(entries)
        return
    columns = _COLUMNS[_KINDS[kind]]
    write_table(
        ("name", *columns, "description", "from"),
        (
            (
                told["name"],
                *(column(told) if callable(column) else told[column] for column in columns.values()),
                told["description"],
                _origin(told),
            )
            for told in entries
        ),
    )
    warn_of_failures(registry)
    for reason in dict.fromkeys(told["unavailable"] for told in entries if told.get("unavailable")):
        names = [told["name"] for told in entries if told.get("unavailable") == reason]
        warn(f"cannot be used here: {', '.join(names)}. {reason}")


def warn_of_failures(registry: Registry) -> None:
    """Say on stderr that some plugins did not load."""
    if registry.failures:
        names = ", ".join(failure.plugin for failure in registry.failures)
        warn(f"{count(len(registry.failures), 'plugin')} did not load: {names}. `odebench plugins` shows why.")


def _origin(told: dict[str, Any]) -> str:
    return f"{told['distribution']} {told['version']}" if told["distribution"] else told["plugin"]


def _list_suites(folder: Path, as_json: bool) -> None:
    """Every suite below the folder; one that cannot be read is listed with what is wrong with it."""
    from odebench.errors import OdebenchError
    from odebench.plan.suite import read_suite

    if not folder.is_dir():
        raise OdebenchError(
            f"{folder}: there is no such folder. Run this in a checkout of odebench, or say where your suites are with --folder."
        )
    found = []
    for file in sorted(folder.rglob("*.toml")):
        told: dict[str, Any] = {"file": str(file), "name": None, "title": None, "experiments": None, "fault": None}
        try:
            suite = read_suite(file)
            told |= {"name": suite.name, "title": suite.title, "experiments": len(suite.experiments)}
        except OdebenchError as error:
            told["fault"] = str(error)
        found.append(told)
    if as_json:
        write_json(found)
        return
    write_table(
        ("file", "name", "experiments", "title"),
        (
            (told["file"], told["name"], told["experiments"], told["title"] or f"cannot be read: {told['fault']}")
            for told in found
        ),
    )
