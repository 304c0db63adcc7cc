"""torchsde's reversible adjoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
import torchsde
from torch import Tensor

import odebench
from odebench.contract import Field, GridRequest, Solver, State
from odebench.errors import IncompatibleError
from odebench.numerics.adapted_request import given_grid
from odebench.numerics.lent_field import wanted_tensors
from odebench.numerics.outputs import checked_times
from odebench_torchsde.methods import ReversibleHeun


class ReversibleAdjoint(odebench.GradientMethod):
    """`sdeint_adjoint` with `adjoint_reversible_heun`: steps are undone on the way back, and each is differentiated.

    Two evaluations a step on the way back. With several output times torchsde begins the undoing of each interval with the stored
    state and the second state as it was undone.

    Source: P. Kidger, J. Foster, X. Li, T. Lyons, "Efficient and accurate gradients for neural SDEs", NeurIPS 2021,
    arXiv:2105.13493, Algorithm 2.
    """

    name: ClassVar[str] = "torchsde/reversible-adjoint"
    exact_for_discretisation = True
    known_failures: ClassVar[dict[str, str]] = {
        "check_gradients_of_gradients": "RuntimeError: torchsde asks to report a bug",
        "check_autocast_is_repeated": "the way back is outside of autocast, in float32: a gradient in y0 that is 1.3e-3 off",
    }
    memory = "O(1)"
    source: ClassVar[str] = "P. Kidger et al., NeurIPS 2021, arXiv:2105.13493; torchsde 0.2.6"

    def supports(self, solver: Solver) -> str | None:
        """torchsde's reversible Heun method only."""
        if not isinstance(solver, ReversibleHeun):
            return (
                f"It undoes the steps of torchsde's reversible Heun method; {solver.name!r} is another. Use it with "
                "torchsde/reversible-heun."
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
            return solver.run(field, y0, ts, grid)
        if isinstance(grid, odebench.StepSize | odebench.Grid):
            steps = given_grid(grid, checked_times(ts), solver.name).dt.abs()
            if steps.max() - steps.min() > 1e-9 * steps.max():
                raise IncompatibleError(
                    f"Gradient method {self.name!r} undoes equal steps from the end: with a last one that is shorter it would undo others."
                )
        declared = wanted_tensors(field, inputs, self.name)
        return solver.run(
            field,
            y0,
            ts,
            grid,
            function=torchsde.sdeint_adjoint,
            declared=declared,
            gradient=self.name,
            adjoint_method="adjoint_reversible_heun",
            adjoint_params=declared,
        )
