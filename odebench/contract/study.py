"""What a study promises: a task that takes its time, is at home in a folder, and knows itself how well it went."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from odebench.contract.field import State
from odebench.contract.known import Known, Unknown
from odebench.contract.learning import Learning
from odebench.contract.policy import StepPolicy
from odebench.contract.solver import Solver
from odebench.contract.task import Answer, Setting, Task
from odebench.errors import IncompatibleError

CHECKPOINT = "checkpoint"
"""Files of a study's folder whose names begin so are removed once its work is done."""


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
        learning: the model's data, weights and score, in the cell's dtype on its device. Its field is the module itself, for its
            weights and its mode; what is solved is the setting's field, which is the same one, opaque and counted. Its network hands
            such fields to `solve`. None where the model has nothing to learn.
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

    def write(self, name: str, content: bytes) -> None:
        """Replace a file of `folder`: whoever reads it, and whatever is killed, finds all of the old one or all of the new one."""
        temporary = self.folder / f".{name}.{os.getpid()}.tmp"
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self.folder / name)


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What a `Study` found.

    Attributes:
        values: columns of the record; one without a value is an `Unknown` with the reason.
        series: columns of equal length, such as the loss of each iteration, by name.
        diverged: why the work went astray, as a sentence, where it did: the cell ends as diverged, with these values and series.
        notes: what went otherwise than it should and is worth telling, as sentences.
    """

    values: dict[str, Any]
    series: dict[str, np.ndarray] = field(default_factory=dict)
    diverged: str | None = None
    notes: tuple[str, ...] = ()


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
