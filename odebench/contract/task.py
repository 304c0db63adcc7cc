"""What a task promises: which question a cell asks of its model, solver and gradient method."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from odebench.contract.field import Field, State
from odebench.contract.gradient import GradientMethod
from odebench.contract.grid import Grid, GridRequest
from odebench.contract.known import Known, Unknown
from odebench.contract.learning import Learning
from odebench.contract.model import Problem
from odebench.contract.policy import StepPolicy
from odebench.contract.solver import Solver
from odebench.errors import IncompatibleError


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a task is given, in the measured process.

    Attributes:
        problem: the model's problem, already in the cell's dtype on its device. `problem.field` is opaque there: it can be
            called and tells its parameters, and that is all.
        solver: the solver.
        gradient: the gradient method, or None where the task needs none.
        grid: how time is divided.
    """

    problem: Problem
    solver: Solver
    gradient: GradientMethod | None
    grid: GridRequest

    @property
    def field(self) -> Field:
        """The vector field."""
        return self.problem.field


@dataclass(kw_only=True)
class Answer:
    """What one run of a task gave.

    Attributes:
        states: tensors by name, for the judge: `ys`, `grad_y0`, …; tuple states as `ys.0`, `ys.1`, ….
        grid: the steps that were taken, where the solver tells.
        accepted: accepted steps, where the solver tells.
        rejected: rejected steps, where the solver tells.
        backward: starts the backward pass, which fills in `states` with gradients; None where there is none.
    """

    states: dict[str, Tensor] = field(default_factory=dict)
    grid: Grid | None = None
    accepted: int | None = None
    rejected: int | None = None
    backward: Callable[[], None] | None = None


class Task(ABC):
    """A kind of question. Its parameters are the keyword arguments of `__init__`.

    Attributes:
        name: kebab-case, stable for ever.
        needs_gradient: whether a gradient method takes part.
        needs_training: whether a cell of it reads what the training of another cell left.
        learns: whether a step policy takes part, and the model must have something to learn.
        default_policy: name of the step policy where the suite names none; None where it must.
        parts: the parts of a record that are measured.
    """

    name: str
    needs_gradient: ClassVar[bool] = False
    needs_training: ClassVar[bool] = False
    learns: ClassVar[bool] = False
    default_policy: ClassVar[str | None] = None
    parts: ClassVar[tuple[str, ...]] = ("quality", "memory", "timing")

    @abstractmethod
    def forward(self, setting: Setting, y0: State) -> Answer:
        """Run the forward part from `y0`. This and `Answer.backward` are what is timed: nothing else belongs in them."""

    @abstractmethod
    def judge(self, answer: dict[str, Tensor], known: Known) -> dict[str, float | str | Unknown]:
        """Columns of a record from the answer's tensors and what is known; runs outside the measured process.

        `answer` is `Answer.states`, in float64 on CPU. A column without a value is an `Unknown` with the reason.
        """


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a long piece of work is.

    Attributes:
        done, total: of what it counts, such as iterations.
        loss: the latest loss, where there is one.
    """

    done: int
    total: int
    loss: float | None = None


@dataclass(frozen=True, kw_only=True)
class Workplace:
    """What a `Study` is given beside its setting.

    Attributes:
        learning: the model's data, weights and score, in the cell's dtype on its device; its field is the one in the setting,
            opaque and counted. None where the model has nothing to learn.
        policy: the cell's step policy; None where none takes part.
        build_solver: gives the solver of a name or of a table.
        folder: what is written here is kept, and found by the cells that need this one. Files of an interrupted run are there
            again.
        needed: the folders of the cells that this one needs.
        seed: the cell's.
        evaluations: how often the field was called so far, by the host's count.
        tell: says how far the work is; cheap, to be called as often as one likes.
    """

    learning: Learning | None
    policy: StepPolicy | None
    build_solver: Callable[[str | dict[str, Any]], Solver]
    folder: Path
    needed: tuple[Path, ...]
    seed: int
    evaluations: Callable[[], int]
    tell: Callable[[Progress], None]


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What a `Study` found.

    Attributes:
        values: columns of the record; one without a value is an `Unknown` with the reason.
        series: columns of equal length, such as the loss of each iteration, by name.
    """

    values: dict[str, Any]
    series: dict[str, np.ndarray] = field(default_factory=dict)


class Study(Task):
    """A task that takes its time and knows itself how well it went: it is neither timed nor judged, and has no memory part."""

    parts = ("quality",)

    @abstractmethod
    def run(self, setting: Setting, workplace: Workplace) -> Findings:
        """Do all of it. May be killed at any moment, and is then called again with the same folder."""

    def forward(self, setting: Setting, y0: State) -> Answer:
        """A study has no part to be timed."""
        raise IncompatibleError(f"Task {self.name!r} is a study: it is run as a whole.")

    def judge(self, answer: dict[str, Tensor], known: Known) -> dict[str, float | str | Unknown]:
        """A study has no answer to be judged."""
        raise IncompatibleError(f"Task {self.name!r} is a study: it judges itself.")
