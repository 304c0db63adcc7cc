"""What a training leaves for the cells that need it: the final weights, the last grid, and its own answers to the test set."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor, nn

from odebench.contract import GridRequest, Learning, Setting, StepSize, Tolerance, TrainedStep, Workplace
from odebench.errors import IncompatibleError, MeasurementError
from odebench.tasks.checkpoint import Unreadable, digest, encoded, grid_from_plain, grid_to_plain, read
from odebench.tasks.evaluation import Evaluation

WEIGHTS, TRAINING = "weights.pt", "training.pt"

#: How close a number of steps must be to a whole one to be meant as that: 64 / 0.1 is 640, not 639 and a sliver.
_CLOSE = 1e-9


def leave_training(workplace: Workplace, modules: Mapping[str, nn.Module], grid: GridRequest, test: Evaluation) -> str:
    """Write state dicts and what else others need into the workplace's folder; returns the SHA-256 of the weights."""
    states = {
        name: {key: value.cpu() for key, value in module.state_dict().items()} for name, module in modules.items()
    }
    training = {
        "grid": grid_to_plain(grid),
        "loss": test.loss,
        "metric": test.metric,
        "outputs": test.outputs,
        "scores": test.scores,
    }
    workplace.write(TRAINING, encoded(training))
    workplace.write(WEIGHTS, encoded(states))
    return digest(states)


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A finished training.

    Attributes:
        grid: with which it ended.
        loss: over the whole test set, with its own solver and that grid.
        metric: likewise, the mean score.
        outputs, scores: likewise, of each example of the test set.
    """

    grid: GridRequest
    loss: float
    metric: float
    outputs: Tensor
    scores: Tensor

    def grid_of(self, setting: Setting, ts: Sequence[float]) -> GridRequest:
        """The grid that a setting asks for; a `TrainedStep` is the training's own step, or tolerance, times its factor.

        h = h_trained · factor, as the paper has it. Where that is a whole number of steps over `ts`, it is that number.

        Raises:
            IncompatibleError: a factor of a step for a solver that takes a tolerance, or the other way round; or no grid at all.
        """
        asked, solver = setting.grid, setting.solver
        if asked is None:
            raise IncompatibleError(
                "Nothing says how to divide time. Give `factor`, `steps`, `step_size` or `tolerance`."
            )
        if not isinstance(asked, TrainedStep):
            return asked
        factor, own = asked.factor, self.grid
        if isinstance(own, Tolerance):
            if not solver.adaptive:
                raise IncompatibleError(
                    f"The training ended with a tolerance, and solver {solver.name!r} takes fixed steps, so a factor of it means "
                    "nothing. Give `steps` or `step_size`."
                )
            return replace(own, rtol=own.rtol * factor, atol=own.atol * factor)
        if solver.adaptive or not isinstance(own, StepSize):
            what = "a step size" if isinstance(own, StepSize) else "a list of steps"
            raise IncompatibleError(
                f"The training ended with {what}, and solver {solver.name!r} cannot take a factor of that. Give `tolerance`, `steps` "
                "or `step_size`."
            )
        if own.step_size is not None:
            return StepSize(step_size=own.step_size * factor)
        steps = own.steps / factor
        if round(steps) >= 1 and abs(steps - round(steps)) < _CLOSE * steps:
            return StepSize(steps=round(steps))
        return StepSize(step_size=abs(ts[-1] - ts[0]) / own.steps * factor)


def step_length(grid: GridRequest, ts: tuple[float, ...]) -> float:
    """The step of a uniform grid over `ts`, or the tolerance; nan for steps that were given one by one."""
    if isinstance(grid, Tolerance):
        return grid.rtol
    if isinstance(grid, StepSize):
        span = abs(ts[-1] - ts[0])
        return span / grid.steps if grid.step_size is None else min(grid.step_size, span)
    return math.nan


def load_training(folder: Path, learning: Learning) -> Trained:
    """What the training in `folder` left; its weights are put into the modules of `learning`.

    Raises:
        MeasurementError: a file is missing or broken, or of another model.
    """
    weights, training = (_read(folder / name) for name in (WEIGHTS, TRAINING))
    try:
        learning.field.load_state_dict(weights["field"])
        learning.readout.load_state_dict(weights["readout"])
        device = learning.test.inputs.device
        return Trained(
            grid=grid_from_plain(training["grid"]),
            loss=training["loss"],
            metric=training["metric"],
            outputs=training["outputs"].to(device),
            scores=training["scores"].to(device),
        )
    except (RuntimeError, KeyError, TypeError) as error:
        said = " ".join(str(error).split())[:200]
        raise MeasurementError(
            f"{folder}: the training there is of another model ({said}). Delete that folder and run again."
        ) from error


def _read(file: Path) -> dict:
    try:
        return read(file)
    except FileNotFoundError as error:
        raise MeasurementError(f"{file}: is not there, so the training is not finished. Run again.") from error
    except Unreadable as error:
        raise MeasurementError(
            f"{file}: cannot be read ({error}). Delete it and run again: its training is done anew."
        ) from error
