"""diffrax's ways to a gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor

import odebench
from odebench.contract import Field, GridRequest, Solver, State
from odebench.errors import IncompatibleError
from odebench.numerics.lent_field import wanted_tensors
from odebench_diffrax.plan import BACKSOLVE, DIRECT, FORWARD_MODE, RECURSIVE_CHECKPOINT
from odebench_diffrax.solve import Adjoint
from odebench_diffrax.solver import DiffraxSolver

_NO_STEPS = (
    "diffrax's BacksolveAdjoint cannot save the ends of steps, so that the gradient on the same steps is not known; on given steps the gap "
    "falls as it must (slope 2.95 with bosh3)"
)


class DiffraxGradient(odebench.GradientMethod):
    """What diffrax does with its own solvers. Step sizes are constants in all of its gradients."""

    exact_for_discretisation = True
    fields_in = "jax"
    kind: ClassVar[str]
    source: ClassVar[str] = "P. Kidger, On neural differential equations, arXiv:2202.02435; diffrax 0.7.2"

    def supports(self, solver: Solver) -> str | None:
        """diffrax's own solvers only."""
        if not isinstance(solver, DiffraxSolver):
            return f"It calls diffrax, which solves with its own methods; {solver.name!r} is none of them. Use it with diffrax/… solvers."
        return None

    def options(self) -> dict[str, Any]:
        """What the adjoint's program is compiled for besides its kind."""
        return {}

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
            IncompatibleError: a tensor would get no gradient.
        """
        wanted = wanted_tensors(field, inputs, self.name)
        return solver.run(
            field, y0, ts, grid, Adjoint(method=self.name, kind=self.kind, wanted=wanted, options=self.options())
        )


class RecursiveCheckpoint(DiffraxGradient):
    """`RecursiveCheckpointAdjoint`: backpropagation through the solve with online binomial checkpoints; diffrax's default.

    Memory for the checkpoints is allocated whole, by `checkpoints` or, where that is None, by the number of steps that are allowed:
    about its root times √2, which makes each step be recomputed about once.

    Args:
        checkpoints: how many states are kept.

    Source: P. Stumm, A. Walther, "New algorithms for optimal online checkpointing", SIAM J. Sci. Comput. 32(2), 2010; Q. Wang,
    P. Moin, G. Iaccarino, SIAM J. Sci. Comput. 31(4), 2009.
    """

    name: ClassVar[str] = "diffrax/recursive-checkpoint"
    kind: ClassVar[str] = RECURSIVE_CHECKPOINT
    memory = "O(sqrt N)"

    def __init__(self, *, checkpoints: int | None = None) -> None:
        if checkpoints is not None and checkpoints < 1:
            raise IncompatibleError(f"{self.name}: checkpoints is {checkpoints!r}; it must be at least 1, or None.")
        self.checkpoints = checkpoints
        if checkpoints is not None:
            self.memory = "O(checkpoints)"

    def options(self) -> dict[str, Any]:
        """As `DiffraxGradient.options`."""
        return {"checkpoints": self.checkpoints}


class Direct(DiffraxGradient):
    """`DirectAdjoint`: backpropagation through nested bounded loops, which costs by the number of steps that are allowed.

    diffrax advises against it. It recomputes each step once, since its loops checkpoint theirs.
    """

    name: ClassVar[str] = "diffrax/direct"
    kind: ClassVar[str] = DIRECT
    memory = "O(N)"


class Backsolve(DiffraxGradient):
    """`BacksolveAdjoint`: the continuous adjoint equation, solved backward in time from one output time to the one before it.

    Not exact for the discretisation, and refused for LeapfrogMidpoint. The state, its adjoint and the gradients of the parameters are solved together by the same
    solver; a tolerance is the forward one, and given steps are taken in reverse.

    Args:
        norm: what counts in the error norm of the way back: "all", or "seminorm" for the state and its adjoint only.

    Source: R. T. Q. Chen et al., arXiv:1806.07366; for the seminorm P. Kidger, R. T. Q. Chen, T. Lyons, arXiv:2009.09457.
    """

    name: ClassVar[str] = "diffrax/backsolve"
    kind: ClassVar[str] = BACKSOLVE
    known_failures: ClassVar[dict[str, str]] = {
        "check_gap_follows_the_tolerance": _NO_STEPS,
        "check_steps_for_each_row": _NO_STEPS,
    }
    exact_for_discretisation = False
    memory = "O(1)"

    def __init__(self, *, norm: str = "all") -> None:
        if norm not in ("all", "seminorm"):
            raise IncompatibleError(f"{self.name}: norm is {norm!r}; it must be 'all' or 'seminorm'.")
        self.norm = norm

    def supports(self, solver: Solver) -> str | None:
        """diffrax's own solvers, but the one that remembers an adjoint from before the output time at which it jumps."""
        if getattr(solver, "diffrax_name", "") == "LeapfrogMidpoint":
            return (
                "diffrax's LeapfrogMidpoint goes on from the adjoint as it was before an output time added to it: with two output times "
                "its gradient is 24 % off, with 8 steps and with 128. Use it with diffrax/recursive-checkpoint."
            )
        return super().supports(solver)

    def options(self) -> dict[str, Any]:
        """As `DiffraxGradient.options`."""
        return {"seminorm": self.norm == "seminorm"}


class ForwardMode(DiffraxGradient):
    """`ForwardMode`: a solve with a tangent for each element of y0 and of the parameters, so many at once; nothing is stored.

    The way back takes all solves; their cost is proportional to the number of elements, so that it is for a handful of parameters.

    Args:
        chunk: tangents that are carried at once.
    """

    name: ClassVar[str] = "diffrax/forward-mode"
    kind: ClassVar[str] = FORWARD_MODE
    memory = "O(1)"

    def __init__(self, *, chunk: int = 64) -> None:
        if chunk < 1:
            raise IncompatibleError(f"{self.name}: chunk is {chunk!r}; it must be at least 1.")
        self.chunk = chunk

    def options(self) -> dict[str, Any]:
        """As `DiffraxGradient.options`."""
        return {"chunk": self.chunk}


# `ImplicitAdjoint` differentiates a steady state, f(y) = 0, by the implicit function theorem: not the state at a time.
METHODS = (RecursiveCheckpoint, Direct, Backsolve, ForwardMode)
