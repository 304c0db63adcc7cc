"""One question of a plan, and the identity that its content gives it. Standard library only: it crosses to the worker."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from odebench.errors import OdebenchError

#: Digits of a hash that identify a cell, a machine or a freshness: 64 bits, no clash in any folder of records.
ID_LENGTH = 16


class CellError(OdebenchError):
    """Data that describes no cell: a value that JSON cannot hold, a missing or an unknown key."""


def plain(value: Any, where: str = "value") -> Any:
    """A deep copy of `value` made of JSON's own types: tuples become lists.

    Raises:
        CellError: something in it is not JSON (an object, a key that is no string, infinity, NaN); `where` leads its path.
    """
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise CellError(
                f"`{where}` is {value}, which JSON cannot hold. Use a finite number, or leave the parameter out."
            )
        return float(value)
    if isinstance(value, list | tuple):
        return [plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise CellError(
                    f"`{where}` has the key {key!r}, which is no string. JSON's keys are strings: rename it."
                )
        return {key: plain(item, f"{where}.{key}") for key, item in value.items()}
    raise CellError(
        f"`{where}` is a {type(value).__name__}, which JSON cannot hold. Parameters are numbers, strings, booleans, lists and tables."
    )


def canonical_json(value: Any) -> str:
    """The one text of `value`: keys sorted, no spaces, floats by `repr`, ASCII. Equal questions have equal texts."""
    return json.dumps(plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def texts_in(value: Any) -> Iterator[str]:
    """Every string in a value, at any depth: a wrapper is told its base by name."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from texts_in(item)


def short_hash(text: str) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of `text`."""
    return hashlib.sha256(text.encode()).hexdigest()[:ID_LENGTH]


class _ByContent:
    """Equality and hash by canonical JSON: 1, 1.0 and True are three questions, though Python calls them equal."""

    def to_json(self) -> dict[str, Any]:
        raise NotImplementedError

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return canonical_json(self.to_json()) == canonical_json(other.to_json())

    def __hash__(self) -> int:
        return hash(canonical_json(self.to_json()))


@dataclass(frozen=True, kw_only=True, eq=False)
class Choice(_ByContent):
    """A plugin and what it is built with.

    Attributes:
        name: its registered name.
        parameters: all of its parameters, defaults included; JSON values, not to be changed.

    Raises:
        CellError: a parameter that JSON cannot hold.
    """

    name: str
    parameters: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "parameters", plain(self.parameters, self.name))

    def to_json(self) -> dict[str, Any]:
        """`{"name": …, "parameters": {…}}`."""
        return {"name": self.name, "parameters": plain(self.parameters)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Choice:
        """The choice that `to_json` wrote; raises `CellError` for anything else."""
        _check_keys(data, {"name", "parameters"}, set(), "a choice")
        return cls(**data)

    def __str__(self) -> str:
        if not self.parameters:
            return self.name
        return f"{self.name}({', '.join(f'{key}={value!r}' for key, value in self.parameters.items())})"


@dataclass(frozen=True, kw_only=True, eq=False)
class Cell(_ByContent):
    """One point of an experiment. Frozen; its content is its identity.

    Attributes:
        task, model, solver: what is asked of what.
        gradient: the gradient method, or None where the task needs none.
        grid: `{"steps": 64}`, `{"step_size": 0.1}` (the problem's time unit), `{"rtol": 1e-6, "atol": 1e-6, "batch": "joint"}`, or
            `{"factor": 0.5}`: that multiple of the step or tolerance with which the training that it needs ended. Empty where the
            step policy chooses, and where the experiment offers the solver none, which is never run.
        device: as torch names it: "cpu", "cuda", "cuda:0", "mps".
        dtype: "float32", ….
        threads: threads of the measured process.
        seed: of the model's problem.
        needs: ids of the cells whose artefacts this one reads.
        policy: the step policy, or None where the task does not learn.
        compile: whether solves run in the compiled engine; "auto": where they can.
    """

    task: Choice
    model: Choice
    solver: Choice
    gradient: Choice | None
    grid: dict[str, Any]
    device: str
    dtype: str
    threads: int
    seed: int
    needs: tuple[str, ...] = ()
    policy: Choice | None = None
    compile: bool | Literal["auto"] = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "grid", plain(self.grid, "grid"))
        object.__setattr__(self, "needs", tuple(self.needs))

    @property
    def id(self) -> str:
        """16 hexadecimal digits that hash the content."""
        return short_hash(canonical_json(self.to_json()))

    @property
    def choices(self) -> dict[str, Choice]:
        """The plugins that take part, by kind: "task", "model", "solver" and, where there is one, "gradient" and "step_policy"."""
        kinds = {
            "task": self.task,
            "model": self.model,
            "solver": self.solver,
            "gradient": self.gradient,
            "step_policy": self.policy,
        }
        return {kind: choice for kind, choice in kinds.items() if choice is not None}

    def to_json(self) -> dict[str, Any]:
        """The cell as JSON values; `from_json` reads it back. Keys "policy" and "compile" are there only where they say something."""
        data = {
            "task": self.task.to_json(),
            "model": self.model.to_json(),
            "solver": self.solver.to_json(),
            "gradient": None if self.gradient is None else self.gradient.to_json(),
            "grid": plain(self.grid),
            "device": self.device,
            "dtype": self.dtype,
            "threads": self.threads,
            "seed": self.seed,
            "needs": list(self.needs),
        }
        policy = {} if self.policy is None else {"policy": self.policy.to_json()}
        return data | policy | ({} if self.compile is False else {"compile": self.compile})

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Cell:
        """The cell that `to_json` wrote.

        Raises:
            CellError: a key is missing, unknown, or holds what no cell holds.
        """
        keys = {
            "task",
            "model",
            "solver",
            "gradient",
            "grid",
            "device",
            "dtype",
            "threads",
            "seed",
        }
        _check_keys(data, keys, {"needs", "policy", "compile"}, "a cell")
        choices = {kind: Choice.from_json(data[kind]) for kind in ("task", "model", "solver")}
        others = {kind: Choice.from_json(data[kind]) for kind in ("gradient", "policy") if data.get(kind) is not None}
        rest = {key: data[key] for key in ("grid", "device", "dtype", "threads", "seed")}
        rest |= {"compile": data["compile"]} if "compile" in data else {}
        return cls(**{"gradient": None} | choices | others | rest, needs=tuple(data.get("needs", ())))


def _check_keys(data: Any, required: set[str], optional: set[str], what: str) -> None:
    if not isinstance(data, dict):
        raise CellError(f"{data!r} is not {what}: expected a JSON object with {', '.join(sorted(required))}.")
    if missing := sorted(required - data.keys()):
        raise CellError(f"{what} lacks {', '.join(missing)}: {data!r}. Write it with `to_json`.")
    if unknown := sorted(data.keys() - required - optional):
        raise CellError(
            f"{what} has no key {', '.join(unknown)}. Its keys are {', '.join(sorted(required | optional))}."
        )
