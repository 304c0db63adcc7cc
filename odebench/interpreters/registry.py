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

_DESCRIBE = {"ask": "describe"}


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
        self.close()

    def close(self) -> None:
        """Let the children go; a question that comes later starts another one."""
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
    tolerant: bool = False,
) -> WideRegistry:
    """Load the plugins that live here, and have those told that live in other interpreters.

    Args:
        interpreters: paths, by the entry point's name of the plugin that lives there.
        prefixes, local_files, strict: as of `plugins.build_registry`; interpreters of other prefixes are not looked at.
        tolerant: an interpreter that cannot be used is a failure of the plugin that should live there, and no error.

    Raises:
        InterpreterError: an interpreter cannot be used, or lacks its plugin.
        PluginError: with `strict`, a plugin failed to load, here or there.
    """
    wanted = {name: path for name, path in interpreters.items() if prefixes is None or name in prefixes}
    found, failures = _looked_at(wanted, tolerant)
    foreign = {name: interpreter for name, interpreter in found.items() if not interpreter.is_this_one}
    if wanted:
        installed = {point.name for point in metadata.entry_points(group=ENTRY_POINT_GROUP)}
        elsewhere = {name for name in wanted if name in foreign or name not in found}
        prefixes = (installed if prefixes is None else set(prefixes)) - elsewhere
    registry = WideRegistry(
        askings=[
            Asking(where, [name for name, other in foreign.items() if other == where], local_files)
            for where in dict.fromkeys(foreign.values())
        ]
    )
    try:
        for asking in registry.askings:
            asking.expect(_DESCRIBE | {"prefix": asking.prefixes[0]})
        here = build_registry(prefixes=prefixes, local_files=local_files, strict=strict)
        registry.sources, registry.failures, registry._entries = here.sources, here.failures + failures, here._entries
        living = [(asking, name) for asking in registry.askings for name in asking.prefixes]
        for home, name in living:
            try:
                _join(registry, home, name, strict)
            except InterpreterError as error:
                if not tolerant:
                    raise
                registry.failures.append(_failure(name, error))
    except BaseException:
        registry.close()
        raise
    return registry


def _looked_at(wanted: Mapping[str, Path], tolerant: bool) -> tuple[dict[str, Interpreter], list[PluginFailure]]:
    """The interpreters of these paths, each looked at once and seen to have its plugin; and those that cannot be used."""
    known: dict[Path, Interpreter] = {}
    found: dict[str, Interpreter] = {}
    failures = []
    for name, path in wanted.items():
        try:
            if path not in known:
                known[path] = look_at(path)
            known[path].plugin(name)
            found[name] = known[path]
        except InterpreterError as error:
            if not tolerant:
                raise
            failures.append(_failure(name, error))
    return found, failures


def _failure(name: str, error: InterpreterError) -> PluginFailure:
    return PluginFailure(plugin=name, distribution=None, hook=None, message=str(error), traceback="")


def _join(registry: WideRegistry, asking: Asking, name: str, strict: bool) -> None:
    """Add what a plugin offers, or why it did not load."""
    interpreter = asking.interpreter
    plugin = interpreter.plugin(name)
    source = Source(plugin=name, distribution=plugin.distribution, version=plugin.version, interpreter=interpreter)
    told = asking.ask(_DESCRIBE | {"prefix": name})
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
