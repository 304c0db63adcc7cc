"""A small registry of the same interface as the real one, without torch or any plugin."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from odebench.errors import PluginError, TableauError, UnknownNameError


class Integrate:
    needs_gradient = False


class Gradient:
    needs_gradient = True

    def __init__(self, loss: str = "mean-square") -> None:
        self.loss = loss


class Train:
    needs_gradient = True
    learns = True
    default_policy = "steady"
    parts = ("quality",)

    def __init__(self, iterations: int = 100) -> None:
        self.iterations = iterations


class Undetermined:
    """Learns, and leaves it to the suite by which step policy."""

    learns = True
    parts = ("quality",)


class Swap:
    needs_training = True
    parts = ("timing", "quality")


class Refine:
    """Goes on with a training."""

    needs_training = True
    learns = True
    default_policy = "steady"


class Steady:
    def supports(self, solver: Any) -> str | None:
        return None


class Adapting:
    """Finds the first step by itself, of solvers that take fixed ones."""

    chooses_first = True

    def __init__(self, threshold: float = 0.5) -> None:
        self.threshold = threshold

    def supports(self, solver: Any) -> str | None:
        return "It adapts fixed steps." if solver.adaptive else None


class Roaming:
    """Chooses for any solver."""

    chooses_first = True

    def supports(self, solver: Any) -> str | None:
        return None


class Fixture:
    can_learn = False


class LotkaVolterra:
    def __init__(self, alpha: float = 1.5, batch: int = 4) -> None:
        self.alpha, self.batch = alpha, batch


class MlpField:
    def __init__(self, width: int = 64, depth: int = 2, sizes: tuple[int, ...] = (2, 2)) -> None:
        if width < 1:
            raise ValueError("width must be at least 1")
        self.width = width


class Fixed:
    adaptive = False


class Midpoint:
    adaptive = False


class Pair:
    def __init__(self, adaptive: bool = True, safety: float = 0.9) -> None:
        self.adaptive = adaptive


class Exits:
    def __init__(self, limit: float = float("inf")) -> None:
        raise SystemExit(3)


class Quits:
    adaptive = False

    def __init__(self) -> None:
        raise SystemExit("no licence")


class Direct:
    def supports(self, solver: Any) -> str | None:
        return None


class OnlyFixed:
    def supports(self, solver: Any) -> str | None:
        return "It needs a fixed grid." if solver.adaptive else None


class Undecided:
    def supports(self, solver: Any) -> bool:
        return True


class Raising:
    def supports(self, solver: Any) -> None:
        raise RuntimeError("no idea")


class Wrapper:
    adaptive = False

    def __init__(self, base: str, depth: int = 1) -> None:
        self.base = base


class Picky:
    def __init__(self, order: int = 1) -> None:
        raise TableauError("Row 2 of `a` does not sum to c[2].")


class FakeEntry:
    def __init__(self, kind: str, name: str, factory: type) -> None:
        self.kind, self.name, self.factory = kind, name, factory
        self.built = 0

    def parameters(self) -> dict[str, Any]:
        signature = inspect.signature(self.factory)
        return {name: p.default for name, p in signature.parameters.items() if p.kind is p.POSITIONAL_OR_KEYWORD}

    def completed(self, given: dict[str, Any]) -> dict[str, Any]:
        return given | getattr(self.factory, "presets", lambda given: {})(given)

    def build(self, **parameters: Any) -> Any:
        self.built += 1
        if unknown := parameters.keys() - self.parameters().keys():
            raise PluginError(f"no parameter {unknown}")
        return self.factory(**parameters)


@dataclass(frozen=True)
class FakeFailure:
    plugin: str
    message: str
    names: tuple[str, ...] = ()


@dataclass
class FakeRegistry:
    entries: dict[tuple[str, str], FakeEntry] = field(default_factory=dict)
    failures: list[FakeFailure] = field(default_factory=list)

    def names(self, kind: str) -> list[str]:
        return [name for known, name in self.entries if known == kind]

    def failure_of(self, name: str) -> FakeFailure | None:
        prefix, slash, _ = name.partition("/")
        return next((f for f in self.failures if name in f.names or (slash and f.plugin == prefix)), None)

    def get(self, kind: str, name: str) -> FakeEntry:
        if (kind, name) not in self.entries:
            raise UnknownNameError(kind, name, self.names(kind))
        return self.entries[kind, name]

    def places_of(self, kind: str, name: str, parameters: dict[str, Any]) -> frozenset[Any]:
        return frozenset()


@pytest.fixture(scope="session")
def catalogue() -> Callable[..., FakeRegistry]:
    """Makes a registry of every plugin above; its arguments are plugins that did not load, with their messages."""

    def make(**failures: str) -> FakeRegistry:
        offered = {
            "task": {
                "integrate": Integrate,
                "gradient": Gradient,
                "train": Train,
                "undetermined": Undetermined,
                "swap": Swap,
                "refine": Refine,
            },
            "model": {"lotka-volterra": LotkaVolterra, "mlp-field": MlpField, "fixture": Fixture},
            "step_policy": {"steady": Steady, "adapting": Adapting, "roaming": Roaming},
            "solver": {
                "euler": Fixed,
                "midpoint": Midpoint,
                "dopri5": Pair,
                "infinite": Exits,
                "quits": Quits,
                "picky": Picky,
                "wrapper": Wrapper,
            },
            "gradient": {"direct": Direct, "only-fixed": OnlyFixed, "undecided": Undecided, "raising": Raising},
        }
        entries = {
            (kind, name): FakeEntry(kind, name, factory)
            for kind, plugins in offered.items()
            for name, factory in plugins.items()
        }
        return FakeRegistry(entries, [FakeFailure(plugin, message, ("alone",)) for plugin, message in failures.items()])

    return make
