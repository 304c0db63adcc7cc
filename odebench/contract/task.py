"""What a task promises: which question a cell asks of its model, solver and gradient method."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from odebench.contract.field import Field, State
from odebench.contract.gradient import GradientMethod
from odebench.contract.grid import Grid, GridRequest, TrainedStep
from odebench.contract.known import Known, Unknown
from odebench.contract.model import Problem
from odebench.contract.solution import Stats
from odebench.contract.solver import Solver


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a task is given, in the measured process.

    Attributes:
        problem: the model's problem, already in the cell's dtype on its device. `problem.field` is opaque there: it can be
            called and tells its parameters, and that is all. So are the fields that a network hands to `solve`.
        solver: the solver.
        gradient: the gradient method, or None where the task needs none.
        grid: how time is divided; `TrainedStep` where that follows from a training, None where a step policy chooses.
    """

    problem: Problem
    solver: Solver
    gradient: GradientMethod | None
    grid: GridRequest | TrainedStep | None

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
        stats: what each solve told of itself.
        backward: starts the backward pass, which fills in `states` with gradients; None where there is none.
    """

    states: dict[str, Tensor] = field(default_factory=dict)
    grid: Grid | None = None
    accepted: int | None = None
    rejected: int | None = None
    stats: tuple[Stats, ...] = ()
    backward: Callable[[], None] | None = None


class Task(ABC):
    """A kind of question. Its parameters are the keyword arguments of `__init__`.

    Attributes:
        name: kebab-case, stable for ever.
        needs_gradient: whether a gradient method takes part.
        needs_training: whether a cell of it reads what the training of another cell left.
        takes_networks: whether it can ask a network of several ODE blocks.
        learns: whether a step policy takes part, and the model must have something to learn.
        default_policy: name of the step policy where the suite names none; None where it must.
        parts: the parts of a record that are measured.
    """

    name: str
    needs_gradient: ClassVar[bool] = False
    needs_training: ClassVar[bool] = False
    takes_networks: ClassVar[bool] = False
    learns: ClassVar[bool] = False
    default_policy: ClassVar[str | None] = None
    parts: ClassVar[tuple[str, ...]] = ("quality", "memory", "timing")

    @classmethod
    def presets(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """Parameters whose values follow from those that are given, such as those of a named recipe; they replace the defaults."""
        return {}

    @abstractmethod
    def forward(self, setting: Setting, y0: State) -> Answer:
        """Run the forward part from `y0`. This and `Answer.backward` are what is timed: nothing else belongs in them."""

    @abstractmethod
    def judge(self, answer: dict[str, Tensor], known: Known) -> dict[str, float | str | Unknown]:
        """Columns of a record from the answer's tensors and what is known; runs outside the measured process.

        `answer` is `Answer.states`, in float64 on CPU. A column without a value is an `Unknown` with the reason.
        """

    def series(self, answer: dict[str, Tensor]) -> dict[str, np.ndarray]:
        """Long columns to keep beside the record, equally long, such as the pixels of a small image; none by default.

        Called where `judge` is, with the same answer.
        """
        return {}
