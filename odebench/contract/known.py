"""What the host knows about a problem, and how an answer is compared with it."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from odebench.contract.field import State
from odebench.contract.model import Problem
from odebench.errors import NotKnownError

TRUST = 10.0
"""An error below so many times the reference's own uncertainty says nothing about the answer."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Something known, and how well.

    Attributes:
        value: float64 on CPU: a state `(times, batch, *state)`, or 1-d gradients by name.
        uncertainty: bound on its relative l2 error, as measured; the worst over output times or names.
        method: how it was obtained, as a phrase.
    """

    value: State | dict[str, Tensor]
    uncertainty: float
    method: str

    @property
    def digits(self) -> float:
        """Decimal digits that the value is good for."""
        return -math.log10(self.uncertainty) if self.uncertainty > 0 else math.inf


@dataclass(frozen=True)
class Unknown:
    """Stands in a column that has no value, and says why."""

    reason: str


class Known(ABC):
    """What the host knows about one cell's problem and no plugin sees: asked for by `Task.judge`, computed when asked.

    Each method raises NotKnownError, with the reason, where there is nothing that deserves trust.

    Attributes:
        problem: the cell's problem: its output times are what an answer's are.
    """

    problem: Problem

    @abstractmethod
    def solution(self, ts: tuple[float, ...]) -> Reference:
        """The solution of the problem at `ts`, `(times, batch, *state)`.

        The problem is the cell's: its initial state and parameters are those rounded to the cell's dtype.
        """

    @abstractmethod
    def gradient(self) -> Reference:
        """Gradient of the loss of the continuous problem.

        `grad_y0` (all tensors of a tuple state, flattened and joined) and, where the field owns parameters that require
        a gradient, `grad_params` (in the order of `parameters_of`, flattened and joined).
        """

    @abstractmethod
    def discrete_gradient(self) -> Reference:
        """Exact gradient, computed in float64, of the loss of the discrete solution on the cell's own grid; same names."""


def relative_l2(got: State, expected: State) -> float:
    """‖got − expected‖ / ‖expected‖ in float64, over all elements of all tensors.

    0.0 where both are zero or have no elements; infinity where only `expected` is zero; nan where either is not finite.
    """
    got_leaves = got if isinstance(got, tuple) else (got,)
    leaves = expected if isinstance(expected, tuple) else (expected,)
    difference = scale = 0.0
    for left, right in zip(got_leaves, leaves, strict=True):
        left, right = left.detach().cpu().double(), right.detach().cpu().double()
        if left.shape != right.shape:
            raise ValueError(f"Shapes differ: {tuple(left.shape)} and {tuple(right.shape)}.")
        difference = math.hypot(difference, (left - right).norm().item())
        scale = math.hypot(scale, right.norm().item())
    if not (math.isfinite(difference) and math.isfinite(scale)):
        return math.nan
    if difference == 0.0:
        return 0.0
    return difference / scale if scale > 0.0 else math.inf


def relative_error(got: State, expected: State, uncertainty: float, method: str = "the reference") -> float:
    """`relative_l2` of an answer against what is known.

    Raises:
        NotKnownError: the answer is not finite, the expected value is zero, or the error is below `TRUST` times the
            uncertainty, so that it could be the reference's own.
    """
    error = relative_l2(got, expected)
    if math.isnan(error):
        raise NotKnownError("The answer is not finite.")
    if math.isinf(error):
        raise NotKnownError("The expected value is zero, so there is no relative error.")
    if error < TRUST * uncertainty:
        raise NotKnownError(
            f"Below {TRUST:g} times the reference's own uncertainty {uncertainty:.1e} (reference: {method})."
        )
    return error


def value_or_reason(compute: Callable[[], float]) -> float | Unknown:
    """What `compute` returns, or an `Unknown` with the reason for which it raised NotKnownError."""
    try:
        return compute()
    except NotKnownError as error:
        return Unknown(str(error))
