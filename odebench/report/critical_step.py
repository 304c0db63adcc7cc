"""The step up to which a trained model is a flow: beyond it, its answers depend on the solver that it was trained with."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

#: By how much a solver of no larger error may change the accuracy of a flow: two points.
THRESHOLD = 0.02


@dataclass(frozen=True, kw_only=True)
class StepFinding:
    """What was found of the models that were trained with one step.

    Attributes:
        step: with which they were trained, or their tolerance.
        seeds: how many models.
        worst: mean over them of the worst change of the accuracy, as a size: 0.02 is two points.
        spread: standard deviation of that over the seeds; None with one.
        largest: the worst change of all.
        holds: whether `worst` is at most the threshold.
    """

    step: float
    seeds: int
    worst: float
    spread: float | None
    largest: float
    holds: bool


@dataclass(frozen=True, kw_only=True)
class Critical:
    """The critical step.

    Attributes:
        step: the largest trained step at which the models are flows; None where there is none.
        findings: of all trained steps, the largest first.
        threshold: what was allowed.
    """

    step: float | None
    findings: tuple[StepFinding, ...]
    threshold: float

    @property
    def above(self) -> float | None:
        """The next larger trained step, at which they are not; None where the critical step is the largest of all."""
        larger = [one.step for one in self.findings if self.step is None or one.step > self.step]
        return min(larger, default=None)

    @property
    def exceptions(self) -> tuple[float, ...]:
        """Steps below the critical one at which the models are no flows all the same: a reason to train more seeds."""
        return tuple(
            one.step for one in self.findings if self.step is not None and one.step < self.step and not one.holds
        )


def worst_change(changes: Iterable[float]) -> float:
    """The change of largest size among those of one model, by solvers of no larger error; as a size."""
    return max(abs(change) for change in changes)


def critical_step(
    changes: Mapping[float, Mapping[Hashable, Sequence[float]]], threshold: float = THRESHOLD
) -> Critical:
    """The largest trained step whose mean worst change over the seeds is at most the threshold.

    Args:
        changes: for each trained step and each model, one a seed, by how much each solver whose error is no larger than that of the training's
            own changed the accuracy. A model with none counts for nothing.
        threshold: as a share: 0.02 is two points.
    """
    findings = []
    for step in sorted(changes, reverse=True):
        worst = np.array([worst_change(found) for found in changes[step].values() if len(found)])
        if len(worst):
            findings.append(
                StepFinding(
                    step=step,
                    seeds=len(worst),
                    worst=float(worst.mean()),
                    spread=float(worst.std(ddof=1)) if len(worst) > 1 else None,
                    largest=float(worst.max()),
                    # A mean of sums of hundredths: half a rounding more is no more.
                    holds=bool(worst.mean() <= threshold * (1 + 1e-9)),
                )
            )
    step = next((one.step for one in findings if one.holds), None)
    return Critical(step=step, findings=tuple(findings), threshold=threshold)
