"""What a gradient method promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Literal

from torch import Tensor

from odebench.contract.field import Field, State
from odebench.contract.grid import GridRequest
from odebench.contract.solution import Solution
from odebench.contract.solver import Solver


class GradientMethod(ABC):
    """Is given a solver, and returns its solution with a backward of its own.

    Attributes:
        name: kebab-case, stable for ever; an adapter's carries its library as prefix.
        exact_for_discretisation: whether the gradient equals, to rounding, that of the discrete solution on the same grid.
        memory: claimed growth of the peak with the number of steps N and of evaluations a step s: "O(N s)", "O(N)", "O(1)".
        twice_differentiable: whether the gradients can be differentiated again; otherwise that is an error.
        times_differentiable: whether output times that require a gradient get it; otherwise they are refused.
        fields_in: where it evaluates the field, as `Solver.fields_in`.
        compiled_memory: what is kept where the solve is compiled: the state at every step (`steps`), or few of them, from which
            the others are computed again (`segments`); None where the method has no compiled form. Either gives the gradient of
            the discrete solution.
        source: where the method is published.
        known_failures: conformance checks that are known to fail, and why.
    """

    name: str
    exact_for_discretisation: bool
    memory: str
    twice_differentiable: ClassVar[bool] = False
    times_differentiable: ClassVar[bool] = False
    fields_in: Literal["torch", "jax"] = "torch"
    compiled_memory: ClassVar[Literal["steps", "segments"] | None] = None
    source: ClassVar[str] = ""
    known_failures: ClassVar[dict[str, str]] = {}

    def supports(self, solver: Solver) -> str | None:
        """None where the method works with `solver`, else the reason why not, as a sentence."""
        return None

    @abstractmethod
    def solve(
        self,
        solver: Solver,
        field: Field,
        y0: State,
        ts: Sequence[float],
        grid: GridRequest,
        inputs: tuple[Tensor, ...] = (),
    ) -> Solution:
        """Solve with `solver`; `ys` is differentiable in y0, in the field's parameters and in `inputs`.

        Arguments and errors as `Solver.solve`.
        """
