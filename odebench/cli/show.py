"""`odebench show`: what one solver, gradient method, model, task or step policy is."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from odebench.cli.conformance import conformance_lines, conformance_of, last_conformance
from odebench.cli.describe import DECLARED, describe, rounded, tableau_lines
from odebench.cli.details import details
from odebench.cli.elsewhere import said_there
from odebench.cli.options import interpreter_option, json_option, plugin_option
from odebench.cli.output import console, word, write_json
from odebench.cli.told import cost_words, pairs_lines, problem_lines, stability_lines
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
    "has_compiled_form": "can be compiled",
    "exact_for_discretisation": "exact for the discretisation",
    "memory": "memory, claimed",
    "needs_gradient": "needs a gradient method",
    "chooses_first": "finds the first step itself",
}

_COMPILED_FORMS = {
    "steps": "yes, with the state at every step",
    "segments": "yes, with few states, from which the others are computed again",
    None: "no",
}

_CHECKED = ("solver", "gradient", "model")

# A tableau that is wider, also in a pipe, is written one coefficient after the other.
_WIDEST = 140


@click.command("show")
@click.argument("name", metavar="NAME")
@click.option(
    "--plot",
    "figure",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Draw where the solver is stable into a PNG, SVG or PDF file.",
)
@click.option(
    "--check", "checked", is_flag=True, help="Run its conformance checks now, where else their last result is told."
)
@plugin_option
@interpreter_option
@json_option
def command(
    name: str,
    figure: Path | None,
    checked: bool,
    local_files: tuple[Path, ...],
    interpreters: dict[str, Path],
    as_json: bool,
) -> None:
    """Show what a solver, gradient method, model, task or step policy is, what it costs, and where it comes from.

    \b
    Example:
      odebench show dopri5 --plot stability.png
      odebench show gradient:anode

    A NAME that several kinds have is asked for as kind:NAME. Costs are counted on a small field; where a solver has no tableau,
    its stability function is measured. Conformance is the last result of `odebench check` here, which says so where anything has
    changed since.
    """
    from odebench.interpreters.interpreter import homes_of

    prefix, slash, _ = name.rpartition(":")[2].partition("/")
    there = homes_of({prefix: interpreters[prefix]} if slash and prefix in interpreters else {})
    if there:
        told = said_there(there[prefix], "show", name, *(["--check"] if checked else []), local_files=local_files)
        told["interpreter"] = there[prefix]
    else:
        told = _told(name, checked, local_files)
    if figure is not None:
        _draw(told, figure)
    if as_json:
        write_json(told)
    else:
        click.echo("\n".join(_lines(told)))


def _told(name: str, checked: bool, local_files: tuple[Path, ...]) -> dict[str, Any]:
    """All that there is to say of something that lives in this interpreter."""
    from odebench.plugins import build_registry

    registry = build_registry(local_files=local_files)
    entry = _find(registry, name)
    told = describe(entry) | details(entry, registry)
    if checked:
        return told | {"conformance": _conformance(entry, local_files)}
    return told | ({"conformance": last_conformance(entry)} if entry.kind in _CHECKED else {})


def _conformance(entry: Entry, local_files: tuple[Path, ...]) -> dict[str, Any]:
    """How the checks that `--check` asks for ended."""
    from odebench.conformance.kept import keep
    from odebench.conformance.running import check_plugins

    if entry.kind not in _CHECKED:
        raise OdebenchError(f"There are no checks for a {kind_in_words(entry.kind)}, such as {entry.name!r}.")
    (report,) = check_plugins([f"{entry.kind}:{entry.name}"], local_files=local_files)
    keep(report)
    return conformance_of(asdict(report), entry)


def _draw(told: dict[str, Any], figure: Path) -> None:
    """Write the figure that `--plot` asks for."""
    from odebench.report.stability_figure import write_stability

    if told.get("stability") is None:
        raise OdebenchError(
            f"{told['name']!r} has no stability function to draw: that takes a solver with a tableau, or one whose steps are all "
            "alike."
        )
    write_stability(told["name"], told["stability"], figure)


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
    facts += [("lives in", told["interpreter"])] if "interpreter" in told else []
    facts += [
        (_WORDS[key], word(told[key])) for key in DECLARED[told["kind"]] if key in _WORDS and told[key] is not None
    ]
    if told["kind"] == "gradient":
        facts.append(("can be compiled", _COMPILED_FORMS[told.get("compiled_memory")]))
    if told.get("embedded_order") is not None:
        facts.append(("order of the embedded method", told["embedded_order"]))
    if cost := cost_words(told.get("cost")):
        facts.append(("cost of a step, counted", cost))
    if told["source"] and "Source:" not in told["text"]:
        facts.append(("source", told["source"]))
    facts += [("code", f"{name} {state}") for name, state in told.get("used_code", {}).items()]
    if told["not_built"]:
        facts.append(("with its defaults", told["not_built"]))
    if told.get("unavailable"):
        facts.append(("cannot be used here", told["unavailable"]))
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
    for heading, found in _found(told).items():
        lines += ["", heading, *(f"  {line}" for line in found)]
    if told.get("tableau"):
        width = min(console().width, _WIDEST) - 2
        lines += ["", "tableau", *(f"  {line}" for line in tableau_lines(rounded(told["tableau"]), width))]
    return lines


def _found(told: dict[str, Any]) -> dict[str, list[str]]:
    """What was found out about it, under headings."""
    found = {}
    if "stability" in told:
        found["stability"] = stability_lines(told["stability"])
    if "gradients" in told:
        found["gradient methods"] = pairs_lines(told["gradients"], "gradient method")
    if "solvers" in told:
        found["solvers"] = pairs_lines(told["solvers"], "solver")
    if "conformance" in told:
        found["conformance"] = conformance_lines(told["conformance"], told["name"])
    if told.get("problem"):
        found["problem"] = problem_lines(told["problem"])
    return found


def _toml(value: Any) -> str:
    """A default as a suite would write it."""
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, bool):
        return str(value).lower()
    return "none" if value is None else str(value)
