"""How time is to be divided, in terms that an adapter of another library can use."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence

from odebench.contract import Grid, StepSize, Tolerance
from odebench.errors import GridError, IncompatibleError
from odebench.numerics.outputs import nearest_fitting_count, outputs_by_step
from odebench.numerics.tableau import ButcherTableau
from odebench.numerics.uniform import uniform_grid


def given_grid(request: StepSize | Grid, ts: Sequence[float], name: str) -> Grid:
    """The steps that a solver `name` is given, the same for the whole batch.

    Raises:
        IncompatibleError: each row has steps of its own.
    """
    grid = uniform_grid(request, ts[0], ts[-1]) if isinstance(request, StepSize) else request
    if grid.per_sample:
        raise IncompatibleError(
            f"Solver {name!r} takes the same steps for the whole batch; this grid has steps by row."
        )
    return grid


def outputs_on_points(ts: Sequence[float], grid: Grid, name: str) -> tuple[list[float], list[int]]:
    """The grid's points up to the last output time, and which of them each output time is; for a solver without an interpolant.

    Raises:
        GridError: an output time lies inside a step.
    """
    placed = outputs_by_step(ts, grid.t.tolist(), grid.dt.tolist(), grid.end)
    if any(share not in (0.0, 1.0) for here in placed.values() for _, share in here):
        fitting = nearest_fitting_count(ts, grid.steps)
        advice = f"The nearest number of uniform steps that does is {fitting}." if fitting else "Use other times."
        raise GridError(f"Solver {name!r} has no interpolant, so output times must fall on the grid. {advice}")
    indices = [0] * len(ts)
    for step, here in placed.items():
        for output, share in here:
            indices[output] = step + (share == 1.0)
    return [*grid.t.tolist(), grid.end][: indices[-1] + 1], indices


def steps_of(tableau: ButcherTableau) -> ButcherTableau:
    """What a library's steps have of a tableau: with it the host repeats them, and judges whether a gradient is exact. How the library
    estimates errors, and what it computes inside a step, is its own affair and left out."""
    return dataclasses.replace(tableau, b_error=None, embedded_order=None, dense=None, dense_order=None)


def refuse_unhonoured(tolerance: Tolerance, name: str, library: str, honoured: Collection[str]) -> None:
    """Refuse a wish that would be passed over in silence; what stands at its default is none.

    Raises:
        IncompatibleError: naming the field of the `Tolerance`.
    """
    if tolerance.batch != "joint" and "per-sample" not in honoured:
        raise IncompatibleError(f"Solver {name!r} has one step size for the whole batch; batch must be 'joint'.")
    for field in dataclasses.fields(tolerance):
        if field.name not in honoured and field.name != "batch" and getattr(tolerance, field.name) != field.default:
            raise IncompatibleError(
                f"Solver {name!r} cannot honour {field.name}={getattr(tolerance, field.name)!r}: {library} controls steps in its "
                "own way. Leave it out."
            )
