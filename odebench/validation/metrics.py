"""A score for each sample: higher is better, and the metric is the mean."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from odebench.contract import right_class
from odebench.errors import IncompatibleError, nearest

Score = Callable[[Tensor, Tensor], Tensor]
"""Takes outputs and targets of all samples, returns a score for each, `(samples,)`."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """What a model is judged by.

    Attributes:
        name: for the reader.
        score: see `Score`.
        answers: what the model answers, from outputs, `(samples,)`: two answers are the same or not. None where answers are
            values, not choices.
        percent: whether the reader wants it as a percentage.
    """

    name: str
    score: Score
    answers: Callable[[Tensor], Tensor] | None = None
    percent: bool = False

    def scores(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The score of each sample in float64, on CPU.

        Raises:
            IncompatibleError: the scores have another shape.
        """
        found = self.score(outputs, targets)
        if not isinstance(found, Tensor) or found.shape != targets.shape[:1]:
            got = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise IncompatibleError(
                f"metric {self.name!r} returned {got} for {len(targets)} samples with outputs {tuple(outputs.shape)}; it must "
                f"return one score for each sample, a tensor of shape ({len(targets)},)."
            )
        return found.detach().to(device="cpu", dtype=torch.float64)


def metric_of(wanted: str | Score | Metric | None, targets: Tensor) -> Metric:
    """The metric of a name or of a function.

    Args:
        wanted: "accuracy", "r2", a `Score`, or None: accuracy where targets are whole numbers, r2 elsewhere.
        targets: of all samples.

    Raises:
        IncompatibleError: there is no such metric.
    """
    if isinstance(wanted, Metric):
        return wanted
    if wanted is None:
        wanted = "r2" if targets.is_floating_point() else "accuracy"
    if callable(wanted):
        return Metric(name=getattr(wanted, "__name__", type(wanted).__name__), score=wanted)
    if wanted == "accuracy":
        return Metric(name="accuracy", score=right_answer, answers=answers_of, percent=True)
    if wanted == "r2":
        return Metric(name="r2", score=share_explained)
    near = nearest(str(wanted), ("accuracy", "r2"))
    hint = f"did you mean {near!r}? " if near else ""
    raise IncompatibleError(
        f"There is no metric {wanted!r}; {hint}Give 'accuracy', 'r2', or a function of outputs and targets that returns a score "
        "for each sample."
    )


def answers_of(outputs: Tensor) -> Tensor:
    """The class that logits choose, `(samples,)`: the largest of several, or the sign of a single one; -1 where not finite."""
    if outputs.dim() > 2:
        raise IncompatibleError(
            f"accuracy needs logits (samples, classes) or (samples,); the outputs have the shape {tuple(outputs.shape)}. "
            "Give a metric of your own: a function of outputs and targets that returns a score for each sample."
        )
    single = outputs.dim() == 1 or outputs.shape[1] == 1
    chosen = (outputs.reshape(-1) > 0).long() if single else outputs.argmax(1)
    finite = torch.isfinite(outputs).reshape(len(outputs), -1).all(1)
    return torch.where(finite, chosen, -1)


def right_answer(outputs: Tensor, targets: Tensor) -> Tensor:
    """1 where the class is right, else 0."""
    if targets.numel() != len(targets):
        raise IncompatibleError(
            f"accuracy needs one class for each sample; the targets have the shape {tuple(targets.shape)}."
        )
    targets = targets.reshape(-1)
    if outputs.dim() == 2 and outputs.shape[1] > 1 and not targets.is_floating_point():
        least, greatest = int(targets.min()), int(targets.max())
        if least < 0 or greatest >= outputs.shape[1]:
            raise IncompatibleError(
                f"accuracy: the targets go from {least} to {greatest}, and the model's outputs {tuple(outputs.shape)} know the classes "
                f"0 to {outputs.shape[1] - 1}. Give data of these classes, numbered as the model was trained."
            )
        return right_class(outputs, targets)
    return (answers_of(outputs) == targets).double()


def share_explained(outputs: Tensor, targets: Tensor) -> Tensor:
    """1 minus the squared error, in units of the targets' own variance: the mean over all samples is R²."""
    if outputs.numel() != targets.numel() or len(outputs) != len(targets):
        raise IncompatibleError(
            f"r2 compares outputs with targets, but their shapes are {tuple(outputs.shape)} and {tuple(targets.shape)}."
        )
    outputs, targets = (part.double().reshape(len(targets), -1) for part in (outputs, targets))
    variance = (targets - targets.mean(0)).square().sum(1).mean()
    if variance == 0:
        raise IncompatibleError("r2 means nothing where all targets are equal. Give a metric of your own.")
    return 1.0 - (outputs - targets).square().sum(1) / variance
