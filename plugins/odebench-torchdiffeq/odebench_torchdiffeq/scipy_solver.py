"""SciPy's solvers, as torchdiffeq calls them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor

import odebench
from odebench.contract import Field, GridRequest, State
from odebench.errors import DivergedError, IncompatibleError
from odebench_torchdiffeq.grids import refuse_what_is_not_honoured, takes_tolerance
from odebench_torchdiffeq.solver import Request, TorchdiffeqSolver

# Order at the end of the span, and whether a step solves equations; for methods that vary their order the highest.
METHODS = {
    "RK23": (3, False), "RK45": (5, False), "DOP853": (8, False), "Radau": (5, True), "BDF": (5, True), "LSODA": (12, True),
}  # fmt: skip


class ScipySolver(TorchdiffeqSolver):
    """`scipy.integrate.solve_ivp` behind torchdiffeq's `scipy_solver`; the states cross to NumPy, so no gradient passes it.

    SciPy does not tell torchdiffeq its steps, so there is no grid. It chooses its own first step, counts no attempts, and
    in its error norm all elements count, also where only the first are asked for.

    Args:
        scipy_method: a method of `solve_ivp`. BDF and LSODA vary their order; `order` is then their highest.

    Source: torchdiffeq 0.2.5, `scipy_wrapper.py`.
    """

    name: ClassVar[str] = "torchdiffeq/scipy-solver"
    method: ClassVar[str] = "scipy_solver"
    adaptive = True
    differentiable = False
    takes_grids = False
    source: ClassVar[str] = "R. T. Q. Chen, torchdiffeq 0.2.5; SciPy, scipy.integrate.solve_ivp"
    known_failures: ClassVar[dict[str, str]] = {
        "check_tolerance_proportionality": "LSODA varies its order with the tolerance: the error falls with the power 0.80 of it.",
        "check_dtypes": "The states cross to NumPy, which has no bfloat16: TypeError.",
        "check_empty_states": "torchdiffeq cannot reshape a state of no elements: RuntimeError.",
        "check_nan_is_passed_on": "LSODA takes over 5000 evaluations where the field becomes infinite.",
        "check_max_steps": "SciPy counts no attempts: max_steps is refused, in words.",
    }

    def __init__(self, *, scipy_method: str = "LSODA") -> None:
        if scipy_method not in METHODS:
            raise IncompatibleError(
                f"torchdiffeq/scipy-solver: scipy_method is {scipy_method!r}; it must be one of {', '.join(METHODS)}."
            )
        self.scipy_method = scipy_method
        self.order, self.implicit = METHODS[scipy_method]

    def request(self, y0: State, ts: Sequence[float], grid: GridRequest, constant_steps: bool) -> Request:
        """As `TorchdiffeqSolver.request` says."""
        if not takes_tolerance(grid):
            raise IncompatibleError(f"Solver {self.name!r} chooses its steps itself. Give rtol and atol.")
        refuse_what_is_not_honoured(grid, self.name, {"rtol", "atol", "batch", "norm_elements"})
        options = {"solver": self.scipy_method}
        return Request(rtol=grid.rtol, atol=grid.atol, options=options, adjoint_options=options)

    def run(
        self, field: Field, y0: State, ts: Sequence[float] | Tensor, grid: GridRequest, **more: Any
    ) -> odebench.Solution:
        """As `TorchdiffeqSolver.run` says.

        Raises:
            DivergedError: SciPy ended before the last output time, of which torchdiffeq says nothing.
        """
        with warnings.catch_warnings():
            # torchdiffeq hands `min_step` to every method, which most of SciPy's say that they do not know.
            warnings.filterwarnings("ignore", "The following arguments have no effect", UserWarning)
            try:
                solution = super().run(field, y0, ts, grid, **more)
            except RuntimeError as cause:
                # A tuple is cut out of a tensor that has fewer times than it should.
                if "is invalid for input of size" not in str(cause):
                    raise
                raise self._ended_early(ts) from cause
        if not isinstance(solution.ys, tuple) and len(solution.ys) < len(ts):
            raise self._ended_early(ts)
        return solution

    def _ended_early(self, ts: Sequence[float] | Tensor) -> DivergedError:
        return DivergedError(
            f"Solver {self.name!r} ended early on the way from {float(ts[0])!r} to {float(ts[-1])!r}: {self.scipy_method} found no "
            "step that is small enough. Try an implicit method (Radau, BDF) or a looser tolerance."
        )
