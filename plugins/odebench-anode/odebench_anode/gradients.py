"""ANODE's way to a gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

import odebench
from odebench.contract import Field, GridRequest, Solver, State
from odebench.numerics.lent_field import wanted_tensors
from odebench_anode.code import SOURCE
from odebench_anode.solver import AnodeSolver


class Adjoint(odebench.GradientMethod):
    """`anode.odesolver_adjoint`: the initial state is kept, and the backward solves once more with a graph.

    The paper's Algorithm 1, and its code, keep one state for each ODE block and the graph of one block at a time. Here each span between output
    times, and each run of equal steps, is a block. The backward goes twice through the graph, once for the state and once for the
    parameters, which it copies into one vector in the forward.

    Source: A. Gholami, K. Keutzer, G. Biros, "ANODE: Unconditionally accurate memory-efficient gradients for neural ODEs",
    IJCAI 2019, arXiv:1902.10298, section 5; https://github.com/amirgholami/anode at 870444b.
    """

    name: ClassVar[str] = "anode/adjoint"
    exact_for_discretisation = True
    memory = "O(N s)"
    known_failures: ClassVar[dict[str, str]] = {
        "check_autocast_is_repeated": "the way back is outside of autocast, in float32: a gradient in y0 that is 1.4e-3 off",
        "check_gradients_of_gradients": (
            "ANODE's backward is not recorded and does not say so: a second derivative of 12.6 where finite differences give -492"
        ),
    }
    source: ClassVar[str] = SOURCE

    def supports(self, solver: Solver) -> str | None:
        """ANODE's own solvers only."""
        if not isinstance(solver, AnodeSolver):
            return f"It calls ANODE, which solves with its own methods; {solver.name!r} is none of them. Use it with anode/… solvers."
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
        declared = wanted_tensors(field, inputs, self.name)
        function = solver.library.odesolver_adjoint
        return solver.run(field, y0, ts, grid, function, declared=declared, gradient=self.name)
