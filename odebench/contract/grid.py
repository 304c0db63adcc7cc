"""How time is divided: what a user asks for (`StepSize`, `Tolerance`) and what a solve did (`Grid`)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from odebench.errors import GridError


@dataclass(frozen=True, kw_only=True)
class StepSize:
    """A uniform grid over [ts[0], ts[-1]]: by the number of steps, or by their size.

    Attributes:
        steps: number of equal steps over the whole span.
        step_size: length of a step in the problem's time unit, positive; the last step is shorter where it does not
            divide the span.
    """

    steps: int | None = None
    step_size: float | None = None

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.step_size is None):
            raise GridError(f"StepSize takes either steps or step_size; got {self}. Give exactly one.")
        if self.steps is not None and (not isinstance(self.steps, int) or self.steps < 1):
            raise GridError(f"StepSize: steps is {self.steps!r}; it must be a whole number of at least 1.")
        if self.step_size is not None and not (math.isfinite(self.step_size) and self.step_size > 0):
            raise GridError(f"StepSize: step_size is {self.step_size!r}; it must be positive and finite.")


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """Steps chosen by an error estimate: accepted where its norm, scaled by atol + rtol·max(|y0|, |y1|), is at most 1.

    Attributes:
        rtol: relative tolerance.
        atol: absolute tolerance, in the state's unit.
        batch: `joint`: one step size for the batch, the norm is the root mean square over all elements;
            `per-sample`: one for each row, the norm is that of the row.
        first_step: length of the first step; None takes Hairer, Nørsett, Wanner's heuristic (Solving ODEs I, II.4).
        min_step: a smaller step than this ends the solve in `DivergedError`; None takes 16 units in the last place of
            the times in float64.
        max_steps: more attempts than this end the solve in `DivergedError`.
        safety: factor on the step that the estimate would allow.
        min_factor: a step shrinks to no less than this share of the one before.
        max_factor: and grows to no more than this multiple.
        integral: exponent of the current error in the controller is `integral`/k, k the order of the local error.
        proportional: exponent of the previous error is `proportional`/k; 0 gives a purely integral controller.
        norm_elements: only the first so many elements of the (packed) state count in the norm; None counts all.
    """

    rtol: float
    atol: float
    batch: Literal["joint", "per-sample"] = "joint"
    first_step: float | None = None
    min_step: float | None = None
    max_steps: int = 100_000
    safety: float = 0.9
    min_factor: float = 0.2
    max_factor: float = 10.0
    integral: float = 0.85
    proportional: float = 0.2
    norm_elements: int | None = None

    def __post_init__(self) -> None:
        for name in ("rtol", "atol"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise GridError(f"Tolerance: {name} is {value!r}; it must be finite and at least 0.")
        if self.rtol == 0 and self.atol == 0:
            raise GridError("Tolerance: rtol and atol are both 0, which no step can meet. Give one of them.")
        if self.batch not in ("joint", "per-sample"):
            raise GridError(f"Tolerance: batch is {self.batch!r}; it must be 'joint' or 'per-sample'.")
        if self.max_steps < 1:
            raise GridError(f"Tolerance: max_steps is {self.max_steps!r}; it must be at least 1.")
        for name in ("first_step", "min_step"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise GridError(f"Tolerance: {name} is {value!r}; it must be positive and finite, or None.")
        if not 0 < self.min_factor < 1 < self.max_factor:
            raise GridError(
                f"Tolerance: min_factor {self.min_factor!r} and max_factor {self.max_factor!r} must lie on both sides of 1."
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class Grid:
    """The accepted steps of one solve, as data: solving on it repeats that solve.

    Attributes:
        t: start of each step, float64 on CPU, shape `(steps,)`; per sample `(steps, batch)`.
        dt: signed length of each step, same shape. Per sample, 0 where a row does not move in that step.
        end: where the last step ends; a Python float, so that no rounding of t + dt moves it.
    """

    t: Tensor
    dt: Tensor
    end: float

    @property
    def steps(self) -> int:
        """Number of steps."""
        return self.t.shape[0]

    @property
    def per_sample(self) -> bool:
        """Whether each row of the batch has steps of its own."""
        return self.t.dim() == 2


@dataclass(frozen=True, kw_only=True)
class TrainedStep:
    """The step, or the tolerance, with which the training that a cell needs ended, times `factor`: h = h_trained · factor.

    Attributes:
        factor: above 1 means longer steps, or a looser tolerance, than in the training.
    """

    factor: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.factor) and self.factor > 0):
            raise GridError(f"TrainedStep: factor is {self.factor!r}; it must be positive and finite.")


GridRequest = StepSize | Tolerance | Grid
