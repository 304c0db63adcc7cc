"""A registry of plugins some of which live in other interpreters."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace, TracebackType
from typing import Any, Self

from odebench.errors import InterpreterError, PluginError
from odebench.interpreters.asking import Asking
from odebench.interpreters.foreign import ForeignEntry, ForeignPlace, ThisPlace
from odebench.interpreters.interpreter import Interpreter, look_at
from odebench.plan.cell import texts_in
from odebench.plugins import ENTRY_POINT_GROUP, PluginFailure, Registry, Source, build_registry


@dataclass(kw_only=True)
class WideRegistry(Registry):
    """Everything that was registered here and elsewhere. As a context manager it lets the children there go in the end.

    Attributes:
        askings: the interpreters that have plugins of it, and whom to ask there.
    """

    askings: list[Asking] = field(default_factory=list)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for asking in self.askings:
            asking.close()

    def places_of(self, kind: str, name: str, parameters: Mapping[str, Any]) -> frozenset[ForeignPlace | ThisPlace]:
        """Where a plugin, and those that its parameters name, live; empty where all of them are built in or local files."""
        used = [self.get(kind, name)] if name in self.names(kind) else []
        used += [self.get(other, text) for text in texts_in(dict(parameters)) for other in self.kinds_of(text)]
        found = set()
        for entry in used:
            if isinstance(entry, ForeignEntry):
                found.add(ForeignPlace(entry.asking))
            elif entry.origin.path is None and entry.distribution not in (None, "odebench"):
                found.add(ThisPlace())
        return frozenset(found)

    def refuse_silence(self) -> None:
        """Raise where an interpreter could not answer: its plugins are not to blame, and nothing is known of them.

        Raises:
            InterpreterError: the first fault.
        """
        for asking in self.askings:
            if asking.fault is not None:
                raise asking.fault


def build_wide_registry(
    interpreters: Mapping[str, Path],
    *,
    prefixes: Collection[str] | None = None,
    local_files: Sequence[Path | str] = (),
    strict: bool = False,
) -> WideRegistry:
    """Load the plugins that live here, and have those told that live in other interpreters.

    Args:
        interpreters: paths, by the entry point's name of the plugin that lives there.
        prefixes, local_files, strict: as of `plugins.build_registry`; interpreters of other prefixes are not looked at.

    Raises:
        InterpreterError: an interpreter cannot be used, or lacks its plugin.
        PluginError: with `strict`, a plugin failed to load, here or there.
    """
    wanted = {name: path for name, path in interpreters.items() if prefixes is None or name in prefixes}
    found: dict[Path, Interpreter] = {path: look_at(path) for path in dict.fromkeys(wanted.values())}
    foreign = {name: found[path] for name, path in wanted.items() if not found[path].is_this_one}
    for name, interpreter in foreign.items():
        interpreter.plugin(name)
    if foreign:
        installed = {point.name for point in metadata.entry_points(group=ENTRY_POINT_GROUP)}
        prefixes = (installed if prefixes is None else set(prefixes)) - foreign.keys()
    here = build_registry(prefixes=prefixes, local_files=local_files, strict=strict)
    registry = WideRegistry(sources=here.sources, failures=here.failures, _entries=here._entries)
    for interpreter in dict.fromkeys(foreign.values()):
        living = [name for name, where in foreign.items() if where == interpreter]
        asking = Asking(interpreter, living, local_files)
        registry.askings.append(asking)
        for name in living:
            _join(registry, asking, name, strict)
    return registry


def _join(registry: WideRegistry, asking: Asking, name: str, strict: bool) -> None:
    """Add what a plugin offers, or why it did not load."""
    interpreter = asking.interpreter
    plugin = interpreter.plugin(name)
    source = Source(plugin=name, distribution=plugin.distribution, version=plugin.version, interpreter=interpreter)
    try:
        told = asking.ask({"ask": "describe", "prefix": name})
    except InterpreterError:
        for other in registry.askings:
            other.close()
        raise
    for failure in told["failures"]:
        message = f"in the interpreter {interpreter.path}: {failure['message']}"
        if strict:
            raise PluginError(f"plugin {name!r} ({plugin.distribution}): {message}")
        registry.failures.append(
            PluginFailure(
                plugin=name,
                distribution=plugin.distribution,
                hook=failure["hook"],
                message=message,
                traceback=failure["traceback"],
                names=tuple(failure["names"]),
            )
        )
    registry.add(
        [
            ForeignEntry(
                kind=one["kind"],
                name=one["name"],
                origin=source,
                factory=SimpleNamespace(**one["declared"]),
                asking=asking,
                told=one,
            )
            for one in told["entries"]
        ]
    )
    if not told["failures"]:
        registry.sources.append(source)
