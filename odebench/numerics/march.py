"""The loops that take a stepping solver from the first output time to the last."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from odebench.contract import Grid, GridRequest, StepSize, Tolerance
from odebench.errors import DivergedError, GridError, IncompatibleError
from odebench.numerics.outputs import CLOSE, nearest_fitting_count, outputs_by_step, share_of_step
from odebench.numerics.step_control import ErrorNorm, StepControl, first_step
from odebench.numerics.timed_field import TimedField
from odebench.numerics.uniform import uniform_grid

ANNOUNCED_STEPS = 16
"""Times are announced to the field for so many steps at once: enough to be cheap, few enough to cost no memory."""

Visit = Callable[[float, float, Tensor, Any], None]
"""Called as `visit(t, dt, y, carry)` after each accepted step, with its start and with the carry that it was given."""


class March(NamedTuple):
    """What a loop gives.

    Attributes:
        ys: packed states at the output times, the first one included.
        grid: accepted steps.
        rejected: number of rejected ones.
    """

    ys: list[Tensor]
    grid: Grid
    rejected: int


def march(
    solver: Any, field: TimedField, y: Tensor, ts: Sequence[float], request: GridRequest, visit: Visit | None = None
) -> March:
    """Solve from ts[0] to ts[-1] with `solver.step`, on a grid or with step control, as `request` says.

    Raises:
        IncompatibleError: a tolerance for a solver that estimates no error.
        GridError: an output time lies inside a step, and the solver has no interpolant of its order.
        DivergedError: the step size fell below its minimum, or there were too many steps.
    """
    if isinstance(request, StepSize):
        request = uniform_grid(request, ts[0], ts[-1])
    if isinstance(request, Grid):
        if request.per_sample:
            from odebench.numerics.march_rows import march_rows_on_grid

            return march_rows_on_grid(solver, field, y, ts, request, visit)
        return march_on_grid(solver, field, y, ts, request, visit)
    if not solver.adaptive:
        raise IncompatibleError(
            f"Solver {solver.name!r} takes fixed steps and cannot follow a tolerance. Give steps or step_size instead."
        )
    if request.batch == "per-sample":
        from odebench.numerics.march_rows import march_rows_adaptively

        return march_rows_adaptively(solver, field, y, ts, request, visit)
    loop = solver.adaptive_loop or march_adaptively
    return loop(solver, field, y, ts, request, visit)


def start(solver: Any, field: TimedField, t: float, y: Tensor) -> Any:
    """The carry of the first step: computed where it belongs to the state, nothing otherwise."""
    return solver.first_carry(field, t, y) if solver.carry_is == "state" else None


def wants_rows(request: GridRequest) -> bool:
    """Whether each row of the batch has, or gets, steps of its own."""
    return request.per_sample if isinstance(request, Grid) else getattr(request, "batch", "joint") == "per-sample"


def place_outputs(ts: Sequence[float], grid: Grid) -> dict[int, list[tuple[int, float]]]:
    """`outputs_by_step` of a grid that the whole batch shares."""
    return outputs_by_step(ts, grid.t.tolist(), grid.dt.tolist(), grid.end)


def announce(solver: Any, field: TimedField, starts: Sequence[float], lengths: Sequence[float]) -> None:
    """Tell the field the times at which these steps will evaluate it, where the solver knows them."""
    if solver.nodes:
        times = (t + c * dt for t, dt in zip(starts, lengths, strict=True) for c in solver.nodes)
        field.announce(tuple(dict.fromkeys(times)))  # the end of one step is the start of the next


def march_on_grid(
    solver: Any, field: TimedField, y: Tensor, ts: Sequence[float], grid: Grid, visit: Visit | None = None
) -> March:
    """Take the steps of `grid`."""
    starts, lengths = grid.t.tolist(), grid.dt.tolist()
    outputs = outputs_by_step(ts, starts, lengths, grid.end)
    check_outputs(solver.interpolates, solver.name, ts, outputs, len(starts))
    ys: list[Tensor] = [y] + [y] * (len(ts) - 1)
    carry = start(solver, field, starts[0], y)
    spans = list(zip(starts, lengths, strict=True))
    # Runs of steps of which nothing is asked between; a step in which outputs lie is a run of its own.
    runs = {0, len(spans), *range(0, len(spans), ANNOUNCED_STEPS), *outputs, *(n + 1 for n in outputs)}
    for n, stop in itertools.pairwise(sorted(runs)):
        if n % ANNOUNCED_STEPS == 0:
            announce(solver, field, starts[n : n + ANNOUNCED_STEPS], lengths[n : n + ANNOUNCED_STEPS])
        here = outputs.get(n, ())
        if visit is None and not here:
            y, carry = solver.advance(field, spans[n:stop], y, carry)
            continue
        inside = bool(here) and here[0][1] != 1.0
        for t, dt in spans[n:stop]:
            step = solver.step(field, t, dt, y, carry, dense=inside)
            if visit is not None:
                visit(t, dt, y, carry)
            y, carry = step.y1, step.carry
            for index, theta in here:
                ys[index] = y if theta == 1.0 else solver.interpolate(step.dense, theta)
    return March(ys, grid, 0)


def march_adaptively(
    solver: Any, field: TimedField, y: Tensor, ts: Sequence[float], tolerance: Tolerance, visit: Visit | None = None
) -> March:
    """Take steps whose estimated error meets `tolerance`, one step size for the whole batch."""
    t, end = ts[0], ts[-1]
    direction = 1.0 if end > t else -1.0
    control, norm = StepControl(tolerance, solver.error_order), ErrorNorm(tolerance, y)
    smallest = tolerance.min_step or 16 * 2.2e-16 * max(abs(t), abs(end))
    interpolates, take_step, is_cache = solver.interpolates, solver.step, solver.carry_is == "cache"
    ys: list[Tensor] = [y] + [y] * (len(ts) - 1)
    pending, starts, lengths, rejected, error = 1, [], [], 0, 0.0

    carry = start(solver, field, t, y)
    if tolerance.first_step is not None:
        dt = direction * min(tolerance.first_step, abs(end - t))
    else:
        slope = solver.slope(field, t, y, carry)
        dt = first_step(field, t, y, slope, end - t, norm, solver.error_order)
        dt = direction * max(abs(dt), smallest)  # a guess below the minimum is no reason to give up
        if solver.carry_is == "cache":
            carry = slope

    while pending < len(ts):
        if len(starts) + rejected >= tolerance.max_steps:
            raise diverged(f"{tolerance.max_steps} steps were not enough", solver, t, ts, starts, lengths)
        target = end if interpolates else ts[pending]
        # Reach for the target already from a little further away, lest a sliver of a step be left.
        last = direction * (t + dt * (1.0 + 1e-9) - target) >= 0.0
        if last:
            planned, dt = dt, target - t
        elif abs(dt) < smallest:
            short = f"the step size fell below its minimum ({abs(dt):.3g} < {smallest:.3g})"
            why = short if error == error else "the field is not finite"
            raise diverged(why, solver, t, ts, starts, lengths)
        ahead = target if last else t + dt
        inside = interpolates and direction * (ahead - ts[pending]) > CLOSE * abs(dt)
        step = take_step(field, t, dt, y, carry, error=True, dense=inside)
        error = norm(step.error, step.y1)
        if not error <= 1.0:
            rejected += 1
            dt *= control.rejected(error)
            continue
        norm.accept()
        if visit is not None:
            visit(t, dt, y, carry)
        starts.append(t)
        lengths.append(dt)
        while pending < len(ts) and direction * (ahead - ts[pending]) >= -CLOSE * abs(dt):
            theta = share_of_step(ts[pending], t, dt)
            ys[pending] = step.y1 if theta == 1.0 else solver.interpolate(step.dense, theta)
            pending += 1
        factor = control.accepted(error)
        y, carry = step.y1, step.carry
        if last and is_cache and t + dt != target:
            carry = None  # it was computed one rounding away from where the next step starts, and repeated steps would see that
        t = ahead
        # A step cut short to meet an output time says nothing against the length that was planned.
        dt = direction * max(abs(dt) * factor, abs(planned)) if last and factor >= 1.0 else dt * factor
    as_tensor = lambda values: torch.tensor(values, dtype=torch.float64)  # noqa: E731
    return March(ys, Grid(t=as_tensor(starts), dt=as_tensor(lengths), end=t), rejected)


def check_outputs(
    interpolates: bool, name: str, ts: Sequence[float], outputs: dict[int, list[tuple[int, float]]], steps: int
) -> None:
    """Refuse output times inside steps where the solver of this name cannot interpolate to its order."""
    if interpolates:
        return
    for placed in outputs.values():
        for index, theta in placed:
            if theta != 1.0:
                fitting = nearest_fitting_count(ts, steps)
                advice = (
                    f"The nearest number of uniform steps that does is {fitting}." if fitting else "Use other times."
                )
                raise GridError(
                    f"Solver {name!r} has no interpolant of its order, so output times must fall on the grid; "
                    f"ts[{index}] = {ts[index]!r} does not with {steps} steps. {advice}"
                )


def diverged(
    why: str, solver: Any, t: float, ts: Sequence[float], starts: Sequence[float], lengths: Sequence[float]
) -> DivergedError:
    """The error that ends a solve, telling where it was."""
    return DivergedError(
        f"Solver {solver.name!r} stopped at t = {t!r} on the way from {ts[0]!r} to {ts[-1]!r}, after {len(starts)} steps: {why}. "
        "The problem is stiff or its solution ends there, the field is not smooth, or the tolerance is below the rounding of the "
        "state's dtype: try an implicit solver, a looser tolerance or float64.",
        solution=Grid(
            t=torch.tensor(list(starts), dtype=torch.float64),
            dt=torch.tensor(list(lengths), dtype=torch.float64),
            end=t,
        ),
    )
