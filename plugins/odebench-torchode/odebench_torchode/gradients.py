"""torchode's ways to a gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torchode
from torch import Tensor

import odebench
from odebench.contract import Field, GridRequest, Solver, State
from odebench.errors import IncompatibleError
from odebench.numerics.lent_field import wanted_tensors
from odebench_torchode.solver import Adjoint, TorchodeSolver

_OF_ADJOINTS = {
    "check_gap_falls_at_the_solvers_order": "with dopri5 gaps of 4.2e-5, 2.8e-7, 1.3e-9, 1.3e-10 at 8 to 64 steps: orders 7.2, 7.8, 3.3",
    "check_gradients_of_gradients": "torchode's backward is not recorded and does not say so: a second derivative of 8.0 for -345",
    "check_nothing_is_left_alive": "88 bytes: the tableau of Heun's method, which is a constant of torchode's class, and a time",
    "check_autocast_is_repeated": "the way back is outside of autocast, in float32: a gradient in y0 that is 1.4e-3 off",
}


class TorchodeGradient(odebench.GradientMethod):
    """What torchode does with its own solvers."""

    exact_for_discretisation = False
    source: ClassVar[str] = "M. Lienen, S. Günnemann, arXiv:2210.12375; torchode 1.0.1"

    def supports(self, solver: Solver) -> str | None:
        """torchode's own solvers only."""
        if not isinstance(solver, TorchodeSolver):
            return (
                f"It calls torchode, which solves with its own methods; {solver.name!r} is none of them. Use it with torchode/… "
                "solvers."
            )
        return None


class AutoDiff(TorchodeGradient):
    """Autograd through the solve, as `AutoDiffAdjoint` does by default: also through the choice of all step sizes.

    With steps that are given it is the exact gradient of the discrete solution. With error control it differs from the one that
    takes the steps as constants by about the tolerance; odebench's `direct` on the same solver gives that one.
    """

    name: ClassVar[str] = "torchode/autodiff"
    memory = "O(N s)"
    twice_differentiable = True
    known_failures: ClassVar[dict[str, str]] = {
        "check_steps_for_each_row": "torchode differentiates its step control: 1.8e-3 from the gradient on constant steps at rtol 1e-3",
        "check_nothing_is_left_alive": "80 bytes: the tableau of Heun's method, which is a constant of torchode's class",
    }

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
        return solver.run(field, y0, ts, grid, through_step_sizes=True)


class Backsolve(TorchodeGradient):
    """`BacksolveAdjoint`: each instance solves its adjoint equation backward in time, with the gradient of all parameters.

    With `batch="per-sample"` each row of the batch carries a gradient of all parameters of its own, and takes steps of its own:
    memory and time grow with the batch times the parameters. With `batch="joint"` the whole state is one instance. All of the
    augmented state counts in the error norm. Derivatives are those of `torch.func.vjp` under `vmap`, so that a field which vmap
    cannot take (one that writes to buffers) fails. torchode hands parameters over through `functional_call`, which does not
    reach into a field that hides its module; here they are exchanged in each operation, at about 2 µs for it.
    """

    name: ClassVar[str] = "torchode/backsolve"
    memory = "O(1)"
    known_failures: ClassVar[dict[str, str]] = _OF_ADJOINTS | {
        "check_steps_for_each_row": "not exact for the discretisation: 1.6e-3 from the discrete gradient at rtol 1e-3",
        "check_batch_statistics_are_updated_once": "RuntimeError: vmap cannot differentiate a field that writes to its buffers",
    }

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
            IncompatibleError: a tensor would get no gradient, the field draws random numbers, or a grid has steps by row.
        """
        if getattr(grid, "per_sample", False):
            raise IncompatibleError(f"Gradient method {self.name!r} cannot go back on a grid that has steps by row.")
        declared = wanted_tensors(field, inputs, self.name)
        return solver.run(field, y0, ts, grid, adjoint=self.adjoint, declared=declared, gradient=self.name)

    adjoint: ClassVar[Adjoint] = staticmethod(torchode.BacksolveAdjoint)


class JointBacksolve(Backsolve):
    """`JointBacksolveAdjoint`: one adjoint equation for the batch; steps by row are refused.

    All of the augmented state, the gradients of parameters too, counts in the error norm.
    """

    name: ClassVar[str] = "torchode/joint-backsolve"
    known_failures: ClassVar[dict[str, str]] = _OF_ADJOINTS
    adjoint: ClassVar[Adjoint] = staticmethod(torchode.JointBacksolveAdjoint)

    def solve(
        self,
        solver: Solver,
        field: Field,
        y0: State,
        ts: Sequence[float],
        grid: GridRequest,
        inputs: tuple[Tensor, ...] = (),
    ) -> odebench.Solution:
        """As `Backsolve.solve` says."""
        if getattr(grid, "batch", "joint") != "joint":
            raise IncompatibleError(
                f"Gradient method {self.name!r} has one step size for the batch; use batch='joint'."
            )
        return super().solve(solver, field, y0, ts, grid, inputs)
