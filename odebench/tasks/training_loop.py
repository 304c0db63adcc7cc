"""A training at work: its iterations, its checkpoints, and what it found."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from odebench.contract import (
    Field,
    Findings,
    GridRequest,
    Learning,
    Progress,
    Setting,
    Solver,
    Tolerance,
    Trial,
    Unknown,
    Workplace,
)
from odebench.errors import DivergedError, IncompatibleError
from odebench.numerics.recomputation import Recomputation
from odebench.tasks.augmentation import AUGMENTATIONS
from odebench.tasks.batches import Batches
from odebench.tasks.checkpoint import (
    grid_from_plain,
    grid_to_plain,
    load_checkpoint,
    random_state,
    restore_random_state,
    save_checkpoint,
)
from odebench.tasks.evaluation import evaluate
from odebench.tasks.optimisation import build_optimiser, share_of
from odebench.tasks.trained import leave_training, step_length

if TYPE_CHECKING:
    from odebench.tasks.train import Train

#: Columns of the series after the iteration and the two that are named by model and grid; counts are whole numbers.
_COUNTS = ("nfe_forward", "nfe_backward", "nfe_checks")


class TrainingLoop:
    """A training at work. Everything that changes is in `_state`, which a checkpoint holds."""

    def __init__(self, task: Train, setting: Setting, workplace: Workplace, learning: Learning) -> None:
        self._task, self._setting, self._workplace, self._learning = task, setting, workplace, learning
        self._policy = workplace.policy
        self._device = learning.train.inputs.device
        self._modules = {"field": learning.field, "readout": learning.readout}
        self._batches = Batches(len(learning.train), task.batch, workplace.seed, self._device)
        self._iterations = task.epochs * self._batches.per_epoch if task.epochs else task.iterations
        self._augment = AUGMENTATIONS[task.augment]
        self._rows: list[tuple[float, ...]] = []
        self._begin_checks = 0
        self._notes: list[str] = []
        weights = [p for module in self._modules.values() for p in module.parameters() if p.requires_grad]
        if not weights:
            raise IncompatibleError("The model has no weight that requires a gradient, so there is nothing to train.")
        self._optimiser = build_optimiser(task.optimizer, weights, task.learning_rate, task.weight_decay, task.momentum)

    def run(self) -> str | None:
        """All iterations that are left; None, or why the training could not go on."""
        task, share = self._task, share_of(self._task.schedule, self._task.milestones)
        for module in self._modules.values():
            module.train()
        self._begin()
        saved = time.monotonic()
        started = time.perf_counter() - (self._rows[-1][-1] if self._rows else 0.0)
        for iteration in range(len(self._rows), self._iterations):
            rate = task.learning_rate * share(iteration, self._iterations)
            for group in self._optimiser.param_groups:
                group["lr"] = rate
            try:
                row = self._iterate(iteration)
            except DivergedError as error:
                return f"At iteration {iteration + 1}: {error}"
            spent, loss = time.perf_counter() - started, row[0]
            self._rows.append((*row, *self._tested(iteration, loss), spent))
            started = time.perf_counter() - spent
            if not math.isfinite(loss):
                return f"The loss of iteration {iteration + 1} is {loss}."
            self._workplace.tell(Progress(done=iteration + 1, total=self._iterations, loss=loss))
            if time.monotonic() - saved >= task.checkpoint_every_s:
                began = time.perf_counter()
                save_checkpoint(self._workplace, self._state())
                started += time.perf_counter() - began
                saved = time.monotonic()
        return None

    def _iterate(self, iteration: int) -> tuple[float, ...]:
        """One iteration; its row of the series but for the time. Nothing is changed where the loss is not finite."""
        learning, setting, evaluations = self._learning, self._setting, self._workplace.evaluations
        rows = self._batches.rows(iteration)
        inputs, targets = learning.train.inputs[rows], learning.train.targets[rows]
        if self._augment is not None:
            inputs = self._augment(inputs, self._workplace.seed, iteration)
        self._optimiser.zero_grad()
        before = evaluations()
        outputs = learning.answer(inputs, self._solve, setting.field)
        loss = learning.loss(outputs, targets)
        solved = evaluations()
        loss.backward()
        differentiated = evaluations()
        value, metric = loss.item(), learning.score(outputs.detach(), targets).mean().item()
        step, forward = self._step_length, solved - before
        if math.isfinite(value):
            self._at = (inputs, targets)
            grid = self._policy.after(Trial(metric=metric, evaluations=forward), self._attempt)
            self._optimiser.step()
            self._set_grid(grid)
        return value, metric, step, forward, differentiated - solved, evaluations() - differentiated

    def _tested(self, iteration: int, loss: float) -> tuple[float, ...]:
        """Loss and score on the test data, where they are due after this iteration; nan where not, nothing where they never are."""
        every, learning = self._task.evaluate_every * self._batches.per_epoch, self._learning
        if not every:
            return ()
        if not math.isfinite(loss) or ((iteration + 1) % every and iteration + 1 != self._iterations):
            return math.nan, math.nan
        try:
            with self._without_a_trace():
                found = evaluate(learning, self._setting.field, self._setting.solver, self._grid, learning.test)
        except DivergedError:
            return math.inf, math.nan
        return found.loss, found.metric

    def _solve(self, field: Field, z: Tensor) -> Tensor:
        setting = self._setting
        # A copy, so that what comes after it keeps a state, and not all the solution's states.
        return setting.gradient.solve(setting.solver, field, z, self._learning.ts, self._grid).y1.clone()

    def _attempt(self, solver: Solver, grid: GridRequest) -> Trial:
        """The present batch with the present weights, solved otherwise; leaves no trace."""
        learning, (inputs, targets) = self._learning, self._at
        metric, before = math.nan, self._workplace.evaluations()
        # That a solve goes astray is what the policy wants to know.
        with self._without_a_trace(), suppress(DivergedError):
            outputs = learning.answer(
                inputs, lambda field, z: solver.solve(field, z, learning.ts, grid).y1, self._setting.field
            )
            metric = learning.score(outputs, targets).mean().item()
        return Trial(metric=metric, evaluations=self._workplace.evaluations() - before)

    @contextmanager
    def _without_a_trace(self) -> Iterator[None]:
        """No gradients; afterwards random numbers and running statistics go on as if nothing had been."""
        parts = [part for module in self._modules.values() for part in module.modules()]
        circumstances = Recomputation(parts, self._device)
        mark = circumstances.mark()
        try:
            with torch.no_grad():
                yield
        finally:
            circumstances.restore(mark)

    def _begin(self) -> None:
        """Have the policy choose the first grid, and take up what an interrupted run left."""
        learning, setting, before = self._learning, self._setting, self._workplace.evaluations()
        inputs = learning.train.inputs[self._batches.rows(0)]
        torch.manual_seed(self._workplace.seed)
        with self._without_a_trace():
            field, z = self._first_block(inputs)
            grid = self._policy.begin(setting.solver, self._workplace.build_solver, field, z, learning.ts, setting.grid)
        self._set_grid(grid)
        self._begin_checks = self._workplace.evaluations() - before
        state = load_checkpoint(self._workplace, self._notes)
        if state is not None:
            self._load(state)

    def _first_block(self, inputs: Tensor) -> tuple[Field, Tensor]:
        """The field that is solved first, and where it starts."""
        asked: list[tuple[Field, Tensor]] = []

        def skip(field: Field, z: Tensor) -> Tensor:
            asked.append((field, z))
            return z

        self._learning.answer(inputs, skip, self._setting.field)
        return asked[0]

    def _set_grid(self, grid: GridRequest) -> None:
        self._grid = grid
        self._step_length = step_length(grid, self._learning.ts)

    def _state(self) -> dict[str, Any]:
        return {
            "rows": torch.tensor(self._rows, dtype=torch.float64),
            "begin_checks": self._begin_checks,
            "grid": grid_to_plain(self._grid),
            "policy": self._policy.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "random": random_state(self._device),
        } | {name: module.state_dict() for name, module in self._modules.items()}

    def _load(self, state: dict[str, Any]) -> None:
        for name, module in self._modules.items():
            module.load_state_dict(state[name])
        self._optimiser.load_state_dict(state["optimiser"])
        self._policy.load_state_dict(state["policy"])
        self._set_grid(grid_from_plain(state["grid"]))
        self._begin_checks = state["begin_checks"]
        self._rows = [tuple(row) for row in state["rows"].tolist()]
        restore_random_state(state["random"], self._device)

    def findings(self, diverged: str | None) -> Findings:
        """Columns and series; where it did not diverge, the final weights are evaluated and left for others."""
        values = self._costs()
        if diverged is None:
            try:
                values |= self._evaluate()
            except DivergedError as error:
                diverged = f"Training ended, and its whole data could not be answered: {error}"
        return Findings(values=values, series=self._series(), diverged=diverged, notes=tuple(self._notes))

    def _evaluate(self) -> dict[str, Any]:
        setting, learning = self._setting, self._learning
        found = {
            name: evaluate(learning, setting.field, setting.solver, self._grid, examples)
            for name, examples in (("train", learning.train), ("test", learning.test))
        }
        columns = {key: value for name, one in found.items() for key, value in one.columns(learning, name).items()}
        steps = found["test"].steps
        columns["steps_final"] = Unknown("The solver does not tell its steps.") if steps is None else steps
        columns["weights_sha256"] = leave_training(self._workplace, self._modules, self._grid, found["test"])
        return columns

    def _costs(self) -> dict[str, Any]:
        """What the iterations asked of the field, and the step that the policy chose last."""
        columns, done = self._columns(), len(self._rows)
        forward, checks = int(columns["nfe_forward"].sum()), int(columns["nfe_checks"].sum()) + self._begin_checks
        nothing = Unknown("It did not come through its first iteration.")
        return {
            "iterations": done,
            "parameters_trained": sum(p.numel() for group in self._optimiser.param_groups for p in group["params"]),
            "nfe_mean": (forward + checks) / done if done else nothing,
            "nfe_training": forward,
            "nfe_checks": checks,
            "time_iteration_s": self._rows[-1][-1] / done if done else nothing,
            f"{self._step_name}_final": self._step_length,
        }

    @property
    def _step_name(self) -> str:
        return "tolerance" if isinstance(self._grid, Tolerance) else "step_size"

    def _columns(self) -> dict[str, np.ndarray]:
        metric = self._learning.metric
        tested = ("loss_test", f"{metric}_test") if self._task.evaluate_every else ()
        names = ("loss", metric, self._step_name, *_COUNTS, *tested, "time_s")
        table = np.array(self._rows, dtype=np.float64).reshape(-1, len(names))
        columns = dict(zip(names, table.T, strict=True))
        return columns | {name: columns[name].astype(np.int64) for name in _COUNTS}

    def _series(self) -> dict[str, np.ndarray]:
        iterations = np.arange(1, len(self._rows) + 1)
        return {"iteration": iterations, "epoch": iterations / self._batches.per_epoch} | self._columns()
