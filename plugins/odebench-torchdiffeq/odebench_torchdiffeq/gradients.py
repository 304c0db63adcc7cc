"""torchdiffeq's ways to a gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torchdiffeq
from torch import Tensor

import odebench
from odebench.contract import Field, GridRequest, Solver, State, parameters_of
from odebench.errors import IncompatibleError
from odebench_torchdiffeq.grids import GridPoints, points_of
from odebench_torchdiffeq.solver import Request, TorchdiffeqSolver

# Methods that a backward solve can be given, by torchdiffeq's names.
FIXED = frozenset({"euler", "midpoint", "heun2", "heun3", "rk4"})
ADAPTIVE = frozenset({"adaptive_heun", "fehlberg2", "bosh3", "dopri5", "dopri8"})


class TorchdiffeqGradient(odebench.GradientMethod):
    """What torchdiffeq does with its own solvers."""

    source: ClassVar[str] = "R. T. Q. Chen et al., NeurIPS 2018, arXiv:1806.07366; torchdiffeq 0.2.5"

    def supports(self, solver: Solver) -> str | None:
        """torchdiffeq's own solvers only."""
        if not isinstance(solver, TorchdiffeqSolver):
            return (
                f"It calls torchdiffeq, which solves with its own methods; {solver.name!r} is none of them. Use it with "
                "torchdiffeq/… solvers."
            )
        return None


class Direct(TorchdiffeqGradient):
    """Autograd through `odeint`, exactly as torchdiffeq offers it.

    With steps that are given it is the exact gradient of the discrete solution. With error control torchdiffeq differentiates
    its choice of the first step too, and thus where all steps lie: the gradient differs from the one that takes the steps as
    constants by about the tolerance. odebench's `direct` on the same solver gives that one.
    """

    name: ClassVar[str] = "torchdiffeq/direct"
    exact_for_discretisation = False
    memory = "O(N s)"
    twice_differentiable = True

    def supports(self, solver: Solver) -> str | None:
        """torchdiffeq's own solvers that autograd can pass."""
        if (reason := super().supports(solver)) is None and not solver.differentiable:
            return f"Solver {solver.name!r} leaves torch, and autograd cannot follow. Use torchdiffeq/adjoint."
        return reason

    def solve(
        self,
        solver: Solver,
        field: Field,
        y0: State,
        ts: Sequence[float],
        grid: GridRequest,
        inputs: tuple[Tensor, ...] = (),
    ) -> odebench.Solution:
        """As `odebench.GradientMethod.solve` says; inputs need no declaration."""
        return solver.run(field, y0, ts, grid)


class Adjoint(TorchdiffeqGradient):
    """`odeint_adjoint`: the adjoint equation is solved backward in time with the same solver; no graph is kept.

    The state, its adjoint and the gradients of all parameters and inputs are one system, and all of it counts in the error
    norm. At output times the state starts again from the stored one. Gradients that are zero because a parameter is not used
    are tensors of zeros, not None. Noise in the field is drawn anew in the backward: torchdiffeq does not say so. A
    nan in the backward passes the error norm, and ends in torchdiffeq's AssertionError or as the gradient.

    Args:
        method: torchdiffeq's name of the method of the backward solve, `adjoint_method`; None takes that of the forward one. A
            method of fixed steps goes back over given steps; a pair needs a tolerance.
        rtol, atol: tolerances of the backward solve; None takes those of the forward one.
    """

    name: ClassVar[str] = "torchdiffeq/adjoint"
    exact_for_discretisation = False
    memory = "O(1)"
    known_failures: ClassVar[dict[str, str]] = {
        "check_nothing_is_left_alive": "The graph keeps the points of the grid for the way back: 328 bytes with 40 steps, "
        "as long as the outputs are kept.",
        "check_random_masks_are_repeated": "torchdiffeq draws dropout anew on the way back and does not say so: a derivative "
        "of 11.4 where the masks of the forward pass give -0.54.",
        "check_generator_is_left_where_the_forward_pass_left_it": "Masks are drawn on the way back.",
        "check_batch_statistics_are_updated_once": "torchdiffeq evaluates the field in training mode on the way back: "
        "36 updates of the running statistics for 18 evaluations forward.",
        "check_autocast_is_repeated": "torchdiffeq computes the way back outside of autocast: in float32, and a gradient in y0 "
        "that is 1.4e-3 off (1.2e-3 with the seminorm).",
        "check_gradients_of_gradients": "torchdiffeq records no graph on the way back and does not refuse: a second "
        "derivative of 8.2 where finite differences give -498.",
    }

    def __init__(self, *, method: str | None = None, rtol: float | None = None, atol: float | None = None) -> None:
        if method is not None and method not in FIXED | ADAPTIVE:
            names = ", ".join(sorted(FIXED | ADAPTIVE))
            raise IncompatibleError(f"{self.name}: method is {method!r}; it must be one of {names}.")
        self.method, self.rtol, self.atol = method, rtol, atol

    def solve(
        self,
        solver: Solver,
        field: Field,
        y0: State,
        ts: Sequence[float],
        grid: GridRequest,
        inputs: tuple[Tensor, ...] = (),
    ) -> odebench.Solution:
        """As `odebench.GradientMethod.solve` says.

        Raises:
            IncompatibleError: in the backward, where the field uses a tensor that is neither its own nor among the inputs.
        """
        wanted = {id(tensor): tensor for tensor in (*parameters_of(field), *inputs) if tensor.requires_grad}
        declared = tuple(wanted.values())

        def call(request: Request) -> tuple[Callable[..., State], dict[str, Any]]:
            chosen = request.tolerance is not None or request.grid is None
            options = request.adjoint_options
            if self.method is not None:
                chosen = self.method in ADAPTIVE
                options = self._options_of_method(request, rising=ts[-1] > ts[0])
            return torchdiffeq.odeint_adjoint, {
                "adjoint_params": declared,
                "adjoint_method": self.method,
                "adjoint_rtol": self.rtol if chosen else None,
                "adjoint_atol": self.atol if chosen else None,
                "adjoint_options": options | self.norm(),
            }

        return solver.run(field, y0, ts, grid, declared=declared, gradient=self.name, call=call)

    def _options_of_method(self, request: Request, rising: bool) -> dict[str, Any]:
        """Options of a backward solve by another method than the forward one's.

        Raises:
            IncompatibleError: there is no tolerance for a pair, or there are no steps for a method that takes fixed ones.
        """
        if self.method in ADAPTIVE:
            if request.tolerance is None and (self.rtol is None or self.atol is None):
                raise IncompatibleError(
                    f"Gradient method {self.name!r} goes back with {self.method!r}, which follows a tolerance, and there is none. Give it "
                    "rtol and atol."
                )
            return {}
        if request.grid is None:
            raise IncompatibleError(
                f"Gradient method {self.name!r} goes back with {self.method!r}, which takes fixed steps, and none are given. Give steps, or "
                "choose another method."
            )
        # The adjoint is solved in time as torchdiffeq turned it: rising.
        points = points_of(request.grid)
        return {"grid_constructor": GridPoints(points if rising else -points)}

    def norm(self) -> dict[str, str]:
        """The option that chooses the error norm of the backward solve."""
        return {}


class SeminormAdjoint(Adjoint):
    """`odeint_adjoint` with the seminorm: the gradients of parameters, which do not feed back, do not count in the error norm.

    Args:
        method, rtol, atol: as those of `Adjoint`; a method of fixed steps has no error norm.

    Source: P. Kidger, R. T. Q. Chen, T. Lyons, "Hey, that's not an ODE", ICML 2021, arXiv:2009.09457.
    """

    name: ClassVar[str] = "torchdiffeq/adjoint-seminorm"
    source: ClassVar[str] = "P. Kidger, R. T. Q. Chen, T. Lyons, ICML 2021, arXiv:2009.09457; torchdiffeq 0.2.5"

    def supports(self, solver: Solver) -> str | None:
        """torchdiffeq's own solvers that have an error norm of torchdiffeq's."""
        if (reason := super().supports(solver)) is not None:
            return reason
        if self.method in FIXED:
            return f"Its backward solve by {self.method!r} has no error norm to choose. Use torchdiffeq/adjoint."
        if self.method is None and not (solver.adaptive and solver.differentiable):
            return f"Solver {solver.name!r} has no error norm to choose. Use torchdiffeq/adjoint."
        return None

    def norm(self) -> dict[str, str]:
        """The option that chooses the error norm of the backward solve."""
        return {"norm": "seminorm"}
