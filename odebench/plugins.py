"""Loading plugins: our own loop over entry points, so that a broken plugin costs itself and nothing else.

Built-in methods arrive here by the same hooks as anybody's. Nothing is loaded at import: `build_registry` is a function.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import inspect
import os
import re
import sys
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pluggy

from odebench import hookspecs
from odebench.contract import GradientMethod, Model, Solver, StepPolicy, Task
from odebench.errors import OdebenchError, PluginError, UnknownNameError, kind_in_words, nearest

if TYPE_CHECKING:
    from odebench.interpreters.interpreter import Interpreter

ENTRY_POINT_GROUP = "odebench"
DISABLE_VARIABLE = "ODEBENCH_DISABLE_PLUGINS"
BUILT_IN = ("odebench.solvers", "odebench.gradients", "odebench.models", "odebench.tasks", "odebench.policies")

KINDS: dict[str, tuple[str, type]] = {
    "solver": ("odebench_register_solvers", Solver),
    "gradient": ("odebench_register_gradients", GradientMethod),
    "model": ("odebench_register_models", Model),
    "task": ("odebench_register_tasks", Task),
    "step_policy": ("odebench_register_step_policies", StepPolicy),
}

_NAME = re.compile(r"[a-z0-9]+([-_.][a-z0-9]+)*")


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a plugin comes from.

    Attributes:
        plugin: its entry point's name, the path of a local file, or `odebench` for what is built in.
        distribution: the installed distribution that offers it; None for a local file.
        version: the version of that distribution; None for a local file.
        path: the local file; None for an installed plugin.
        interpreter: the other interpreter in which it is installed; None for what is loaded here.
    """

    plugin: str
    distribution: str | None
    version: str | None
    path: Path | None = None
    interpreter: Interpreter | None = None


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One registered solver, gradient method, model, task or step policy.

    Attributes:
        kind: "solver", "gradient", "model", "task" or "step_policy".
        name: the registered name.
        factory: the class, or an instance that takes no parameters.
        origin: the plugin that registered it.
    """

    kind: str
    name: str
    factory: Any
    origin: Source

    @property
    def distribution(self) -> str | None:
        """The distribution that offers it; None for a local file."""
        return self.origin.distribution

    @property
    def version(self) -> str | None:
        """The version of that distribution; None for a local file."""
        return self.origin.version

    @property
    def description(self) -> str:
        """The first line of its docstring."""
        return (inspect.getdoc(self.factory) or "").partition("\n")[0]

    def parameters(self) -> dict[str, Any]:
        """Its parameters with their defaults; a parameter that must be given has `inspect.Parameter.empty`."""
        return dict(_parameters_of(self.factory)) if isinstance(self.factory, type) else {}

    def completed(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Parameters as they are given, and the values that the plugin's `presets` lets take the place of defaults."""
        presets = getattr(self.factory, "presets", None)
        return dict(given) | (presets(given) if isinstance(self.factory, type) and callable(presets) else {})

    def build(self, **parameters: Any) -> Any:
        """An instance with these parameters.

        Raises:
            PluginError: a parameter that there is not, or a value that the plugin refuses.
        """
        known = self.parameters()
        for name in parameters:
            if name not in known:
                hint = f" Did you mean {near!r}?" if (near := nearest(name, known)) else ""
                offered = ", ".join(known) or "none"
                raise PluginError(
                    f"{kind_in_words(self.kind)} {self.name!r} has no parameter {name!r}; it has: {offered}.{hint}"
                )
        if not isinstance(self.factory, type):
            return self.factory
        try:
            return self.factory(**self.completed(parameters))
        except OdebenchError:
            raise
        except Exception as cause:
            raise PluginError(
                f"{kind_in_words(self.kind)} {self.name!r} refused the parameters {parameters}: {type(cause).__name__}: {cause}"
            ) from cause


@dataclass(frozen=True, kw_only=True)
class PluginFailure:
    """A plugin that could not be loaded.

    Attributes:
        plugin: its entry point's name, or the path of the local file.
        distribution: the distribution that offers it; None for a local file.
        hook: the hook in which it failed; None where it failed before.
        message: what was wrong, in a line or two.
        traceback: the whole traceback.
        names: what it would have registered, as far as is known.
    """

    plugin: str
    distribution: str | None
    hook: str | None
    message: str
    traceback: str
    names: tuple[str, ...] = ()


@dataclass(kw_only=True)
class Registry:
    """Everything that was registered, and every plugin that failed to."""

    sources: list[Source] = field(default_factory=list)
    failures: list[PluginFailure] = field(default_factory=list)
    _entries: dict[tuple[str, str], Entry] = field(default_factory=dict)

    def names(self, kind: str) -> list[str]:
        """The registered names of a kind, sorted, those without a prefix first."""
        return sorted((n for k, n in self._entries if k == kind), key=lambda n: ("/" in n, n))

    def entries(self, kind: str) -> list[Entry]:
        """The registered entries of a kind, in the order of `names`."""
        return [self._entries[kind, name] for name in self.names(kind)]

    def get(self, kind: str, name: str) -> Entry:
        """The entry of this kind and name; raises `UnknownNameError` where there is none."""
        entry = self._entries.get((kind, name))
        if entry is None:
            raise UnknownNameError(kind, name, self.names(kind))
        return entry

    def kinds_of(self, name: str) -> list[str]:
        """The kinds that have something of this name."""
        return [kind for kind in KINDS if (kind, name) in self._entries]

    def failure_of(self, name: str) -> PluginFailure | None:
        """The failed plugin that would have offered `name`, if one is known to."""
        prefix = name.partition("/")[0]
        return next((f for f in self.failures if name in f.names or ("/" in name and f.plugin == prefix)), None)

    def places_of(self, kind: str, name: str, parameters: Mapping[str, Any]) -> frozenset[Any]:
        """As planning asks: empty, since all that is loaded here can be built here (`interpreters.registry` knows others)."""
        return frozenset()

    def close(self) -> None:
        """Let go of what it holds besides memory: nothing, where all is loaded here."""

    def add(self, entries: Sequence[Entry]) -> None:
        """Add the entries of one plugin, all or none.

        Raises:
            PluginError: a name is taken, in this plugin or by another one.
        """
        new: dict[tuple[str, str], Entry] = {}
        for entry in entries:
            key = (entry.kind, entry.name)
            taken = self._entries.get(key) or new.get(key)
            if taken is not None:
                raise PluginError(
                    f"{kind_in_words(entry.kind)} {entry.name!r} of plugin {entry.origin.plugin!r} is already registered by plugin "
                    f"{taken.origin.plugin!r}. Names are unique: rename one of them."
                )
            new[key] = entry
        self._entries.update(new)


def build_registry(
    *,
    prefixes: Collection[str] | None = None,
    local_files: Sequence[Path | str] = (),
    builtins: bool = True,
    strict: bool = False,
) -> Registry:
    """Load plugins and collect what they register.

    Args:
        prefixes: load only the installed plugins of these entry-point names; None loads all.
        local_files: Python files to load as plugins besides; what they register has no prefix.
        builtins: whether to load what odebench itself offers.
        strict: raise the first failure instead of collecting it.

    Raises:
        PluginError: with `strict`, a plugin failed to load.
    """
    manager = pluggy.PluginManager(ENTRY_POINT_GROUP)
    manager.add_hookspecs(hookspecs)
    registry = Registry()
    for source, load in _candidates(prefixes, local_files, builtins):
        offered: list[Entry] = []
        hook: list[str | None] = [None]
        try:
            with contextlib.redirect_stdout(sys.stderr):  # what a plugin says must not stand in what a program reads
                module = load()
            _check_marks(module)
            manager.register(module, name=str(source.path or source.plugin) + "|" + module.__name__)
            manager.check_pending()
            for kind, (hook_name, promised) in KINDS.items():
                hook[0] = hook_name
                others = [plugin for plugin in manager.get_plugins() if plugin is not module]
                register = _register(kind, promised, source, offered)
                with contextlib.redirect_stdout(sys.stderr):
                    manager.subset_hook_caller(hook_name, others)(register=register)
            hook[0] = None
            if source.path and not offered:
                raise PluginError(
                    f"{source.path} registers nothing. Write a function such as `odebench_register_solvers(register)`, with "
                    "`@odebench.hookimpl` above it."
                )
            registry.add(offered)
            registry.sources.append(source)
        except (Exception, SystemExit) as cause:
            _forget(manager, source)
            message = str(cause) or type(cause).__name__
            if not isinstance(cause, OdebenchError):
                message = f"{type(cause).__name__}: {message}"
            if strict:
                raise PluginError(
                    f"plugin {source.plugin!r} ({source.distribution or 'local file'}): {message}"
                ) from cause
            registry.failures.append(
                PluginFailure(
                    plugin=source.plugin,
                    distribution=source.distribution,
                    hook=hook[0],
                    message=message,
                    traceback=traceback.format_exc(),
                    names=tuple(entry.name for entry in offered),
                )
            )
    return registry


@functools.lru_cache(maxsize=1024)
def _parameters_of(factory: type) -> tuple[tuple[str, Any], ...]:
    signature = inspect.signature(factory)
    named = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return tuple((p.name, p.default) for p in signature.parameters.values() if p.kind in named)


def _candidates(
    prefixes: Collection[str] | None, local_files: Sequence[Path | str], builtins: bool
) -> Iterator[tuple[Source, Callable[[], ModuleType]]]:
    if builtins:
        source = Source(plugin="odebench", distribution="odebench", version=_own_version())
        for module in BUILT_IN:
            yield source, lambda module=module: importlib.import_module(module)
    disabled = {_normal(name) for name in re.split(r"[,\s]+", os.environ.get(DISABLE_VARIABLE, "")) if name}
    if prefixes is None or prefixes:
        for point in sorted(metadata.entry_points(group=ENTRY_POINT_GROUP), key=lambda point: point.name):
            distribution = point.dist.name if point.dist else None
            wanted = prefixes is None or point.name in prefixes
            if wanted and _normal(distribution or "") not in disabled and "*" not in disabled:
                version = point.dist.version if point.dist else None
                yield Source(plugin=point.name, distribution=distribution, version=version), point.load
    for path in map(Path, local_files):
        source = Source(plugin=str(path), distribution=None, version=None, path=path.resolve())
        yield source, lambda path=path: _load_file(path)


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise PluginError(f"local plugin {path}: there is no such file. Give the path of a Python file.")
    name = "odebench_local_" + re.sub(r"\W", "_", path.stem)
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    if spec is None or spec.loader is None:
        raise PluginError(f"local plugin {path}: it is no Python file. Give a file that ends in .py.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _check_marks(module: ModuleType) -> None:
    """Refuse a hook that is not marked: pluggy would pass over it in silence."""
    known = {name for name, _ in KINDS.values()}
    for name, function in vars(module).items():
        if not name.startswith("odebench_") or not inspect.isfunction(function):
            continue
        if not hasattr(function, "odebench_impl"):
            raise PluginError(
                f"{module.__name__}.{name} is not marked as a hook. Write `@odebench.hookimpl` above it, or rename it."
            )
        if name not in known:
            hint = f"; did you mean {near!r}?" if (near := nearest(name, known)) else "."
            raise PluginError(f"{module.__name__}.{name}: odebench has no hook of this name{hint}")


def _register(kind: str, promised: type, source: Source, offered: list[Entry]) -> Callable[[object], None]:
    said = kind_in_words(kind)

    def register(factory: object) -> None:
        """Offer a class, or an instance that takes no parameters."""
        made_of = factory if isinstance(factory, type) else type(factory)
        where = f"{said} {getattr(factory, 'name', made_of.__name__)!r} of plugin {source.plugin!r}"
        if not issubclass(made_of, promised):
            raise PluginError(
                f"{where} is a {made_of.__name__}; a {said} must derive from odebench.{promised.__name__}."
            )
        if isinstance(factory, type) and inspect.isabstract(factory):
            missing = ", ".join(sorted(factory.__abstractmethods__))
            raise PluginError(f"{where} lacks {missing}. Write what odebench.{promised.__name__} leaves open.")
        name = getattr(factory, "name", None)
        if not isinstance(name, str):
            raise PluginError(f"{where} has no name. Give the class an attribute `name`.")
        offered.append(Entry(kind=kind, name=name, factory=factory, origin=source))
        _check_name(name, where, source)

    return register


def _check_name(name: str, where: str, source: Source) -> None:
    prefix, slash, rest = name.rpartition("/")
    if not _NAME.fullmatch(rest) or (slash and not _NAME.fullmatch(prefix)):
        raise PluginError(f"{where}: a name is lower case, with words joined by '-' (and a prefix before one '/').")
    installed = source.distribution not in (None, "odebench")
    if installed and prefix != source.plugin:
        raise PluginError(
            f"{where}: what an installed plugin offers carries its entry point's name as prefix; "
            f"call it '{source.plugin}/{rest}'."
        )
    if not installed and slash:
        raise PluginError(f"{where}: a prefix belongs to an installed plugin; call it '{rest}'.")


def _forget(manager: pluggy.PluginManager, source: Source) -> None:
    for name, plugin in manager.list_name_plugin():
        if (
            plugin is not None
            and name.startswith(str(source.path or source.plugin) + "|")
            and source.plugin != "odebench"
        ):
            manager.unregister(plugin)


def _own_version() -> str:
    from odebench import __version__

    return __version__


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
