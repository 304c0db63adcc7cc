"""Where numerically computed trajectories of different classes cross, which those of the flow itself cannot."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from odebench.contract import Findings, GridRequest, Progress, Setting, Solver, StepSize, Study, Unknown, Workplace
from odebench.contract.learning import Learning
from odebench.errors import IncompatibleError
from odebench.numerics.crossings import Crossings, count_crossings
from odebench.tasks.evaluation import mean
from odebench.tasks.trained import load_training, step_length

#: Corners of a fine trajectory, and crossings, that are kept for figures; all of them are counted.
_CORNERS, _KEPT = 65, 10_000
#: The class that a crossing has in the series.
NO_CLASS = -1


class CountCrossings(Study):
    """Solve from test inputs with the weights of a training, and count where trajectories of different classes cross.

    Twice: with this cell's solver on its grid, and with a solver of higher order on a fine one, which shows the flow. Trajectories of
    an autonomous flow never cross, so what crosses on the cell's grid and not on the fine one was made by the step. A trajectory is
    the polyline through its states; where two of the flow lie closer than a chord bends, their chords can cross though they do not,
    so the fine count need not be 0, and falls with the step. A step that is too long can hide how fast the flow carries states away:
    on the fine grid a trajectory is followed until it leaves the region, twice as wide, that those of the cell's grid cover.

    Source: K. Ott, P. Katiyar, P. Hennig, M. Tiemann, "ResNet after all? Neural ODEs and their numerical solution", ICLR 2021,
    arXiv:2007.15386, section 3 and figure 2.
    """

    name = "crossings"
    needs_training = True

    def __init__(
        self, *, trajectories: int = 100, fine_steps: int = 1024, fine_solver: str | dict[str, Any] = "rk4"
    ) -> None:
        """Choose how much is solved.

        Args:
            trajectories: how many test inputs to start from, spread evenly over the test set.
            fine_steps: steps of the fine grid.
            fine_solver: takes them.
        """
        for name, value, least in (("trajectories", trajectories, 2), ("fine_steps", fine_steps, 1)):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise IncompatibleError(f"`{name}` is {value!r}; it must be a whole number of at least {least}.")
        self.trajectories, self.fine_steps, self.fine_solver = trajectories, fine_steps, fine_solver

    def run(self, setting: Setting, workplace: Workplace) -> Findings:
        """Load the weights, solve on both grids, and count."""
        learning = workplace.learning
        if learning is None or len(workplace.needed) != 1:
            raise IncompatibleError("Crossings need a model with data, and the training of exactly one cell.")
        rows, labels = self._chosen(learning)
        training = load_training(workplace.needed[0], learning)
        own_grid = training.grid_of(setting, learning.ts)
        before, made = workplace.evaluations(), []
        values: dict[str, Any] = {}
        with _at_rest(learning):
            fine_solver = workplace.build_solver(self.fine_solver)
            solves = ((setting.solver, own_grid), (fine_solver, StepSize(steps=self.fine_steps)))
            for done, (solver, grid) in enumerate(solves):
                workplace.tell(Progress(done=done, total=2))
                times, states = _polylines(solver, setting, learning, rows, grid)
                if not done:
                    values["nfe_forward"] = mean(workplace.evaluations() - before, 2)
                counted = states if not made else _until_gone(states, made[0][1])
                made.append((times, states, count_crossings(counted, labels)))
        own, fine = made[0][2], made[1][2]
        values |= {
            "steps_accepted": len(made[0][0]) - 1,
            "tolerance" if setting.solver.adaptive else "step_size": step_length(own_grid, learning.ts),
            "crossings": own.count,
            "crossings_fine": fine.count,
            "crossing_pairs": len(own.pairs.unique(dim=0)),
            "trajectories": len(rows),
        }
        astray = None if torch.isfinite(made[0][1]).all() else "A trajectory is not finite on the cell's own grid."
        if not torch.isfinite(made[1][1]).all():
            values["crossings_fine"] = Unknown("A trajectory is not finite on the fine grid.")
        return Findings(values=values, series=_series(made, labels), diverged=astray)

    def _chosen(self, learning: Learning) -> tuple[Tensor, Tensor]:
        """Initial states, spread over the test set, and the class of each."""
        test = learning.test
        if test.targets.is_floating_point() or test.targets.dim() != 1:
            raise IncompatibleError(
                "Crossings are counted between classes, and the targets of this model are values. Use a model that classifies."
            )
        elements = test.inputs[:1].numel()
        if elements != 2:
            raise IncompatibleError(
                f"Trajectories cross in a plane, and a state of this model has {elements} elements. Use data of dimension 2."
            )
        count = min(self.trajectories, len(test))
        rows = torch.linspace(0, len(test) - 1, count, device=test.inputs.device).round().long()
        return test.inputs[rows], test.targets[rows].cpu()


@contextmanager
def _at_rest(learning: Learning) -> Iterator[None]:
    """The field as it answers, not as it learns, and without a graph."""
    training = learning.field.training
    learning.field.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        learning.field.train(training)


def _polylines(
    solver: Solver, setting: Setting, learning: Learning, inputs: Tensor, grid: GridRequest
) -> tuple[Tensor, Tensor]:
    """Times of all steps, and the states there, `(times, batch, 2)`: a solve that tells its steps, and the same again on them."""
    field = setting.field
    steps = solver.solve(field, inputs, learning.ts, grid).grid
    if steps is None or steps.per_sample:
        which = "does not tell its steps" if steps is None else "takes steps of their own for each sample"
        raise IncompatibleError(
            f"Solver {solver.name!r} {which}, so there are no polylines to compare. Use another one."
        )
    times = torch.cat((steps.t, steps.t.new_tensor([steps.end])))
    states = solver.solve(field, inputs, tuple(times.tolist()), steps).ys
    return times, states.reshape(len(times), len(inputs), 2).double().cpu()


def _until_gone(states: Tensor, own: Tensor) -> Tensor:
    """Fine trajectories, nan after the first corner outside the rectangle, twice as wide, around those of the cell's own grid."""
    seen = own[torch.isfinite(own).all(-1)]
    low, high = (seen.amin(0), seen.amax(0)) if len(seen) else (states[0].amin(0), states[0].amax(0))
    outside = ((states - (low + high) / 2).abs() > high - low).any(-1)
    gone = outside.long().cummax(0).values.bool().roll(1, 0)
    gone[0] = False
    return torch.where(gone[..., None], torch.nan, states)


def _series(made: list[tuple[Tensor, Tensor, Crossings]], labels: Tensor) -> dict[str, np.ndarray]:
    """The trajectories of both grids, corner by corner, each followed by the crossings of its grid.

    Columns: `on_grid` ("own" or "fine"), `index` of the trajectory, its `class`, `time`, `x`, `y`, and `other`: the trajectory that
    it crosses there, where a row is a crossing, whose class is -1; else -1.
    """
    parts: list[dict[str, Any]] = []
    for word, (times, states, crossings) in zip(("own", "fine"), made, strict=True):
        stride = 1 if word == "own" else max(1, (len(times) - 1) // (_CORNERS - 1))
        corners = torch.unique(torch.cat((torch.arange(0, len(times), stride), torch.tensor([len(times) - 1]))))
        batch = states.shape[1]
        along = states[corners].transpose(0, 1).reshape(-1, 2)
        parts.append(
            {
                "on_grid": np.full(len(along), word),
                "index": np.repeat(np.arange(batch), len(corners)),
                "class": np.repeat(labels.numpy(), len(corners)),
                "time": np.tile(times[corners].numpy(), batch),
                "x": along[:, 0].numpy(),
                "y": along[:, 1].numpy(),
                "other": np.full(len(along), NO_CLASS),
            }
        )
        pairs, points = crossings.pairs[:_KEPT].numpy(), crossings.points[:_KEPT].numpy()
        parts.append(
            {
                "on_grid": np.full(len(pairs), word),
                "index": pairs[:, 0],
                "class": np.full(len(pairs), NO_CLASS),
                "time": np.full(len(pairs), np.nan),
                "x": points[:, 0],
                "y": points[:, 1],
                "other": pairs[:, 1],
            }
        )
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
