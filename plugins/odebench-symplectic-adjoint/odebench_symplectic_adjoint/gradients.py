"""The library's ways to a gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

import odebench
from odebench.contract import Field, GridRequest, Solver, State
from odebench.numerics.lent_field import wanted_tensors
from odebench_symplectic_adjoint.code import SOURCE
from odebench_symplectic_adjoint.solver import SymplecticAdjointSolver


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
    memory = "O(N)"

    def __init__(self, *, rtol: float | None = None, atol: float | None = None) -> None:
        self.rtol, self.atol = rtol, atol

    def arguments(self) -> dict[str, Any]:
        """The tolerances."""
        return {"adjoint_rtol": self.rtol, "adjoint_atol": self.atol}


class OneCheckpoint(SymplecticAdjointGradient):
    """`odeint_onecheckpoint`, the baseline of the paper: only the initial state is kept, and the backward solves once more with a graph.

    With error control the choice of the first step is differentiated too.
    """

    name: ClassVar[str] = "symplectic-adjoint/one-checkpoint"
    function: ClassVar[str] = "odeint_onecheckpoint"
    memory = "O(N s)"


class Checkpoint(SymplecticAdjointGradient):
    """`odeint_checkpoint`, the adaptive checkpoint adjoint (ACA): accepted states are kept, and each step is differentiated by itself.

    Source: J. Zhuang et al., ICML 2020, arXiv:2006.02493, as T. Matsubara et al. wrote it for their comparison.
    """

    name: ClassVar[str] = "symplectic-adjoint/checkpoint"
    function: ClassVar[str] = "odeint_checkpoint"
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
    exact_for_discretisation = True
    memory = "O(N)"


METHODS = (Direct, Adjoint, OneCheckpoint, Checkpoint, Symplectic)
