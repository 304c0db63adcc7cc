"""Stand-ins for plugins that live in another interpreter: they are asked what a planner asks, and answer what the plugins would."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from odebench.interpreters.asking import Asking, raised
from odebench.plan.cell import CellError
from odebench.plugins import Source


class StandIn:
    """A plugin built elsewhere: what it declares are attributes, and `supports` is asked there.

    Args:
        asking: to whom questions go.
        kind, name, given: what was built there.
        declared: what it declares, by name.
    """

    def __init__(
        self, asking: Asking, kind: str, name: str, given: Mapping[str, Any], declared: Mapping[str, Any]
    ) -> None:
        self.__dict__.update({"name": name} | dict(declared))
        self._asking, self._kind, self._asked, self._given = asking, kind, name, dict(given)

    def supports(self, solver: StandIn) -> Any:
        """As the plugin's own `supports`; what it raises is raised here."""
        told = self._asking.ask(
            {
                "ask": "supports",
                "kind": self._kind,
                "name": self._asked,
                "given": self._given,
                "solver": {"name": solver._asked, "given": solver._given},
            }
        )
        return told["reason"] if "reason" in told else _Shown(told["no_reason"])


class _Shown:
    """Something that no JSON holds, of which only the look came across."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


@dataclass(frozen=True, kw_only=True)
class ForeignEntry:
    """An entry of a registry whose plugin lives in another interpreter; it is used like `plugins.Entry`.

    Attributes:
        kind, name, origin: as there.
        factory: what its class declares, as attributes.
        asking: to whom questions go.
        told: what was told of it there; empty for the counterpart of a built-in plugin.
    """

    kind: str
    name: str
    origin: Source
    factory: Any = None
    asking: Asking = field(repr=False)
    told: Mapping[str, Any] = field(repr=False, default_factory=dict)

    @property
    def distribution(self) -> str | None:
        """The distribution that offers it."""
        return self.origin.distribution

    @property
    def version(self) -> str | None:
        """The version of that distribution."""
        return self.origin.version

    @property
    def description(self) -> str:
        """The first line of its docstring."""
        return self.told["text"].partition("\n")[0]

    @property
    def study(self) -> bool:
        """Whether it is a task that is a study."""
        return self.told["study"]

    def parameters(self) -> dict[str, Any]:
        """Its parameters with their defaults, as of `plugins.Entry`."""
        if fault := self.told["fault"]:
            raise CellError(fault["text"]) if fault.get("cell") else raised(fault)
        return {
            name: inspect.Parameter.empty if required else default
            for name, default, required in self.told["parameters"]
        }

    def completed(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Parameters as they are given, and those that its `presets` adds."""
        return self.asking.ask({"ask": "complete", "kind": self.kind, "name": self.name, "given": dict(given)})

    def build(self, **parameters: Any) -> StandIn:
        """A stand-in for an instance with these parameters; raises what the plugin raises."""
        declared = self.asking.ask({"ask": "build", "kind": self.kind, "name": self.name, "given": parameters})
        return StandIn(self.asking, self.kind, self.name, parameters, declared)


@dataclass(frozen=True)
class ForeignPlace:
    """Another interpreter, in which cells can be planned: a `plan.registry.Place`."""

    asking: Asking = field(repr=False)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ForeignPlace) and other.asking.interpreter == self.asking.interpreter

    def __hash__(self) -> int:
        return hash(self.asking.interpreter)

    def __str__(self) -> str:
        return f"the interpreter {self.asking.interpreter.path}"

    def entry_of(self, entry: Any) -> ForeignEntry:
        """The entry itself where it lives there, else the counterpart of a built-in one, to be completed and built there."""
        if isinstance(entry, ForeignEntry):
            return entry
        return ForeignEntry(kind=entry.kind, name=entry.name, origin=entry.origin, asking=self.asking)

    def instance_of(self, kind: str, name: str, parameters: Mapping[str, Any], instance: Any) -> StandIn:
        """A stand-in for what is built there; the one that there is, if it is one."""
        if isinstance(instance, StandIn):
            return instance
        declared = self.asking.ask({"ask": "build", "kind": kind, "name": name, "given": dict(parameters)})
        return StandIn(self.asking, kind, name, parameters, declared)


@dataclass(frozen=True)
class ThisPlace:
    """This interpreter, as the home of plugins that are installed here: a `plan.registry.Place`."""

    def __str__(self) -> str:
        return "this one"

    def entry_of(self, entry: Any) -> Any:
        """The entry itself."""
        return entry

    def instance_of(self, kind: str, name: str, parameters: Mapping[str, Any], instance: Any) -> Any:
        """The instance itself."""
        return instance
