"""How a check asks a solver to divide time, by what the solver declares that it can take."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from odebench.conformance.failure import Failure
from odebench.contract import Field, GridRequest, Solution, Solver, State, StepSize, Tolerance


def requests(solver: Solver, *, steps: int = 8, tolerance: float = 1e-4) -> dict[str, GridRequest]:
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
    """`solver.solve`, where an error is a failure of the check.

    Args:
        what: what is being solved, for the message.
    """
    try:
        return solver.solve(field, y0, ts, request)
    except Exception as error:
        raise Failure(
            expected=f"a solution{f' of {what}' if what else ''}",
            measured=f"{type(error).__name__}: {error}",
            cause="the solver cannot do what it declares, or gives up too early",
            look="what raises that error, and at `adaptive` and `takes_grids` of the class",
        ) from error


def bits_differ(one: Tensor, other: Tensor) -> float | None:
    """None where two tensors are the same bit for bit; else the relative difference, nan where that is none.

    The comparison of memory tells 0 from -0 as well, and holds nan for equal to itself.
    """
    if one.shape == other.shape and one.dtype == other.dtype:
        if torch.equal(one.detach().contiguous().view(torch.uint8), other.detach().contiguous().view(torch.uint8)):
            return None
        return ((one - other).norm() / other.norm()).item()
    return float("nan")


def ordinary(solver: Solver, *, steps: int = 8, tolerance: float = 1e-4) -> GridRequest:
    """The first of `requests`: given steps where the solver takes them, a tolerance otherwise."""
    return next(iter(requests(solver, steps=steps, tolerance=tolerance).values()))


def relative(one: Tensor, other: Tensor) -> float:
    """The l2 norm of the difference over that of `other`."""
    return ((one - other).norm() / other.norm()).item()
