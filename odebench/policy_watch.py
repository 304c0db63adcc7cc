"""A step policy in anyone's training loop."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from odebench.api import Named, build
from odebench.contract import Field, Grid, GridRequest, Solver, State, StepPolicy, StepSize, Tolerance, Trial
from odebench.errors import GridError, IncompatibleError
from odebench.numerics.uniform import uniform_grid

Evaluate = Callable[[Solver, GridRequest], float | Tensor | Trial]
"""Called as `evaluate(solver, grid)`, without gradients: the metric of the iteration's batch, solved so."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """From when on another grid is used.

    Attributes:
        iterations: how many iterations had been when it was chosen; 0 for the first one.
        grid: the grid of the iterations that follow.
    """

    iterations: int
    grid: GridRequest


def step_policy(
    policy: Named | StepPolicy,
    *,
    solver: Named | Solver,
    span: Sequence[float] = (0.0, 1.0),
    grid: GridRequest | None = None,
) -> PolicyWatch:
    """Let a step policy choose the steps of your own training loop.

        watch = odebench.step_policy("step-adaptation", solver="euler")
        for inputs, targets in batches:
            answer = lambda solver, grid: readout(odebench.solve(field, inputs, (0, 1), solver=solver, grid=grid).y1)
            accuracy = lambda outputs: (outputs.argmax(1) == targets).float().mean()
            outputs = answer(watch.solver, watch.grid_for(field, inputs))
            loss(outputs, targets).backward()
            watch.after(
                metric=lambda: accuracy(outputs), evaluate=lambda solver, grid: accuracy(answer(solver, grid))
            )
            optimizer.step()

    Any loop that solves will do: `watch.step_size` (or `watch.tolerance`), and inside `evaluate` the solver's name and the grid's
    `step_size` (or `rtol` and `atol`), are what another library needs to be told.

    Args:
        policy: a name (`odebench list policies`), a table with parameters, or an instance.
        solver: what the training solves with; likewise.
        span: initial and final time of a solve.
        grid: the first grid; None lets the policy find it, where it can.

    Raises:
        UnknownNameError: no such policy or solver.
        IncompatibleError: the policy cannot work with this solver, or needs a grid and has none.
    """
    chosen = policy if isinstance(policy, StepPolicy) else build("step_policy", policy)
    solves = solver if isinstance(solver, Solver) else build("solver", solver)
    times = tuple(float(t) for t in span)
    if len(times) != 2 or not all(map(math.isfinite, times)) or times[0] == times[1]:
        raise GridError(f"span is {times}; it must be an initial and another final time, both finite.")
    if grid is not None and not isinstance(grid, StepSize | Tolerance | Grid):
        raise GridError(f"grid is a {type(grid).__name__}; it must be a StepSize, a Tolerance or a Grid.")
    if (reason := chosen.supports(solves)) is not None:
        raise IncompatibleError(f"step policy {chosen.name!r} cannot work with solver {solves.name!r}: {reason}")
    if grid is None and not chosen.chooses_first:
        raise IncompatibleError(f"step policy {chosen.name!r} does not find the first step by itself: give a grid.")
    return PolicyWatch(chosen, solves, times, grid)


class PolicyWatch:
    """Is told what each iteration gave, and answers with the grid of the next; made by `odebench.step_policy`.

    In each iteration: `grid_for(field, y0)` before the solve, `after(…)` after the backward pass and before the optimiser's step.

    Attributes:
        policy: the step policy.
        solver: what the training solves with.
        span: initial and final time of a solve.
        iterations: how many iterations there were.
        history: the first grid and each other one since, with the iterations before it.
    """

    def __init__(self, policy: StepPolicy, solver: Solver, span: tuple[float, float], grid: GridRequest | None) -> None:
        self.policy, self.solver, self.span = policy, solver, span
        self.iterations = 0
        self.history: list[Change] = []
        self._asked = grid
        self._begun = False
        self._remembered: dict[str, Any] | None = None
        self._evaluations: int | None = 0

    def grid_for(self, field: Field, y0: State) -> GridRequest:
        """The grid of this iteration, for `odebench.solve(…, grid=…)`; the first call lets the policy look at field and batch.

        Args:
            field: dy/dt, called as `field(t, y)`.
            y0: the batch's initial states, `(batch, *state)` or a tuple of such tensors.
        """
        if not self._begun:
            self._begin(field, y0)
        return self.grid

    def after(
        self,
        *,
        metric: float | Tensor | Callable[[], float | Tensor],
        evaluate: Evaluate,
        evaluations: int | None = None,
    ) -> GridRequest:
        """The grid of the next iteration.

        Args:
            metric: what the iteration's own solve gave on its batch: accuracy, loss, or any other figure. A tensor is read, and a
                function called, only in an iteration with a check.
            evaluate: the same figure on the same batch, with the weights as they are, of another solver or grid; called only in
                an iteration with a check. It returns nan, or lets `DivergedError` pass, where the solve fails. A `Trial` says
                besides how many evaluations it took. Where dropout or batch statistics would make two solves of one batch
                differ, let it switch the model to evaluation and back.
            evaluations: how many evaluations the own solve took; needed where the policy compares costs and steps are adaptive.

        Raises:
            IncompatibleError: `grid_for` has not been called yet, or the policy needs `evaluations`.
        """
        if not self._begun:
            raise IncompatibleError(
                f"step policy {self.policy.name!r} has seen no batch yet. Call grid_for(field, y0) before each solve."
            )
        value = _number(metric) if self.policy.due else math.nan
        grid = self.grid
        if evaluations is None:
            evaluations = self._cost(self.solver, grid)
        own = Trial(metric=value, evaluations=evaluations)
        following = self.policy.after(own, functools.partial(self._attempt, evaluate))
        self.iterations += 1
        if following is not grid and _to_json(following) != _to_json(grid):
            self.history.append(Change(iterations=self.iterations, grid=following))
        return following

    @property
    def grid(self) -> GridRequest:
        """The grid of the present iteration.

        Raises:
            IncompatibleError: the policy has seen no batch yet, and no grid was given.
        """
        if self.history:
            return self.history[-1].grid
        if self._asked is None:
            raise IncompatibleError(
                f"step policy {self.policy.name!r} finds the first step from a batch: call grid_for(field, y0) first."
            )
        return self._asked

    @property
    def due(self) -> bool:
        """Whether the next `after` looks at the metric, and may call `evaluate`."""
        return self.policy.due

    @property
    def step_size(self) -> float | None:
        """Length of a step in the unit of the span, the last one aside, which may be shorter; None where steps are not uniform."""
        if not isinstance(grid := self.grid, StepSize):
            return None
        whole = abs(self.span[1] - self.span[0])
        return whole / grid.steps if grid.steps is not None else min(grid.step_size, whole)

    @property
    def steps(self) -> int | None:
        """Number of steps of a solve; None where a tolerance decides."""
        grid = self.grid
        return None if isinstance(grid, Tolerance) else self._steps(grid)

    @property
    def tolerance(self) -> float | None:
        """The larger of the two tolerances; None where steps are not adaptive."""
        grid = self.grid
        return max(grid.rtol, grid.atol) if isinstance(grid, Tolerance) else None

    @property
    def evaluations(self) -> int | None:
        """Evaluations of the field that the policy took, those of the training not included.

        Each attempt counts what its `Trial` says, else steps times the solver's stages; None as soon as one could not be counted.
        One that ended in `DivergedError` counts nothing.
        """
        return self._evaluations

    def state_dict(self) -> dict[str, Any]:
        """All that is remembered, as JSON values: `load_state_dict` goes on from there, bit for bit."""
        remembered = self.policy.state_dict() if self._begun else self._remembered
        return {
            "policy": self.policy.name,
            "solver": self.solver.name,
            "span": list(self.span),
            "iterations": self.iterations,
            "evaluations": self._evaluations,
            "history": [[change.iterations, _to_json(change.grid)] for change in self.history],
            "remembered": remembered,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was called; costs no evaluation. The next `grid_for` lets the policy begin again.

        Raises:
            IncompatibleError: the state is that of another policy, solver or span, or it is none.
        """
        if missing := [name for name in self.state_dict() if name not in state]:
            raise IncompatibleError(
                f"This is no state of a step policy: it has no {', '.join(missing)}; its keys are {sorted(map(str, state))}. Give what "
                "`state_dict()` returned."
            )
        for name, here in (("policy", self.policy.name), ("solver", self.solver.name), ("span", list(self.span))):
            if state[name] != here:
                raise IncompatibleError(f"The state is one of {name} {state[name]!r}; here it is {here!r}.")
        self.iterations, self._evaluations = state["iterations"], state["evaluations"]
        self.history = [Change(iterations=count, grid=_from_json(grid)) for count, grid in state["history"]]
        self._remembered = state["remembered"]
        self._begun = False

    def _begin(self, field: Field, y0: State) -> None:
        calls = [0]
        # Begun again, it is given the grid that it chose then, and need not look for one.
        asked = self.history[0].grid if self.history else self._asked
        counted = functools.partial(_counting, calls, field)
        build_solver = functools.partial(build, "solver")
        first = self.policy.begin(self.solver, build_solver, counted, y0, self.span, asked)
        if self._remembered is not None:
            self.policy.load_state_dict(self._remembered)
        if not self.history:
            self.history.append(Change(iterations=0, grid=first))
        if self._evaluations is not None:
            self._evaluations += calls[0]
        self._begun, self._remembered = True, None

    def _attempt(self, evaluate: Evaluate, solver: Solver, grid: GridRequest) -> Trial:
        with torch.no_grad():
            told = evaluate(solver, grid)
        trial = told if isinstance(told, Trial) else Trial(metric=_number(told))
        cost = self._cost(solver, grid) if trial.evaluations is None else trial.evaluations
        self._evaluations = None if cost is None or self._evaluations is None else self._evaluations + cost
        return Trial(metric=_number(trial.metric), evaluations=cost)

    def _cost(self, solver: Solver, grid: GridRequest) -> int | None:
        """Evaluations of one solve, where they follow from the grid."""
        if isinstance(grid, Tolerance) or solver.stages is None:
            return None
        return self._steps(grid) * solver.stages

    def _steps(self, grid: StepSize | Grid) -> int:
        return grid.steps if isinstance(grid, Grid) else uniform_grid(grid, *self.span).steps


def _counting(calls: list[int], field: Field, t: Tensor, y: State) -> State:
    calls[0] += 1
    return field(t, y)


def _number(value: float | Tensor | Callable[[], float | Tensor]) -> float:
    value = value() if callable(value) else value
    return float(value.detach() if isinstance(value, Tensor) else value)


def _to_json(grid: GridRequest) -> dict[str, Any]:
    """A grid as JSON values."""
    if isinstance(grid, Grid):
        return {"t": grid.t.tolist(), "dt": grid.dt.tolist(), "end": grid.end}
    return dataclasses.asdict(grid)


def _from_json(data: dict[str, Any]) -> GridRequest:
    """The grid that `_to_json` wrote."""
    if "dt" in data:
        t, dt = (torch.tensor(data[name], dtype=torch.float64) for name in ("t", "dt"))
        return Grid(t=t, dt=dt, end=data["end"])
    return Tolerance(**data) if "rtol" in data else StepSize(**data)
