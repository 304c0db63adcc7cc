"""From a plugin as a suite names it to choices with all their parameters, each built once to see that it can be."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any

from odebench.errors import OdebenchError, SuiteError, kind_in_words, kinds_listed, nearest
from odebench.plan.cell import CellError, Choice
from odebench.plan.messages import choose
from odebench.plan.registry import Entry, Place, Registry
from odebench.plan.schema import ChoiceEntry

_KINDS = ("task", "model", "solver", "gradient", "step_policy")


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """A choice, and an instance of it or the reason why there is none.

    Attributes:
        choice: the name and all parameters.
        instance: what the plugin built; None where it could not.
        failure: why not; None where it could.
        kind: "solver", "gradient", "model", "task" or "step_policy".
        places: the interpreters in which it lives; empty where it can be built in any, and two where it can be built in none.
    """

    choice: Choice
    instance: Any = None
    failure: str | None = None
    kind: str = ""
    places: frozenset[Place] = frozenset()


class Resolver:
    """Looks choices up in a registry, and builds each distinct one once.

    A name that nobody registers and a parameter that the plugin does not have are faults of the suite. A plugin that did not load,
    or whose factory raises, is a fault of the plugin: it costs the cells that use it and nothing else.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._built: dict[tuple[str, Choice], Resolved] = {}

    def resolve(self, kind: str, entry: ChoiceEntry, where: str) -> tuple[Resolved, ...]:
        """Every choice that `entry` stands for: the product of its list-valued parameters, in the order they are written.

        Args:
            kind: "solver", "gradient", "model", "task" or "step_policy".
            entry: as the suite has it.
            where: file and key, for messages.

        Raises:
            SuiteError: nobody registers the name, or the plugin has no such parameter.
        """
        if entry.name not in self._registry.names(kind):
            failed = self._registry.failure_of(entry.name)
            if failed is None:
                where = f"{where.removesuffix('`')}.name`" if entry.parameters else where
                raise SuiteError(unknown_name(kind, entry.name, self._registry, where))
            reason = f"Plugin {failed.plugin!r} did not load: {failed.message}"
            given = expand_lists(entry.parameters)
            return tuple(
                Resolved(choice=Choice(name=entry.name, parameters=one), failure=reason, kind=kind) for one in given
            )
        found = self._registry.get(kind, entry.name)
        defaults, failure = _defaults(kind, found)
        required = [key for key, default in defaults.items() if default is inspect.Parameter.empty]
        if failure is None:
            _check_parameters(kind, entry, defaults, required, where)
        optional = {key: default for key, default in defaults.items() if key not in required}
        return tuple(self._build(kind, found, optional, given, failure) for given in expand_lists(entry.parameters))

    def _build(
        self,
        kind: str,
        entry: Entry,
        defaults: dict[str, Any],
        given: dict[str, Any],
        failure: str | None,
    ) -> Resolved:
        given = {key: _as_default(value, defaults.get(key)) for key, value in given.items()}
        places = self._registry.places_of(kind, entry.name, given)
        if len(places) == 1:
            entry = next(iter(places)).entry_of(entry)
        try:
            given = entry.completed(given)
        except Exception as error:  # noqa: BLE001 - a plugin's code may raise anything
            failure = failure or f"The {kind_in_words(kind)} {entry.name!r} could not be built: {_said(error)}"
        choice = Choice(name=entry.name, parameters=defaults | given)
        known = self._built.get((kind, choice))
        if known is None:
            if failure is not None or len(places) > 1:
                known = Resolved(choice=choice, failure=failure)
            else:
                known = _built(kind, entry, choice, given)
            known = self._built[kind, choice] = replace(known, kind=kind, places=places)
        return known


def unknown_name(kind: str, name: str, registry: Registry, where: str) -> str:
    """The message for a name that nobody registers; says so where another kind has it."""
    close = nearest(name, registry.names(kind))
    hint = f" Did you mean {close!r}?" if close else ""
    others = [other for other in _KINDS if name in registry.names(other)]
    prefix, slash, _ = name.partition("/")
    if others:
        hint = f" It is the name of a {kind_in_words(others[0])}."
    elif slash and not any(known.startswith(f"{prefix}/") for other in _KINDS for known in registry.names(other)):
        hint = f" No plugin {prefix!r} is loaded here: install the distribution that offers it."
    elif close is None and registry.failures:
        broken = ", ".join(repr(failure.plugin) for failure in registry.failures)
        hint = f" Some plugins did not load and may have it: {broken}; `odebench plugins` shows why."
    return (
        f"{where} is {name!r}, and no plugin registers a {kind_in_words(kind)} of that name.{hint} "
        f"`odebench list {kinds_listed(kind)}` shows all."
    )


def expand_lists(parameters: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Each combination of the list-valued parameters; a table with a `name` inside is a choice of its own and expands too.

    >>> list(expand_lists({"width": [32, 64], "depth": 2}))
    [{'width': 32, 'depth': 2}, {'width': 64, 'depth': 2}]
    """
    axes = [
        [(key, point) for value in _points(values) for point in _nested(value)] for key, values in parameters.items()
    ]
    return (dict(point) for point in itertools.product(*axes))


def _points(values: Any) -> list[Any]:
    return values if isinstance(values, list) else [values]


def _nested(value: Any) -> list[Any]:
    return list(expand_lists(value)) if isinstance(value, dict) and "name" in value else [value]


def _defaults(kind: str, entry: Entry) -> tuple[dict[str, Any], str | None]:
    """The plugin's parameters with their defaults, and why they cannot be had."""
    try:
        parameters = dict(entry.parameters())
        held = {key: default for key, default in parameters.items() if default is not inspect.Parameter.empty}
        Choice(name=entry.name, parameters=held)
    except CellError as error:
        return (
            {},
            f"The {kind_in_words(kind)} {entry.name!r} has a default that no record can hold: {error}",
        )
    except Exception as error:  # noqa: BLE001 - a plugin's code, or its signature, may raise anything
        return (
            {},
            f"The {kind_in_words(kind)} {entry.name!r} does not tell its parameters: {_said(error)}",
        )
    return parameters, None


def _check_parameters(
    kind: str, entry: ChoiceEntry, known: Collection[str], required: Collection[str], where: str
) -> None:
    where = where.removesuffix("`")
    faults = [
        f"{where}.{key}` is no parameter of the {kind_in_words(kind)} {entry.name!r}. "
        + (choose(key, known) if known else "It has none: delete the key.")
        for key in entry.parameters
        if key not in known
    ]
    faults += [
        f"{where}.{key}` is missing: the {kind_in_words(kind)} {entry.name!r} has no default for it. "
        f"Write {{ name = {entry.name!r}, {key} = … }}."
        for key in required
        if key not in entry.parameters
    ]
    if faults:
        raise SuiteError("\n".join(faults))


def _as_default(value: Any, default: Any) -> Any:
    """`mu = 5` for a parameter whose default is 1.0 means 5.0: written either way it is the same question."""
    return float(value) if isinstance(default, float) and type(value) is int else value


def _built(kind: str, entry: Entry, choice: Choice, given: dict[str, Any]) -> Resolved:
    try:
        return Resolved(choice=choice, instance=entry.build(**given))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin's code: whatever it raises costs its own cells only
        if isinstance(error, OdebenchError):
            return Resolved(
                choice=choice, failure=f"The {kind_in_words(kind)} {entry.name!r} could not be built: {error}"
            )
        asked = f" with {', '.join(f'{key}={value!r}' for key, value in given.items())}" if given else ""
        return Resolved(
            choice=choice,
            failure=f"The {kind_in_words(kind)} {entry.name!r} could not be built{asked}: {_said(error)}",
        )


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
