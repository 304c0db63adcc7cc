"""What a run tells whoever watches it."""

from __future__ import annotations

from dataclasses import dataclass, field

from odebench.outcome import Outcome
from odebench.plan.cell import Cell


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a run is.

    Attributes:
        done: parts that are finished in this run, those that need not run any more included.
        total: parts that this run has to do.
        elapsed_s: since the run began.
        remaining_s: estimated wall time until it ends.
    """

    done: int
    total: int
    elapsed_s: float
    remaining_s: float


@dataclass(frozen=True, kw_only=True)
class RunStarted:
    """A run begins.

    Attributes:
        cells: cells of the plan.
        kept: cells of which everything is measured already.
        settled: cells that planning settled, unsupported ones for example.
    """

    cells: int
    kept: int
    settled: int
    progress: Progress


@dataclass(frozen=True, kw_only=True)
class PartStarted:
    """A process was asked for a part.

    Attributes:
        cell: of this cell.
        part: "quality", "memory" or "timing".
        round: number of the timing round; None for the others.
    """

    cell: Cell
    part: str
    round: int | None
    progress: Progress


@dataclass(frozen=True, kw_only=True)
class PartFinished:
    """A part was measured and is stored.

    Attributes:
        cell: of this cell.
        part: "quality", "memory" or "timing".
        round: number of the timing round; None for the others.
        outcome: how it ended.
        reason: why, where it is not `OK`.
        seconds: wall time it took.
    """

    cell: Cell
    part: str
    round: int | None
    outcome: Outcome
    reason: str | None
    seconds: float
    progress: Progress


@dataclass(frozen=True, kw_only=True)
class PartProgress:
    """A part that takes its time is so far.

    Attributes:
        cell: of this cell.
        part: "quality".
        done, total: of what it counts, such as iterations.
        loss: the latest loss, where there is one.
        remaining_s: estimated wall time until the part ends; None where nothing says so yet.
    """

    cell: Cell
    part: str
    done: int
    total: int
    loss: float | None
    remaining_s: float | None
    progress: Progress


@dataclass(frozen=True, kw_only=True)
class Notice:
    """Something that the user should know, and that costs no cell.

    Attributes:
        text: a sentence.
    """

    text: str
    progress: Progress


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """How a run went.

    Attributes:
        cells: cells of the plan.
        outcomes: how many cells ended in each outcome, over all of the plan.
        measured: parts that this run measured; what another run left ready is none.
        seconds: wall time of the run.
        overhead_s: median wall time of a part, from its request to its record, beyond the measuring itself; None where none ran.
        failures: id, outcome and reason of each cell that is not `OK`.
    """

    cells: int
    outcomes: dict[Outcome, int]
    measured: int
    seconds: float
    overhead_s: float | None
    failures: list[tuple[Cell, Outcome, str | None]] = field(default_factory=list)


Event = RunStarted | PartStarted | PartProgress | PartFinished | Notice
