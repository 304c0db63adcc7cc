"""What planning asks of a catalogue of plugins. `odebench.plugins` has the real one; planning never imports it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class Entry(Protocol):
    """One registered plugin of one kind."""

    @property
    def name(self) -> str:
        """Its registered name."""

    def parameters(self) -> Mapping[str, Any]:
        """Its parameters and their defaults, JSON values; `inspect.Parameter.empty` where one must be given."""

    def completed(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Parameters as they are given, and those whose values follow from them, such as those of a named recipe."""

    def build(self, **parameters: Any) -> Any:
        """An instance; raises `OdebenchError` for a wrong parameter."""


class Place(Protocol):
    """An interpreter in which plugins live; `str` names it in a sentence."""

    def entry_of(self, entry: Entry) -> Entry:
        """An entry as it is there: its own where it lives there, a built-in one's counterpart otherwise."""

    def instance_of(self, kind: str, name: str, parameters: Mapping[str, Any], instance: Any) -> Any:
        """An instance as it is there, of a plugin of which there is one that may be of another place."""


class Failure(Protocol):
    """A plugin that did not load."""

    @property
    def plugin(self) -> str:
        """Its entry point's name, which is also the prefix of its names."""

    @property
    def message(self) -> str:
        """What went wrong."""


class Registry(Protocol):
    """Plugins by kind ("solver", "gradient", "model", "task", "step_policy") and name."""

    @property
    def failures(self) -> Sequence[Failure]:
        """Plugins that did not load."""

    def failure_of(self, name: str) -> Failure | None:
        """The plugin that would have registered `name` had it loaded, if one is known to."""

    def names(self, kind: str) -> Sequence[str]:
        """The registered names of a kind."""

    def get(self, kind: str, name: str) -> Entry:
        """The entry of this name."""

    def places_of(self, kind: str, name: str, parameters: Mapping[str, Any]) -> frozenset[Place]:
        """Where a plugin, and those that its parameters name, live; empty where every interpreter has them."""
