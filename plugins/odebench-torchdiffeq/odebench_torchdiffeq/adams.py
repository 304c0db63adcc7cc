"""Adams methods of fixed steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from odebench.contract import GridRequest, State
from odebench.errors import GridError, IncompatibleError
from odebench_torchdiffeq.fixed import FixedSolver
from odebench_torchdiffeq.solver import Request

LEAST_ORDER, LARGEST_ORDER = 4, 12


class AdamsSolver(FixedSolver):
    """A multistep method that begins with the 3/8 rule and takes up one more past derivative at each step.

    Its coefficients are those of equal steps. torchdiffeq applies them to any steps and is then wrong to first order, so here
    a grid of unequal steps is refused, and output times must fall on it.

    Source: torchdiffeq 0.2.5, `fixed_adams.py`; coefficients as in E. Hairer, S. P. Nørsett, G. Wanner, "Solving ODEs I", 2nd
    ed., section III.1.
    """

    stages = None
    known_failures: ClassVar[dict[str, str]] = {
        "check_uneven_last_step": "The coefficients are those of equal steps: a step_size that does not divide the span is refused.",
    }

    def __init__(self, max_order: int) -> None:
        if not isinstance(max_order, int) or not LEAST_ORDER <= max_order <= LARGEST_ORDER:
            raise IncompatibleError(
                f"{self.name}: max_order is {max_order!r}; it must be a whole number from {LEAST_ORDER} to {LARGEST_ORDER}. "
                "Below, torchdiffeq takes the 3/8 rule alone: use torchdiffeq/rk4."
            )
        self.max_order = max_order

    def request(self, y0: State, ts: Sequence[float], grid: GridRequest, constant_steps: bool) -> Request:
        """As `TorchdiffeqSolver.request` says."""
        request = super().request(y0, ts, grid, constant_steps)
        lengths = request.grid.dt
        if bool(((lengths - lengths[0]).abs() > 1e-9 * lengths[0].abs()).any()) or request.beyond is not None:
            raise GridError(
                f"Solver {self.name!r} has the coefficients of equal steps, and these are not. Give steps, or a step_size that "
                "divides the span."
            )
        return request

    def options(self) -> dict[str, object]:
        """Further options of the method."""
        return {"max_order": self.max_order}


class ExplicitAdams(AdamsSolver):
    """Adams-Bashforth methods up to a given order; the order in the step is 4, set by the first steps.

    With 11 past derivatives, torchdiffeq's default, the method is stable for very short steps only.

    Args:
        max_order: one more than the number of past derivatives used, 4 to 12.
    """

    name: ClassVar[str] = "torchdiffeq/explicit-adams"
    method: ClassVar[str] = "explicit_adams"
    known_failures: ClassVar[dict[str, str]] = AdamsSolver.known_failures | {
        "check_observed_order": "With 11 past derivatives it is unstable until the step is very short: the error is 5e19 at 32 steps, "
        "0.004 at 512 and 8e-12 at 1024, so that no three halvings show an order.",
    }

    def __init__(self, *, max_order: int = LARGEST_ORDER) -> None:
        super().__init__(max_order)
        self.order = min(4, max_order - 1)


class ImplicitAdams(AdamsSolver):
    """Adams-Moulton methods up to a given order; the order in the step is 5, set by the first steps.

    The equation of a step is solved by at most 4 functional iterations. Where they do not meet the tolerance torchdiffeq warns,
    goes on, and forgets its oldest derivative, down to the 3/8 rule: a tolerance that is too tight costs order.

    Args:
        max_order: one more than the number of past derivatives used, 4 to 12.
        rtol, atol: tolerances of the iterations.
    """

    name: ClassVar[str] = "torchdiffeq/implicit-adams"
    method: ClassVar[str] = "implicit_adams"
    implicit = True
    known_failures: ClassVar[dict[str, str]] = AdamsSolver.known_failures | {
        "check_observed_order": "The order grows with the number of past derivatives until the first steps set it: 5.4 is observed "
        "where errors are clear of rounding, with single slopes up to 8.4.",
        "check_empty_states": "torchdiffeq asks for the largest element of a residual that has none.",
    }

    def __init__(self, *, max_order: int = LARGEST_ORDER, rtol: float = 1e-7, atol: float = 1e-9) -> None:
        super().__init__(max_order)
        self.order = min(5, max_order)
        self.rtol, self.atol = rtol, atol

    def tolerances(self) -> dict[str, float]:
        """rtol and atol of the call."""
        return {"rtol": self.rtol, "atol": self.atol}
