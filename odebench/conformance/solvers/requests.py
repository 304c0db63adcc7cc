"""How a check asks a solver to divide time, by what the solver declares that it can take."""

from __future__ import annotations

from collections.abc import Sequence

from odebench.conformance.failure import Failure
from odebench.contract import Field, GridRequest, Solution, Solver, State, StepSize, Tolerance
from odebench.errors import OdebenchError


def requests(solver: Solver, *, steps: int = 8, tolerance: float = 1e-5) -> dict[str, GridRequest]:
    """What the solver can be asked for, in words: uniform steps, a tolerance, or both."""
    asked: dict[str, GridRequest] = {}
    if solver.takes_grids:
        asked[f"{steps} steps"] = StepSize(steps=steps)
    if solver.adaptive:
        asked[f"tolerance {tolerance:g}"] = Tolerance(rtol=tolerance, atol=tolerance)
    return asked


def solved(
    solver: Solver, field: Field, y0: State, ts: Sequence[float], request: GridRequest, what: str = ""
) -> Solution:
    """`solver.solve`, where a refusal by odebench's own errors is a failure of the check.

    Args:
        what: what is being solved, for the message.
    """
    try:
        return solver.solve(field, y0, ts, request)
    except OdebenchError as error:
        raise Failure(
            expected=f"a solution{f' of {what}' if what else ''}",
            measured=f"{type(error).__name__}: {error}",
            cause="the solver cannot do what it declares, or gives up too early",
            look="what raises that error, and at `adaptive` and `takes_grids` of the class",
        ) from error
