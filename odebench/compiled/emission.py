"""What a loop stores of a step, so that the states at output times inside it can be computed after the loop."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from odebench.contract import Step
from odebench.errors import CompileError
from odebench.numerics import ExplicitRungeKutta
from odebench.numerics.interpolation import Hermite, StagePolynomial


class Emission:
    """What is stored of a step with output times: its end, or, where a time lies inside it, what interpolates it.

    Args:
        solver: whose steps they are.
        inside: whether output times lie inside steps.
    """

    def __init__(self, solver: ExplicitRungeKutta, inside: bool) -> None:
        self.inside = inside
        dense = solver.tableau.dense_floats if inside else None
        self._rows = None if dense is None else tuple(row for row in dense if any(row))
        self._kept = None if dense is None else tuple(index for index, row in enumerate(dense) if any(row))

    def tensors(self, step: Step) -> tuple[Tensor, ...]:
        """What is stored of this step."""
        dense = step.dense
        if not self.inside:
            return (step.y1,)
        if isinstance(dense, Hermite):
            return dense.y0, dense.y1, dense.k0, dense.k1
        if isinstance(dense, StagePolynomial) and self._kept is not None:
            # Most methods have stages that the interpolant does not use.
            return dense.y0, *(dense.stages[index] for index in self._kept)
        raise CompileError(f"The interpolant of the solver, a {type(dense).__name__}, has no compiled form.")

    def states(self, stored: Sequence[Tensor], theta: Tensor, dt: Tensor) -> Tensor:
        """The states at the shares `theta` of steps of length `dt`; it is linear in what was stored."""
        if not self.inside:
            return stored[0]
        if self._rows is None:
            return Hermite(*stored, dt).at(theta)
        return StagePolynomial(stored[0], stored[1:], self._rows, dt).at(theta)
