"""A plan: every cell of a suite, in order, and those that are settled before they run."""

from __future__ import annotations

from dataclasses import dataclass

from odebench.outcome import Outcome
from odebench.plan.cell import Cell
from odebench.plan.suite import Suite
from odebench.records.record import PARTS


@dataclass(frozen=True, kw_only=True)
class PlannedCell:
    """A cell and what is known about it beforehand.

    Attributes:
        cell: the question.
        experiments: names of the experiments that ask it.
        outcome: None where it is to be run; `UNSUPPORTED`, `ERROR` or, where the cell that it needs is settled, `BLOCKED`.
        reason: why, as a sentence; None where it is to be run.
        parts: the parts of its record that are measured, as its task says.
    """

    cell: Cell
    experiments: tuple[str, ...]
    outcome: Outcome | None = None
    reason: str | None = None
    parts: tuple[str, ...] = PARTS


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All cells of a suite on one machine, each once, in the order of the suite.

    Attributes:
        suite: what was asked for.
        cells: unique by id.
    """

    suite: Suite
    cells: tuple[PlannedCell, ...]

    @property
    def runnable(self) -> tuple[PlannedCell, ...]:
        """The cells that are to be run."""
        return tuple(planned for planned in self.cells if planned.outcome is None)

    @property
    def settled(self) -> tuple[PlannedCell, ...]:
        """The cells that planning settled, each with its outcome and reason."""
        return tuple(planned for planned in self.cells if planned.outcome is not None)
