"""What a validation found, as data."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from odebench.validation.critical import CriticalStep


class Verdict(StrEnum):
    """What a model is; the value is how one says it."""

    FLOW = "a flow"
    TIED = "tied to its solver"
    UNDECIDED = "undecided"


@dataclass(frozen=True, kw_only=True)
class Tried:
    """The model under one solver: its own, or one that was tried instead.

    Attributes:
        solver: name.
        division: how it divided time, in words: "16 steps", "tolerance 0.001".
        steps: steps of a solve, where they are fixed.
        step_size: the longest of them, in the model's unit of time.
        rtol, atol: the tolerance, where there is one.
        finer: how many times finer than the model's own division.
        order: of the solver.
        metric: the mean score over all samples; None where the solve failed.
        change: of the mean score from the model's own solver, paired by sample.
        low, high: ends of its interval.
        changed_answers: samples that are answered differently, where answers are choices.
        error: relative l2 error of the states on the rows on which errors are measured; None where unknown.
        judged: whether it counts for the verdict: its error is equal to that of the model's own solver or smaller.
        place: "inside" the threshold, "outside", or "across" one of its ends; None where not judged.
        samples_needed: how many samples would decide it, as these spread; None where no number would.
        evaluations: calls of the field for one sample's solve, of all calls of a forward together.
        failure: why it gave nothing, or None.
    """

    solver: str
    division: str
    steps: int | None = None
    step_size: float | None = None
    rtol: float | None = None
    atol: float | None = None
    finer: int = 1
    order: int
    metric: float | None = None
    change: float | None = None
    low: float | None = None
    high: float | None = None
    changed_answers: int | None = None
    error: float | None = None
    judged: bool = False
    place: str | None = None
    samples_needed: int | None = None
    evaluations: int | None = None
    failure: str | None = None

    @property
    def label(self) -> str:
        """Solver and division in words."""
        return f"{self.solver}, {self.division}"


@dataclass(frozen=True, kw_only=True)
class PhaseCrossings:
    """Crossings between trajectories of different classes in a 2-d state space, under the model's own solver.

    Attributes:
        trajectories: how many were followed.
        count: crossings.
        pairs: pairs of trajectories that cross.
    """

    trajectories: int
    count: int
    pairs: int


@dataclass(frozen=True, kw_only=True)
class Validation:
    """Whether a model is a flow, and what says so.

    Attributes:
        verdict: a `Verdict`.
        sentence: the verdict with its reason.
        model: what was validated.
        metric: name of the metric.
        percent: whether the metric is a share that is read as a percentage.
        samples: how many samples were scored.
        threshold: the largest change that counts as none, in the metric's unit.
        level: of the intervals.
        own: the model under its own solver.
        tried: the model under each other solver.
        samples_needed: how many samples would decide, where the verdict is undecided and a number would.
        error_rows: on how many rows numerical errors were measured.
        reference: what errors were measured against, in words.
        uncertainty: of that, relative; None where there is no reference.
        crossings: for 2-d states with classes; None elsewhere.
        notes: what a reader has to know besides.
        critical: the critical step, where training code was given.
    """

    verdict: Verdict
    sentence: str
    model: str
    metric: str
    percent: bool
    samples: int
    threshold: float
    level: float
    own: Tried
    tried: tuple[Tried, ...]
    samples_needed: int | None
    error_rows: int
    reference: str
    uncertainty: float | None
    crossings: PhaseCrossings | None
    notes: tuple[str, ...] = ()
    critical: CriticalStep | None = None

    @property
    def table(self) -> pd.DataFrame:
        """A row for the model's own solver and for each that was tried; columns as `Tried` says, and `label`."""
        import pandas as pd

        return pd.DataFrame([{"label": one.label, **asdict(one)} for one in (self.own, *self.tried)])

    @property
    def worst_change(self) -> float:
        """The largest absolute change under a solver that is judged; 0 where none is."""
        return max((abs(one.change) for one in self.tried if one.judged and one.change is not None), default=0.0)

    def to_json(self) -> dict[str, Any]:
        """Everything, as tables, lists, numbers and words; what is not finite is None."""
        told = {**asdict(self), "verdict": self.verdict.value, "worst_change": self.worst_change}
        if self.critical is not None:
            told["critical"]["sentence"] = self.critical.sentence
        return _plain(told)

    def write_page(self, path: str | Path) -> Path:
        """Write the page with the figure; one file that needs nothing from anywhere."""
        from odebench.report.validation import write_page

        return write_page(self.to_json(), Path(path))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
