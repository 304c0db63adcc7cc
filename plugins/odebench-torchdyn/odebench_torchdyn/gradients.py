"""torchdyn's ways to a gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

import odebench
from odebench.contract import Field, GridRequest, Solver, State
from odebench.errors import IncompatibleError
from odebench.numerics.lent_field import wanted_tensors
from odebench_torchdyn.methods import Alf
from odebench_torchdyn.solver import TorchdynSolver

_FIRST_STEP = "torchdyn cannot be told its first step, which this check chooses"
_RK4 = "tried with torchdyn/rk4, whose stages are at wrong times, so that it is of order 1: "
_OF_ALL = {
    "check_gap_follows_the_tolerance": "torchdyn/dopri5 takes no grid, on which this check solves again",
    "check_solution_is_the_solvers": _FIRST_STEP,
    "check_batch_statistics_are_updated_once": _FIRST_STEP,
}
_OF_ADJOINTS = _OF_ALL | {
    "check_every_output_time_counts": _RK4 + "3.9e-3 off",
    "check_unused_frozen_and_shared_parameters": (
        "RuntimeError: a parameter that is not used is given a gradient of one zero, whatever its shape"
    ),
    "check_nothing_is_left_alive": "16 bytes: two times, kept by torchdyn's functions",
    "check_autocast_is_repeated": "the way back is outside of autocast, in float32: a gradient in y0 that is 1.7e-3 off",
}


class TorchdynGradient(odebench.GradientMethod):
    """What torchdyn does with its own solvers."""

    exact_for_discretisation = False
    source: ClassVar[str] = "M. Poli et al., arXiv:2009.09346; torchdyn 1.0.6"

    def supports(self, solver: Solver) -> str | None:
        """torchdyn's own solvers only."""
        if not isinstance(solver, TorchdynSolver):
            return (
                f"It calls torchdyn, which solves with its own methods; {solver.name!r} is none of them. Use it with torchdyn/… "
                "solvers."
            )
        if isinstance(solver, Alf):
            return f"torchdyn's adjoints take the state for that of the field, and {solver.name!r} has a velocity beside it. Use it with torchdyn/autograd."
        if not solver.differentiable:
            return f"Solver {solver.name!r} gives states without a graph. Use it with continuous-adjoint."
        return None


class Autograd(TorchdynGradient):
    """Autograd through the solve, `sensitivity="autograd"`.

    With error control torchdyn differentiates its choice of the first step too, and the rest of a step that ends at an output
    time; the factors by which steps change are constants.
    """

    name: ClassVar[str] = "torchdyn/autograd"
    known_failures: ClassVar[dict[str, str]] = _OF_ALL
    memory = "O(N s)"
    twice_differentiable = True

    def supports(self, solver: Solver) -> str | None:
        """torchdyn's own solvers that leave a graph, the leapfrog among them."""
        return None if isinstance(solver, Alf) else super().supports(solver)

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


class Adjoint(TorchdynGradient):
    """The continuous adjoint, `sensitivity="adjoint"`; state and adjoint count in the error norm, gradients of parameters do not.

    With fixed steps torchdyn goes back over the states that are saved, a single step between each two. Here all states are saved,
    so that it takes the forward steps; its memory is O(1) with error control only.
    """

    name: ClassVar[str] = "torchdyn/adjoint"
    sensitivity: ClassVar[str] = "adjoint"
    known_failures: ClassVar[dict[str, str]] = _OF_ADJOINTS | {
        "check_gap_falls_at_the_solvers_order": _RK4 + "gaps of 3.3e-2, 1.8e-2, 9.1e-3, 4.6e-3",
        "check_tuple_states": _RK4 + "1.6e-2 off",
        "check_shapes_of_batches": _RK4 + "2.8e-3 off",
        "check_gradients_of_gradients": "a RuntimeError of autograd that does not say why",
    }
    memory = "O(N)"

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
            return solver.run(field, y0, ts, grid)
        declared = wanted_tensors(field, inputs, self.name)
        return solver.run(field, y0, ts, grid, sensitivity=self.sensitivity, declared=declared, gradient=self.name)


class InterpolatedAdjoint(Adjoint):
    """`sensitivity="interpolated_adjoint"`: the adjoint equation along a cubic spline through all accepted states.

    The state is not solved backward, so that it does not drift; the spline's error, of order 4 in the step, is the gradient's.
    torchdyn takes states of two dimensions only.
    """

    name: ClassVar[str] = "torchdyn/interpolated-adjoint"
    sensitivity: ClassVar[str] = "interpolated_adjoint"
    known_failures: ClassVar[dict[str, str]] = _OF_ADJOINTS | {
        "check_gap_falls_at_the_solvers_order": _RK4 + "gaps of 7.2e-3, 3.5e-3, 1.8e-3, 9.3e-4",
        "check_tuple_states": "refused: a state has to have two dimensions",
        "check_shapes_of_batches": _RK4 + "2.2e-3 off",
        "check_gradients_of_gradients": "torchdyn's backward is not recorded and does not say so: -69.6 for -443",
    }
    memory = "O(N)"

    def solve(
        self,
        solver: Solver,
        field: Field,
        y0: State,
        ts: Sequence[float],
        grid: GridRequest,
        inputs: tuple[Tensor, ...] = (),
    ) -> odebench.Solution:
        """As `Adjoint.solve` says; states of other than two dimensions are refused."""
        if isinstance(y0, tuple) or y0.dim() != 2:
            raise IncompatibleError(f"Gradient method {self.name!r} takes a state of two dimensions only.")
        return super().solve(solver, field, y0, ts, grid, inputs)
