"""`odebench show`: what one solver, gradient method, model, task or step policy is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from odebench.cli.describe import DECLARED, describe, tableau_lines
from odebench.cli.options import json_option, plugin_option
from odebench.cli.output import console, word, write_json
from odebench.errors import OdebenchError, kind_in_words, nearest

if TYPE_CHECKING:
    from odebench.plugins import Entry, Registry

_WORDS = {
    "order": "order",
    "adaptive": "adaptive",
    "implicit": "implicit",
    "stages": "evaluations a step",
    "carry_is": "carried from step to step",
    "differentiable": "differentiable by autograd",
    "exact_for_discretisation": "exact for the discretisation",
    "memory": "memory, claimed",
    "needs_gradient": "needs a gradient method",
    "chooses_first": "finds the first step itself",
}


@click.command("show")
@click.argument("name", metavar="NAME")
@plugin_option
@json_option
def command(name: str, local_files: tuple[Path, ...], as_json: bool) -> None:
    """Show what a solver, gradient method, model, task or step policy is, and where it comes from.

    \b
    Example:
      odebench show dopri5
      odebench show gradient:anode

    A NAME that several kinds have is asked for as kind:NAME.
    """
    from odebench.plugins import build_registry

    told = describe(_find(build_registry(local_files=local_files), name))
    if as_json:
        write_json(told)
    else:
        click.echo("\n".join(_lines(told)))


def _find(registry: Registry, asked: str) -> Entry:
    """The entry that is asked for, as `name` or `kind:name`."""
    from odebench.plugins import KINDS

    kind, colon, name = asked.partition(":")
    if colon:
        if kind not in KINDS:
            near = nearest(kind, KINDS)
            hint = f"did you mean {near!r}? " if near else ""
            raise OdebenchError(f"{kind!r} in {asked!r} is no kind; {hint}There are: {', '.join(KINDS)}.")
        return registry.get(kind, name)
    kinds = registry.kinds_of(asked)
    if len(kinds) > 1:
        choices = " or ".join(f"`odebench show {kind}:{asked}`" for kind in kinds)
        raise OdebenchError(
            f"{asked!r} is the name of a {' and of a '.join(map(kind_in_words, kinds))}. Write {choices}."
        )
    if kinds:
        return registry.get(kinds[0], asked)
    if failure := registry.failure_of(asked):
        raise OdebenchError(f"{asked!r} is of plugin {failure.plugin!r}, which did not load: {failure.message}")
    near = nearest(asked, [known for kind in KINDS for known in registry.names(kind)])
    hint = f"did you mean {near!r}? " if near else ""
    raise OdebenchError(f"No plugin registers {asked!r}; {hint}`odebench list solvers` and its like show all.")


def _lines(told: dict[str, Any]) -> list[str]:
    """What `show` prints."""
    origin = f"{told['distribution']} {told['version']}" if told["distribution"] else f"local file {told['plugin']}"
    facts = [("kind", kind_in_words(told["kind"])), ("from", origin)]
    facts += [(_WORDS[key], word(told[key])) for key in DECLARED[told["kind"]] if told[key] is not None]
    if told["source"] and "Source:" not in told["text"]:
        facts.append(("source", told["source"]))
    if told["not_built"]:
        facts.append(("with its defaults", told["not_built"]))
    size = max(len(name) for name, _ in facts)
    lines = [told["name"], "", *told["text"].splitlines(), ""]
    lines += [f"{name.ljust(size)}  {value}" for name, value in facts]
    if told["parameters"]:
        lines += ["", "parameters"]
        lines += [
            f"  {one['name']}" + (" (must be given)" if one["required"] else f" = {_toml(one['default'])}")
            for one in told["parameters"]
        ]
    if told["known_failures"]:
        lines += ["", "known failures"]
        lines += [f"  {check}: {why}" for check, why in told["known_failures"].items()]
    if told.get("tableau"):
        lines += ["", "tableau", *(f"  {line}" for line in tableau_lines(told["tableau"], console().width - 2))]
    return lines


def _toml(value: Any) -> str:
    """A default as a suite would write it."""
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, bool):
        return str(value).lower()
    return "none" if value is None else str(value)
