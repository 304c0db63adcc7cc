"""Which plugins a cell uses, in which versions: what its children load, and what makes its record fresh."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING, Any

from odebench import __version__
from odebench.plan.cell import Cell
from odebench.records import freshness, source_hash

if TYPE_CHECKING:
    from odebench.interpreters.interpreter import Interpreter
    from odebench.plugins import Entry, Registry


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What a cell uses.

    Attributes:
        prefixes: entry points of installed plugins.
        local_files: local plugin files.
        versions: of odebench, torch, the plugins' distributions and what those require, and of code that no distribution installed.
        freshness: hash of all that could change the answer.
        interpreter: where it is measured; None for the launcher's own. `versions` are of there, its Python's among them.
        judged_there: whether it is judged there too: the reference of a model that lives there can be had nowhere else.
    """

    prefixes: tuple[str, ...]
    local_files: tuple[str, ...]
    versions: dict[str, str]
    freshness: str
    interpreter: Interpreter | None = None
    judged_there: bool = False


def identities_of(cells: Iterable[Cell], registry: Registry) -> dict[str, Identity]:
    """Identities by cell id; one that needs others is as fresh as they are, where they are among `cells`."""
    cells = {cell.id: cell for cell in cells}
    own = {name: identity_of(cell, registry) for name, cell in cells.items()}
    registry.close()

    def whole(name: str) -> Identity:
        found = own[name]
        needed = {need: whole(need).freshness for need in cells[name].needs if need in own}
        return replace(found, freshness=freshness({"itself": found.freshness}, needed)) if needed else found

    return {name: whole(name) for name in own}


def identity_of(cell: Cell, registry: Registry) -> Identity:
    """What `cell` uses of `registry`; a plugin that did not load is left out."""
    used = list(_entries(cell, registry))
    interpreter = next((entry.origin.interpreter for entry in used if entry.origin.interpreter is not None), None)
    if interpreter is None:
        versions = {"odebench": __version__, "torch": version_of("torch")}
    else:  # The same library is another one in another Python, at least in time.
        versions = {"odebench": __version__, "torch": interpreter.version("torch"), "python": interpreter.python}
    prefixes, files, sources = set(), set(), {}
    for entry in used:
        if entry.origin.path is not None:
            files.add(str(entry.origin.path))
            sources[f"{entry.kind}:{entry.name}"] = source_hash(entry.origin.path)
        elif entry.origin.interpreter is not None:
            plugin = entry.origin.interpreter.plugin(entry.origin.plugin)
            prefixes.add(plugin.name)
            versions |= {name: interpreter.version(name) for name in (plugin.distribution, *plugin.requires)}
        elif entry.distribution not in (None, "odebench"):
            prefixes.add(entry.origin.plugin)
            versions |= {name: version_of(name) for name in (entry.distribution, *requirements(entry.distribution))}
    versions |= _used_code(cell, registry)
    return Identity(
        prefixes=tuple(sorted(prefixes)),
        local_files=tuple(sorted(files)),
        versions=versions,
        freshness=freshness(versions, sources),
        interpreter=interpreter,
        judged_there=any(_lives_elsewhere(kind, cell, registry) for kind in ("model", "task")),
    )


def environments_of(identities: Iterable[Identity]) -> list[dict[str, Any]]:
    """Each other interpreter that takes part: its path, its Python, the plugins that live there, and versions of what they use."""
    found: dict[Interpreter, dict[str, Any]] = {}
    for one in identities:
        if one.interpreter is None:
            continue
        about = found.setdefault(
            one.interpreter,
            {"path": str(one.interpreter.path), "python": one.interpreter.python, "plugins": [], "versions": {}},
        )
        about["plugins"] = sorted({*about["plugins"], *one.prefixes})
        about["versions"] |= {name: version for name, version in one.versions.items() if name != "python"}
    return sorted(found.values(), key=lambda about: about["plugins"])


def _lives_elsewhere(kind: str, cell: Cell, registry: Registry) -> bool:
    name = cell.choices[kind].name
    return name in registry.names(kind) and registry.get(kind, name).origin.interpreter is not None


def _used_code(cell: Cell, registry: Registry) -> dict[str, str]:
    """What the solver says of code that it runs and no distribution installed. Solvers whose class says that there is none are not
    built for it."""
    if cell.solver.name not in registry.names("solver"):
        return {}
    entry = registry.get("solver", cell.solver.name)
    # What a class elsewhere computes is not told with it, and has to be asked for.
    if not getattr(entry.factory, "used_code", entry.origin.interpreter is not None):
        return {}
    try:
        return dict(entry.build(**cell.solver.parameters).used_code)
    except Exception:  # noqa: BLE001 - a plugin's code; the cell's own part will tell what is wrong
        return {}


def _entries(cell: Cell, registry: Registry) -> Iterator[Entry]:
    """Each plugin that takes part, and each that a parameter names: a wrapper is told its base by name."""
    for kind, choice in cell.choices.items():
        if choice.name in registry.names(kind):
            yield registry.get(kind, choice.name)
        for text in _texts(choice.parameters):
            for other in registry.kinds_of(text):
                yield registry.get(other, text)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from _texts(list(value.values()))
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


@cache
def version_of(distribution: str) -> str:
    """The version that is installed here; "unknown" where there is none."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "unknown"


@cache
def requirements(distribution: str) -> tuple[str, ...]:
    """What a plugin's distribution requires, extras aside: an adapter's own version says little about the library below it."""
    try:
        required = metadata.requires(distribution) or []
    except metadata.PackageNotFoundError:
        return ()
    names = (re.match(r"[A-Za-z0-9._-]+", line).group() for line in required if "extra ==" not in line)
    return tuple(name for name in names if name not in ("odebench", "torch") and version_of(name) != "unknown")
