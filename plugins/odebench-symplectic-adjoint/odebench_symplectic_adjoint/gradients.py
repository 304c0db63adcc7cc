"""The library's ways to a gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

import odebench
from odebench.contract import Field, GridRequest, Solver, State
from odebench.errors import IncompatibleError
from odebench.numerics.lent_field import wanted_tensors
from odebench.numerics.reach import leaves_of
from odebench_symplectic_adjoint.code import SOURCE
from odebench_symplectic_adjoint.methods import Euler
from odebench_symplectic_adjoint.solver import SymplecticAdjointSolver

_KEPT = {
    "check_nothing_is_left_alive": "108 bytes: the tableau of bosh3 and an infinity, which are constants of the library",
}
_OF_BACKWARDS = _KEPT | {
    "check_autocast_is_repeated": "the way back is outside of autocast, in float32: a gradient in y0 that is 1.5e-3 or 1.6e-3 off",
}
_NOT_RECORDED = "the backward is not recorded and does not say so: a second derivative of "
_OF_CHECKPOINTS = _OF_BACKWARDS | {
    "check_every_output_time_counts": "AttributeError: the backward deletes the checkpoints, and works once only",
    "check_gradients_of_gradients": "AttributeError: the backward deletes the checkpoints",
}


class SymplecticAdjointGradient(odebench.GradientMethod):
    """A function of the library, on its own solvers.

    Attributes:
        function: its name.
    """

    function: ClassVar[str]
    exact_for_discretisation = False
    source: ClassVar[str] = SOURCE

    def supports(self, solver: Solver) -> str | None:
        """The library's own solvers only."""
        if not isinstance(solver, SymplecticAdjointSolver):
            return (
                f"It calls the authors' code, which solves with its own methods; {solver.name!r} is none of them. Use it with "
                "symplectic-adjoint/… solvers."
            )
        return None

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
            IncompatibleError: a tensor would get no gradient, or the field draws random numbers.
        """
        if not torch.is_grad_enabled():
            return solver.solve(field, y0, ts, grid)
        function = getattr(solver.library, self.function)
        declared = wanted_tensors(field, inputs, self.name)
        return solver.run(field, y0, ts, grid, function, declared=declared, gradient=self.name, **self.arguments())

    def arguments(self) -> dict[str, Any]:
        """Further arguments of the function."""
        return {}


class Direct(SymplecticAdjointGradient):
    """Autograd through `odeint`.

    With error control the choice of the first step is differentiated too; odebench's `direct` takes it as a constant.
    """

    name: ClassVar[str] = "symplectic-adjoint/direct"
    known_failures: ClassVar[dict[str, str]] = _KEPT
    memory = "O(N s)"
    twice_differentiable = True

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
        return solver.run(field, y0, ts, grid, solver.library.odeint)


class Adjoint(SymplecticAdjointGradient):
    """`odeint_adjoint`, the continuous adjoint of Chen et al.: all gradients count in the error norm.

    Steps that are given go by way of the states between them, which are all kept: memory is O(1) with error control only.

    Args:
        rtol, atol: tolerances of the backward solve; None takes those of the forward one.
    """

    name: ClassVar[str] = "symplectic-adjoint/adjoint"
    function: ClassVar[str] = "odeint_adjoint"
    known_failures: ClassVar[dict[str, str]] = _OF_BACKWARDS | {
        "check_gradients_of_gradients": _NOT_RECORDED + "8.28 where finite differences give -502",
    }
    memory = "O(N)"

    def __init__(self, *, rtol: float | None = None, atol: float | None = None) -> None:
        self.rtol, self.atol = rtol, atol

    def arguments(self) -> dict[str, Any]:
        """The tolerances."""
        return {"adjoint_rtol": self.rtol, "adjoint_atol": self.atol}


class OneCheckpoint(SymplecticAdjointGradient):
    """`odeint_onecheckpoint`, the baseline of the paper: only the initial state is kept, and the backward solves once more with a graph.

    With error control the choice of the first step is differentiated too. The backward asks autograd for the gradients of parameters
    from a graph that goes on into the past of the initial state: where that was computed from one of them, its gradient is counted
    twice (5.77 for 4.12 in y' = w·y from 1 + w), which is refused here.
    """

    name: ClassVar[str] = "symplectic-adjoint/one-checkpoint"
    function: ClassVar[str] = "odeint_onecheckpoint"
    known_failures: ClassVar[dict[str, str]] = _OF_BACKWARDS | {
        "check_used_twice": "refused: a second solve begins with what was computed from the parameters, and would count them twice",
        "check_gradients_of_gradients": _NOT_RECORDED + "8.24 where finite differences give -470",
    }
    memory = "O(N s)"

    def solve(
        self,
        solver: Solver,
        field: Field,
        y0: State,
        ts: Sequence[float],
        grid: GridRequest,
        inputs: tuple[Tensor, ...] = (),
    ) -> odebench.Solution:
        """As `SymplecticAdjointGradient.solve` says; an initial state that was computed from a declared tensor is refused too."""
        if torch.is_grad_enabled():
            declared = wanted_tensors(field, inputs, self.name)
            leaves = y0 if isinstance(y0, tuple) else (y0,)
            below = leaves_of(declared) | {id(tensor): tensor for tensor in declared}
            if below.keys() & leaves_of([leaf for leaf in leaves if leaf.grad_fn is not None]).keys():
                raise IncompatibleError(
                    f"The initial state was computed from a parameter of the field or an input, and gradient method {self.name!r} would "
                    "count its gradient twice. Use symplectic-adjoint/checkpoint."
                )
            if isinstance(y0, Tensor) and not y0.requires_grad:
                y0 = y0.clone()  # the backward lets what it is given require a gradient
        return super().solve(solver, field, y0, ts, grid, inputs)


class Checkpoint(SymplecticAdjointGradient):
    """`odeint_checkpoint`, the adaptive checkpoint adjoint (ACA): accepted states are kept, and each step is differentiated by itself.

    Source: J. Zhuang et al., ICML 2020, arXiv:2006.02493, as T. Matsubara et al. wrote it for their comparison.
    """

    name: ClassVar[str] = "symplectic-adjoint/checkpoint"
    function: ClassVar[str] = "odeint_checkpoint"
    known_failures: ClassVar[dict[str, str]] = _OF_CHECKPOINTS | {
        "check_unused_frozen_and_shared_parameters": "TypeError: a parameter that is not used has no gradient that could be added up",
        "check_memory_grows_as_claimed": "62.2, 110.4, 320.9 states at 12, 36, 108 steps: all states are outputs and checkpoints both",
    }
    exact_for_discretisation = True
    memory = "O(N)"


class Symplectic(SymplecticAdjointGradient):
    """`odeint_symplectic_adjoint`: the adjoint equation by the symplectic partner of the solver's tableau, stage by stage.

    Accepted states are kept. For each step the stages are computed again without a graph, and then the field is evaluated and
    differentiated once at each: no graph of more than one evaluation is ever held.

    Source: T. Matsubara, Y. Miyatake, T. Yaguchi, "Symplectic adjoint method for exact gradient of neural ODE with minimal
    memory", NeurIPS 2021, arXiv:2102.09750, Algorithm 2 and equation (7).
    """

    name: ClassVar[str] = "symplectic-adjoint/symplectic"
    function: ClassVar[str] = "odeint_symplectic_adjoint"
    known_failures: ClassVar[dict[str, str]] = _OF_CHECKPOINTS | {
        "check_unused_frozen_and_shared_parameters": "RuntimeError: gradients are asked for without allow_unused",
        "check_memory_grows_as_claimed": "78.3, 126.5, 320.9 states at 12, 36, 108 steps: all states are outputs and checkpoints both",
    }
    exact_for_discretisation = True
    memory = "O(N)"

    def supports(self, solver: Solver) -> str | None:
        """The library's own solvers of more than one stage."""
        if (reason := super().supports(solver)) is None and isinstance(solver, Euler):
            return (
                f"odeint_symplectic_adjoint fails with a method of one stage, with an UnboundLocalError: {solver.name!r}. Use "
                "symplectic-adjoint/checkpoint, or a method of more stages."
            )
        return reason


METHODS = (Direct, Adjoint, OneCheckpoint, Checkpoint, Symplectic)
