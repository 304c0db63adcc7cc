"""Direct backpropagation: autograd through every step."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from odebench.contract import Field, GradientMethod, GridRequest, Solution, Solver, State


class Direct(GradientMethod):
    """Gradient by autograd through the recorded solve; discretise-then-optimise, exact for the discretisation.

    Memory grows with the number of steps times what one evaluation of each stage saves. It needs no declaration of inputs:
    autograd finds what the field uses. Gradients of gradients work where the field's own do.
    """

    name = "direct"
    exact_for_discretisation = True
    memory = "O(N s)"
    compiled_memory = "steps"
    twice_differentiable = True
    source = (
        "Reverse accumulation: S. Linnainmaa, BIT 16, 1976, doi:10.1007/BF01931367; through an ODE solver as in "
        "A. Gholami et al., IJCAI 2019, arXiv:1902.10298 (full storage)"
    )

    def supports(self, solver: Solver) -> str | None:
        """Every solver through which autograd can pass."""
        if not solver.differentiable:
            return f"Solver {solver.name!r} is opaque to autograd."
        return None

    def solve(
        self,
        solver: Solver,
        field: Field,
        y0: State,
        ts: Sequence[float],
        grid: GridRequest,
        inputs: tuple[Tensor, ...] = (),
    ) -> Solution:
        """As `GradientMethod.solve` says."""
        return solver.solve(field, y0, ts, grid, inputs)
