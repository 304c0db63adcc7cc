"""TorchDiffEqPack's ways to a gradient."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from TorchDiffEqPack import odesolve_adjoint, odesolve_adjoint_sym12

import odebench
from odebench.contract import Field, GridRequest, Solver, State
from odebench.errors import IncompatibleError
from odebench.numerics.lent_field import wanted_tensors
from odebench.numerics.outputs import checked_times
from odebench_torchdiffeqpack.methods import _Leapfrog
from odebench_torchdiffeqpack.solver import PlainSolver, TorchDiffEqPackSolver, spans

_OF_BOTH = {
    "check_gap_follows_the_tolerance": "TorchDiffEqPack does not tell the steps of its adjoints",
    "check_every_output_time_counts": "AttributeError: the backward deletes what it needs, and works once only",
    "check_gradients_of_gradients": "AttributeError: the backward deletes what it needs",
    "check_without_a_graph": "float32 times: steps that are calls of their own differ by 7.8e-7 from those of one call",
    "check_nothing_is_left_alive": "times and parameters are kept by TorchDiffEqPack's functions, 168 to 352 bytes",
    "check_autocast_is_repeated": "the way back is outside of autocast, in float32: a gradient in y0 that is 1.2e-3 or 1.4e-3 off",
}


class Aca(odebench.GradientMethod):
    """`odesolve_adjoint`, the adaptive checkpoint adjoint: the accepted steps are kept, and each is differentiated by itself.

    The backward takes all steps once more to find the states between them, keeps these, and differentiates step by step from the
    end; step lengths are constants. With fixed-step methods it fails, for want of an error estimate. It gives the state at the end of a span only, and is called from one output time to the next;
    steps that are given are calls of their own unless they are equal. It tells no steps. Buffers of the field are put back.

    Source: J. Zhuang et al., "Adaptive checkpoint adjoint method for gradient estimation in neural ODE", ICML 2020,
    arXiv:2006.02493; TorchDiffEqPack 1.0.1.
    """

    name: ClassVar[str] = "torchdiffeqpack/aca"
    exact_for_discretisation = False  # its steps are, but it does not tell them, and float32 times move them
    memory = "O(N)"
    known_failures: ClassVar[dict[str, str]] = _OF_BOTH | {
        "check_memory_grows_as_claimed": "85.6, 99.6, 172.0 states at 12, 36, 108 steps that are calls of their own",
    }
    source: ClassVar[str] = "J. Zhuang et al., ICML 2020, arXiv:2006.02493; TorchDiffEqPack 1.0.1"
    function: ClassVar[Callable[..., Any]] = staticmethod(odesolve_adjoint)

    def supports(self, solver: Solver) -> str | None:
        """TorchDiffEqPack's own embedded pairs."""
        if not isinstance(solver, TorchDiffEqPackSolver) or isinstance(solver, PlainSolver | _Leapfrog):
            return (
                f"It calls odesolve_adjoint of TorchDiffEqPack, which knows its own Runge-Kutta methods; {solver.name!r} is none of "
                "them. Use it with torchdiffeqpack/rk12, rk23 or dopri5."
            )
        if not solver.adaptive:
            return (
                f"odesolve_adjoint of TorchDiffEqPack fails with fixed-step methods, which have no error estimate: {solver.name!r}. "
                "Use it with torchdiffeqpack/rk12, rk23 or dopri5, which take given steps too."
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
        times = checked_times(ts)
        tolerance, grid = solver.request(grid, times)
        lent = solver.lent(field, y0, tolerance, declared=wanted_tensors(field, inputs, self.name), method=self.name)
        ys = [lent.packing.pack(y0)]
        for span in spans(times, grid, solver.name):
            y = ys[-1]
            for points in [span] if tolerance is not None or self._one_call(solver, span) else itertools.pairwise(span):
                out = self.function(lent, y, options=solver.options(points, tolerance))
                y = out[0] if isinstance(out, tuple) else out
            ys.append(y)
        lent.end_forward()
        if grid is not None:
            lent.stats.accepted = grid.steps
        return odebench.Solution(ys=lent.packing.unpack_outputs(torch.stack(ys)), grid=grid, stats=lent.stats)

    def _one_call(self, solver: Solver, span: Sequence[float]) -> bool:
        """Whether TorchDiffEqPack can take these steps in a single call: with a fixed-step method, and equal ones."""
        lengths = [abs(after - before) for before, after in itertools.pairwise(span)]
        return not solver.adaptive and max(lengths) - min(lengths) <= 1e-9 * max(lengths)


class Mali(Aca):
    """`odesolve_adjoint_sym12`: the leapfrog's steps are inverted on the way back, each differentiated by itself; memory O(1).

    Source: J. Zhuang et al., "MALI: A memory efficient and reverse accurate integrator for neural ODEs", ICLR 2021,
    arXiv:2102.04668; TorchDiffEqPack 1.0.1.
    """

    name: ClassVar[str] = "torchdiffeqpack/mali"
    memory = "O(1)"
    known_failures: ClassVar[dict[str, str]] = _OF_BOTH
    source: ClassVar[str] = "J. Zhuang et al., ICLR 2021, arXiv:2102.04668; TorchDiffEqPack 1.0.1"
    function: ClassVar[Callable[..., Any]] = staticmethod(odesolve_adjoint_sym12)

    def supports(self, solver: Solver) -> str | None:
        """TorchDiffEqPack's asynchronous leapfrog only."""
        if not isinstance(solver, _Leapfrog):
            return (
                f"It calls odesolve_adjoint_sym12 of TorchDiffEqPack, which inverts the leapfrog; {solver.name!r} is another method. "
                "Use it with torchdiffeqpack/alf or torchdiffeqpack/alf-adaptive."
            )
        return None

    def _one_call(self, solver: Solver, span: Sequence[float]) -> bool:
        """Unequal steps would begin anew with a velocity each, and would be another method."""
        if super()._one_call(solver, span):
            return True
        if len(span) == 2:
            return True
        raise IncompatibleError(
            f"Gradient method {self.name!r} takes equal steps, with torchdiffeqpack/alf, or a tolerance."
        )
