"""How well a model answers all of a set, each example counted once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from odebench.contract import Examples, Field, GridRequest, Learning, Solver, Unknown

#: Examples that are solved together: as many as fit into so many elements of the state, and never more than the second number.
_ELEMENTS, _ROWS = 2**20, 1024


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Answers to all of a set.

    Attributes:
        outputs: the model's, `(examples, …)`, on CPU.
        scores: of each example, `(examples,)`, on CPU.
        loss: the mean over all examples.
        passes: how many times the model was called; the last time perhaps with fewer examples.
        solves: how many solves that took: one each time, or one for each block of a network.
        accepted: accepted steps of all of them; None where the solver does not tell.
    """

    outputs: Tensor
    scores: Tensor
    loss: float
    passes: int
    solves: int
    accepted: int | None

    @property
    def steps(self) -> int | None:
        """Accepted steps of a solve, the mean over all solves; None where the solver does not tell."""
        return None if self.accepted is None else mean(self.accepted, self.solves)

    @property
    def metric(self) -> float:
        """The mean score over all examples: a batch that is not full counts for what is in it."""
        return self.scores.double().mean().item()

    def columns(self, learning: Learning, which: str) -> dict[str, Any]:
        """`loss_<which>` and `<metric>_<which>`; for the test set also how many answers were right, of how many."""
        found: dict[str, Any] = {f"loss_{which}": self.loss, f"{learning.metric}_{which}": self.metric}
        if which == "test":
            whole = bool(((self.scores == 0) | (self.scores == 1)).all())
            right = int(self.scores.sum()) if whole else Unknown("Its answers are not just right or wrong.")
            found |= {"correct_test": right, "examples_test": len(self.scores)}
        return found


def mean(total: int, count: int) -> int:
    """`total / count` as the nearest whole number: a column of counts holds nothing else, and alike solves give one anyway."""
    return round(total / count)


def evaluate(learning: Learning, field: Field, solver: Solver, grid: GridRequest, examples: Examples) -> Evaluation:
    """Answer all of `examples` with `solver` on `grid`, without gradients, and put modules back in the mode that they were in.

    Args:
        learning: readout, loss and score.
        field: what is solved; a network brings its own fields.
        solver: with what.
        grid: how time is divided.
        examples: in the order in which they are answered.

    Raises:
        DivergedError: as `Solver.solve`.
    """
    modules = (learning.field, learning.readout)
    training = [module.training for module in modules]
    rows = max(1, min(_ROWS, _ELEMENTS // max(1, examples.inputs[:1].numel())))
    outputs, scores, losses, stats = [], [], [], []
    tells = True

    def solve(one: Field, z: Tensor) -> Tensor:
        nonlocal tells
        solution = solver.solve(one, z, learning.ts, grid)
        stats.append(solution.stats)
        tells = tells and (solution.grid is not None or bool(solution.stats.accepted))
        return solution.y1

    try:
        for module in modules:
            module.eval()
        with torch.no_grad():
            for first in range(0, len(examples), rows):
                part = examples[slice(first, first + rows)]
                answered = learning.answer(part.inputs, solve, field)
                outputs.append(answered.cpu())
                scores.append(learning.score(answered, part.targets).cpu())
                losses.append(learning.loss(answered, part.targets).item() * len(part))
    finally:
        for module, mode in zip(modules, training, strict=True):
            module.train(mode)
    return Evaluation(
        outputs=torch.cat(outputs),
        scores=torch.cat(scores),
        loss=sum(losses) / len(examples),
        passes=len(outputs),
        solves=len(stats),
        accepted=sum(one.accepted for one in stats) if tells else None,
    )
