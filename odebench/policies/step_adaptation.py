"""A step as long as the answers allow: it grows while a more accurate solver gives the same metric, and shrinks where not."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

from odebench.contract import Field, GridRequest, Solver, State, StepPolicy, StepSize, Trial, Try
from odebench.errors import IncompatibleError
from odebench.policies.checking import BuildSolver, checking_solver, checking_step
from odebench.policies.comparison import Comparison, tried
from odebench.policies.first_step import RowNorm, first_step
from odebench.policies.parameters import check_number, check_whole

# Rounding of step / span and back must not count as a step more.
_SLACK = 1e-9


class StepAdaptation(StepPolicy):
    """Adapts a uniform step h, so that the model stays a flow at the fewest evaluations.

    Every `check_every` iterations the batch is solved again by a more accurate test solver:

    * Where the metric differs by more than `threshold`, h shrinks by `shrink`; the weights stay, and the training goes on. Where
      that would take more than `max_steps` steps, the number of steps becomes the mean of the present one and `max_steps`; at
      `max_steps` h stays, with a warning.
    * Otherwise `grow` times h is tried on the batch, no more than `largest_step`, and kept where its metric agrees with that of
      the test solver.

    A metric that is not finite, and a solve that raises DivergedError, agree with nothing: in the test it is a violation, in the
    trial of a longer step a refusal. Where the iteration's own metric is not finite, no test is needed.

    The test solver takes the longest step h_test <= h with h_test^q <= h^p / `accuracy_factor`; p is the order of the training's
    solver, q >= p that of the test solver, steps are measured in spans.

    The first step is the one that is asked for, or else comes from the heuristic of Hairer, Nørsett and Wanner, with the mean
    over the batch of the norm of a row, over all axes of the state (the published code looks at the last axis only); neither
    takes more than `max_steps` steps.

    Cost in evaluations, with s evaluations a step: 2 for the heuristic; s_test * ceil(span / h_test) for each check, and where it
    agrees and h can grow, s * ceil(span / h_longer) besides.

    Args:
        check_every: iterations from one check to the next.
        threshold: largest difference of the metric that counts as agreement.
        comparison: "absolute", or "relative": as a share of the larger of the two metrics.
        shrink: factor on the step after a violation.
        grow: factor that is tried after an agreement.
        accuracy_factor: how many times smaller the error of the test should be.
        max_steps: most steps of one solve of the training.
        largest_step: the longest step, as a share of the span.
        test_solver: a name, or a table with a name; None takes midpoint for order 1, rk4 for orders 2 and 3, and the training's
            own solver, on shorter steps, from order 4 on and for implicit ones.
        norm: of the heuristic: "plain" as published, or "weighted": the textbook's, by norm_atol + norm_rtol |y0|.
        norm_rtol, norm_atol: of the weighted norm.

    Source: K. Ott, P. Katiyar, P. Hennig, M. Tiemann, "ResNet After All? Neural ODEs and Their Numerical Solution", ICLR 2021,
    arXiv:2007.15386, Algorithm 2, in the details of the authors' code, which tries the longer step before it takes it.
    """

    name = "step-adaptation"
    chooses_first = True

    def __init__(
        self,
        *,
        check_every: int = 50,
        threshold: float = 0.1,
        comparison: str = "absolute",
        shrink: float = 0.5,
        grow: float = 1.1,
        accuracy_factor: float = 50.0,
        max_steps: int = 500,
        largest_step: float = 1.0,
        test_solver: str | dict[str, Any] | None = None,
        norm: str = "plain",
        norm_rtol: float = 1e-3,
        norm_atol: float = 1e-3,
    ) -> None:
        check_whole("check_every", check_every, 1)
        check_whole("max_steps", max_steps, 1)
        check_number("shrink", shrink, above=0.0, below=1.0)
        check_number("grow", grow, above=1.0)
        check_number("accuracy_factor", accuracy_factor, least=1.0)
        check_number("largest_step", largest_step, above=0.0, most=1.0)
        if largest_step * max_steps < 1.0 - _SLACK:
            raise IncompatibleError(
                f"`largest_step` is {largest_step:g} and `max_steps` {max_steps}: so few steps of that length do not reach the end."
            )
        self.check_every = check_every
        self.comparison = Comparison(threshold=threshold, by=comparison)
        self.shrink, self.grow = shrink, grow
        self.accuracy_factor = accuracy_factor
        self.max_steps, self.largest_step = max_steps, largest_step
        self.test_solver = test_solver
        self.norm = RowNorm(kind=norm, rtol=norm_rtol, atol=norm_atol)
        self._iterations = 0

    def begin(
        self,
        solver: Solver,
        build_solver: BuildSolver,
        field: Field,
        y0: State,
        ts: Sequence[float],
        grid: GridRequest | None,
    ) -> GridRequest:
        """The step that was asked for, or that of the heuristic; as `StepPolicy.begin` says."""
        self._solver = solver
        self._checking = checking_solver(solver, self.test_solver, build_solver)
        self._span = abs(float(ts[-1]) - float(ts[0]))
        if grid is None:
            share = first_step(field, y0, ts, solver.order, self.norm)
            self._step = self._span * min(max(share, 1.0 / self.max_steps), self.largest_step)
        else:
            self._step = self._asked(grid)
        self._iterations = 0
        return self._grid(self._step)

    @property
    def due(self) -> bool:
        """Whether the next iteration is one with a check."""
        return (self._iterations + 1) % self.check_every == 0

    def after(self, own: Trial, attempt: Try) -> GridRequest:
        """The same step, or in an iteration with a check what follows from it; as `StepPolicy.after` says."""
        due = self.due
        self._iterations += 1
        if due:
            self._step = self._checked(own.metric, attempt)
        return self._grid(self._step)

    def state_dict(self) -> dict[str, Any]:
        """The step in the problem's time unit, and how many iterations there were."""
        return {"iterations": self._iterations, "step_size": self._step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """As `StepPolicy.load_state_dict` says."""
        self._iterations, self._step = state["iterations"], state["step_size"]

    def _asked(self, grid: GridRequest) -> float:
        """The length of a step that is asked for, no longer than the span."""
        if not isinstance(grid, StepSize):
            raise IncompatibleError(
                f"Step policy 'step-adaptation' adapts a uniform step and was given a {type(grid).__name__}. Give steps or a step "
                "size, or nothing, and it finds the first step itself."
            )
        step = self._span / grid.steps if grid.steps is not None else min(grid.step_size, self._span)
        if not (1.0 - _SLACK) / self.max_steps <= step / self._span <= self.largest_step * (1.0 + _SLACK):
            raise IncompatibleError(
                f"Step policy 'step-adaptation': the first step is {step:g} in a span of {self._span:g}; `max_steps` = "
                f"{self.max_steps} and `largest_step` = {self.largest_step:g} allow {self._span / self.max_steps:g} to "
                f"{self._span * self.largest_step:g}. Ask for another step, or change these parameters."
            )
        return step

    def _grid(self, step: float) -> StepSize:
        return StepSize(step_size=step)

    def _checked(self, metric: float, attempt: Try) -> float:
        """The step after a check of one whose metric this is."""
        test = math.nan
        if math.isfinite(metric):
            share = checking_step(
                self._step / self._span, self._solver.order, self._checking.order, self.accuracy_factor
            )
            # The very same step where it need not be shorter, not what is left of it after a division.
            step = self._step if share == self._step / self._span else share * self._span
            test = tried(attempt, self._checking, self._grid(step)).metric
        if not self.comparison.agree(metric, test):
            return self._shorter()
        longer = min(self.grow * self._step, self.largest_step * self._span)
        if longer > self._step and self.comparison.agree(tried(attempt, self._solver, self._grid(longer)).metric, test):
            return longer
        return self._step

    def _shorter(self) -> float:
        steps = self._span / self._step
        if steps / self.shrink <= self.max_steps * (1.0 + _SLACK):
            return self.shrink * self._step
        if math.ceil(steps * (1.0 - _SLACK)) >= self.max_steps:
            warnings.warn(
                f"Step policy 'step-adaptation': the metric still depends on the solver with {self.max_steps} steps, and "
                "`max_steps` allows no more.",
                RuntimeWarning,
                stacklevel=4,
            )
        if math.floor(steps * (1.0 + _SLACK)) >= self.max_steps:
            return self._step
        return self._span * 2.0 / (steps + self.max_steps)
