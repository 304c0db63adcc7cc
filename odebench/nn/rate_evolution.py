"""Weights whose rate of change a user writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from odebench.contract import Solver, StepSize
from odebench.errors import IncompatibleError
from odebench.nn.evolution import Evolution, Weights


class RateEvolution(Evolution):
    """dw/dt = q(w; p) for any q, integrated by any solver.

    Args:
        rate: q. Called with one weight, it returns a tensor of its shape; `joint`, it is called with the tuple of all weights and
            returns a tuple. Where it is a module its parameters are p, and are trained.
        solver: a name, a table with parameters, or an instance.
        steps: uniform steps of the solver in each step of the weights.
        joint: the weights' rates depend on each other.
    """

    def __init__(
        self, rate: Callable[[Any], Any], *, solver: str | dict[str, Any] | Solver, steps: int = 1, joint: bool = False
    ) -> None:
        super().__init__()
        if isinstance(solver, Solver):
            self.solver = solver
        else:
            from odebench.api import build  # the names of solvers are known to plugins only

            self.solver = build("solver", solver)
        self.function, self.joint, self.grid = rate, joint, StepSize(steps=steps)

    def step(self, weights: Weights, dt: float | Tensor) -> Weights:
        """The solver's own steps over dt, under autograd."""
        if not self.solver.differentiable:
            raise IncompatibleError(
                f"Solver {self.solver.name!r} is opaque to autograd, so weights cannot evolve by it."
            )
        if dt == 0:
            return weights
        return self.solver.solve(self._field, weights, (0.0, float(dt)), self.grid).y1

    def rate(self, weights: Weights) -> Weights:
        """q(w; p)."""
        return tuple(self.function(weights)) if self.joint else tuple(self.function(w) for w in weights)

    def extra_repr(self) -> str:
        """What a printed network shows of it."""
        named = "" if isinstance(self.function, nn.Module) else f"{getattr(self.function, '__name__', self.function)}, "
        return f"{named}solver={self.solver.name!r}, steps={self.grid.steps}"

    def _field(self, t: Tensor, weights: Weights) -> Weights:
        return self.rate(weights)
