"""The critical step: the largest one a model can be trained with and still be a flow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from odebench.api import Named
from odebench.contract import Solver
from odebench.errors import IncompatibleError
from odebench.report.critical_step import critical_step as largest_passing
from odebench.validation.check import validate
from odebench.validation.options import Tell
from odebench.validation.verdict import Said

Train = Callable[[int, int], Any]
"""Called as `train(steps, seed)`; returns a trained model, or a pair of it and the data to validate it on."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """One trained model.

    Attributes:
        steps: with which it was trained.
        seed: likewise.
        verdict: of its validation, in words.
        metric: its mean score under its own solver.
        worst_change: the largest absolute change under a solver of equal or smaller measured error.
    """

    steps: int
    seed: int
    verdict: str
    metric: float
    worst_change: float


@dataclass(frozen=True, kw_only=True)
class CriticalStep:
    """Which step is the critical one, and the trainings that say so.

    Attributes:
        steps: of the largest step whose mean worst change over seeds is at most the threshold; None where no step's is.
        step_size: the step itself, in the model's unit of time.
        threshold: the largest mean worst change that counts as none.
        means: for each number of steps the mean worst change over seeds.
        trainings: one for each number of steps and seed, the largest step first; none is left out, whatever it scores.
        percent: whether the metric is a share that is read as a percentage.
    """

    steps: int | None
    step_size: float | None
    threshold: float
    means: dict[int, float]
    trainings: tuple[Training, ...]
    percent: bool = False

    @property
    def sentence(self) -> str:
        """What was found, for a reader."""
        seeds = len({training.seed for training in self.trainings})
        over = f"over {seeds} seeds" if seeds > 1 else "of one seed"
        said = Said(self.percent).difference
        if self.steps is None:
            return f"No step that was tried is fine enough: the mean worst change {over} is above {said(self.threshold)} for all of them."
        finer = [steps for steps, mean in self.means.items() if steps > self.steps and mean > self.threshold]
        but = f" Finer steps do worse again, though: {', '.join(map(str, finer))}." if finer else ""
        return (
            f"The critical step is that of {self.steps} steps: the largest whose mean worst change {over} is at most "
            f"{said(self.threshold)}: it is {said(self.means[self.steps])}.{but}"
        )


def critical_step(
    train: Train,
    data: Any = None,
    *,
    steps: Sequence[int],
    seeds: Sequence[int] = (0, 1, 2),
    solver: Named | Solver | None = None,
    threshold: float = 0.02,
    tell: Tell | None = None,
    **options: Any,
) -> CriticalStep:
    """Train with each number of steps and each seed, validate each model, and find the largest step that still gives flows.

    A step passes where the mean over seeds of the worst change is at most the threshold; the worst change of a model is the largest
    absolute one under a solver whose measured error is that of its own or smaller. Models that learnt little count like all others:
    look at their `metric`.

    Args:
        train: called as `train(steps, seed)`; returns a trained model, or a pair of it and the data to validate it on.
        data: as for `odebench.validate`; not needed where `train` returns them.
        steps: numbers of steps to train with.
        seeds: to train with.
        solver: as for `odebench.validate`, needed where the model shows its field.
        threshold: in the metric's unit.
        tell: is told in words what is being done.
        options: as for `odebench.validate`.

    Raises:
        IncompatibleError: no steps, no seeds, or what `odebench.validate` raises.
    """
    if not steps or not seeds:
        raise IncompatibleError("critical_step needs at least one number of steps and one seed.")
    for number in steps:
        if not isinstance(number, int) or number < 1:
            raise IncompatibleError(f"steps holds {number!r}; numbers of steps are whole and at least 1.")
    tell = tell or (lambda words: None)
    trainings, lengths, percent = [], {}, False
    for number in sorted(set(steps), reverse=True):
        for seed in seeds:
            tell(f"training with {number} steps, seed {seed}")
            made = train(number, seed)
            model, own_data = (
                made if isinstance(made, tuple) and len(made) == 2 and isinstance(made[0], nn.Module) else (made, data)
            )
            how = {} if solver is None else {"solver": solver, "steps": number}
            found = validate(model, own_data, threshold=threshold, **how, **options)
            lengths[number], percent = found.own.step_size, found.percent
            trainings.append(
                Training(
                    steps=number,
                    seed=seed,
                    verdict=found.verdict.value,
                    metric=found.own.metric,
                    worst_change=found.worst_change,
                )
            )
    # The rule is the report's, over steps as shares of the span.
    changes = {
        1.0 / number: {one.seed: (one.worst_change,) for one in trainings if one.steps == number} for number in lengths
    }
    critical = largest_passing(changes, threshold)
    least = None if critical.step is None else round(1.0 / critical.step)
    means = {round(1.0 / one.step): one.worst for one in critical.findings}
    return CriticalStep(
        steps=least,
        step_size=None if least is None else lengths[least],
        threshold=threshold,
        means=means,
        trainings=tuple(sorted(trainings, key=lambda training: training.steps)),
        percent=percent,
    )
