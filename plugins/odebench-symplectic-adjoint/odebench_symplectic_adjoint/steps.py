"""The steps that the library takes: it tells nothing of them, and its solvers are asked at each attempt."""

from __future__ import annotations

import functools
import importlib
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

import odebench
from odebench.errors import DivergedError

# How the library's assertions about a solve begin. Any other assertion is somebody else's.
_DIVERGED = ("underflow in dt", "max_num_steps exceeded", "non-finite values in state")


class Steps:
    """The accepted steps of a forward solve. Times are kept as they come, and none is looked at before the solve is over.

    Args:
        most: more attempts than this, forward or backward, end the solve.
        start: when it begins.
        turned: whether time falls, so that the library solves in negated time.
    """

    def __init__(self, *, most: int, start: float, turned: bool) -> None:
        self._most, self._start, self._turned = most, start, turned
        self._ends: list[Tensor] = []
        self._attempts = self._accepted = 0
        self._over = False

    def attempt(self, before: Tensor, after: Tensor) -> None:
        """A step from `before` was tried and led to `after`, the same tensor where it was rejected.

        Raises:
            DivergedError: there were too many.
        """
        self._attempts += 1
        if self._attempts > self._most:
            raise DivergedError(f"symplectic-adjoint: {self._most} steps were not enough.")
        if after is not before and not self._over:
            self._ends.append(after)

    def told(self, stats: odebench.Stats) -> odebench.Grid:
        """The accepted steps, counted in `stats`; attempts from now on belong to the backward."""
        self._over = True
        ends = torch.stack(self._ends).detach().double().cpu()
        stats.accepted, stats.rejected = len(ends), self._attempts - len(ends)
        self._ends.clear()
        self._attempts = 0
        points = torch.cat([torch.tensor([self._start], dtype=torch.float64), -ends if self._turned else ends])
        return odebench.Grid(t=points[:-1], dt=points.diff(), end=points[-1].item())


@functools.lru_cache(maxsize=64)
def watched_method(library: ModuleType, method: str) -> str:
    """The name under which a solver of the library that tells its steps can be asked for.

    The library looks methods up in a table by name, forward and backward. It is loaded for odebench alone, so that a
    further entry there is in nobody's way.
    """
    solvers = importlib.import_module(f"{library.__name__}._impl.odeint").SOLVERS
    name = f"{method} for odebench"
    solvers[name] = _watched(solvers[method])
    return name


def _watched(base: type) -> type:
    class Watched(base):
        """A solver that tells each attempt, or takes the steps that it is given."""

        def __init__(self, *positional: Any, steps: Steps | None = None, given: bool = False, **named: Any) -> None:
            super().__init__(*positional, **named)
            self._steps = steps
            if given:  # the library steps from one time to the next where a tableau has no error estimate
                self.tableau = self.tableau._replace(c_error=None)

        def _adaptive_step(self, state: Any, next_t: Tensor | None = None) -> Any:
            try:
                after = super()._adaptive_step(state, next_t)
            except AssertionError as cause:
                if not str(cause).startswith(_DIVERGED):
                    raise
                raise DivergedError(
                    f"symplectic-adjoint: {str(cause)[:80]} at t = {float(state.t1):.6g}. The problem is stiff, its solution ends "
                    "there, or the tolerance is below the rounding of the state's dtype."
                ) from cause
            if self._steps is not None:
                self._steps.attempt(state.t1, after.t1)
            return after

    return Watched
