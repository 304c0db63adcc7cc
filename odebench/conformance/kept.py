"""The last result of each plugin's checks, kept in the user's cache folder; and whether it still holds.

A result is kept for a plugin and a Python environment, together with a stamp: versions of all that takes part, and a hash of the
sources of odebench and of the plugin, since an author's version stays while the code changes. Where the stamp of today is another one,
the result is an old one, and is told as such.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import odebench
from odebench.conformance.running import PluginReport
from odebench.errors import RecordError
from odebench.records.atomic import write_atomic

if TYPE_CHECKING:
    from odebench.plugins import Entry

_SOURCES = "sources of "
_HASH_DIGITS = 16
_NEVER_CHECKED = ("cli", "report", "scaffold", "validation")


def keep(report: PluginReport) -> None:
    """Store a report in the place of the one before; nothing happens where the folder cannot be written to."""
    if not report.environment:  # it did not get as far as to say where it is
        return
    path = _path(report.kind, report.name, report.plugin, report.environment)
    with contextlib.suppress(OSError, RecordError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, json.dumps(asdict(report)).encode(), "checks")


def kept(entry: Entry) -> dict[str, Any] | None:
    """The last report of an entry, as `odebench check --json` writes it; None where there is none."""
    origin = entry.origin
    environment = sys.prefix if origin.interpreter is None else origin.interpreter.prefix
    path = _path(entry.kind, entry.name, str(origin.path or origin.plugin), environment)
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return report if isinstance(report, dict) and {"checks", "faults", "stamp"} <= set(report) else None


def stamp_of(entry: Entry) -> dict[str, str]:
    """What a result of this entry depends on: versions by distribution, and hashes of sources, as far as they lie here."""
    from odebench.run.identity import requirements, version_of

    names = ["torch", "numpy", "scipy"]
    if (interpreter := entry.origin.interpreter) is not None:
        plugin = interpreter.plugin(entry.origin.plugin)
        names += [plugin.distribution, *plugin.requires]
        return {"odebench": odebench.__version__} | {name: interpreter.version(name) for name in names}
    sources = {"odebench": _own_hash()}
    if entry.origin.path is not None:
        sources[entry.origin.path.name] = _hash([entry.origin.path])
    elif entry.distribution not in (None, "odebench"):
        names += [entry.distribution, *requirements(entry.distribution)]
        sources[entry.distribution] = _source_hash(entry.factory)
    versions = {"odebench": odebench.__version__} | {name: version_of(name) for name in names}
    if entry.kind == "solver" and getattr(entry.factory, "used_code", None):
        with contextlib.suppress(Exception):  # a plugin's code; its checks will tell what is wrong
            versions |= entry.build().used_code
    return versions | {_SOURCES + name: found for name, found in sources.items()}


def changes(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What of today's stamp was another thing before, in words; versions first."""
    other = sorted((name for name in now if before.get(name) != now[name]), key=lambda name: name.startswith(_SOURCES))
    versions = [name for name in other if not name.startswith(_SOURCES)]
    return [f"{name} was {before.get(name, 'not there')} and is {now[name]}" for name in versions] + [
        f"the {name} have changed"
        for name in other
        if name.startswith(_SOURCES) and name.removeprefix(_SOURCES) not in versions
    ]


def _path(kind: str, name: str, plugin: str, environment: str) -> Path:
    from odebench.run.reference_cache import cache_folder

    key = json.dumps([kind, name, plugin, environment])
    return cache_folder().parent / "checks" / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"


def _source_hash(factory: object) -> str:
    """Of the package that a class comes from."""
    cls = factory if isinstance(factory, type) else type(factory)
    top = sys.modules.get(cls.__module__.partition(".")[0])
    file = getattr(top, "__file__", None)
    if file is None:
        return ""
    return _tree_hash(Path(file).parent) if hasattr(top, "__path__") else _hash([Path(file)])


@functools.cache
def _own_hash() -> str:
    """Of odebench, without what no check runs."""
    root = Path(odebench.__file__).parent
    return _hash(file for file in sorted(root.rglob("*.py")) if file.relative_to(root).parts[0] not in _NEVER_CHECKED)


@functools.cache
def _tree_hash(folder: Path) -> str:
    """Of all Python files of a folder."""
    return _hash(sorted(folder.rglob("*.py")))


def _hash(files: Iterable[Path]) -> str:
    whole = hashlib.sha256()
    for file in files:
        with contextlib.suppress(OSError):  # gone meanwhile
            content = file.read_bytes()
            whole.update(f"{file.name}:{len(content)}:".encode())
            whole.update(content)
    return whole.hexdigest()[:_HASH_DIGITS]
