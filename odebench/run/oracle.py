"""The exact gradient of a discrete solution: the accepted steps, replayed in float64 under plain autograd.

Shares no code with `odebench.numerics`, the solvers or the gradient methods, lest a fault of theirs hide here. A solver
that is a tableau is replayed from its coefficients; one that only has `step` is replayed through that, which proves its
gradient methods and not its step; one that tells no steps cannot be replayed.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from odebench.contract import Grid, Problem, Reference, Solver, State, relative_l2
from odebench.errors import NotKnownError
from odebench.run.flat_problem import FlatProblem
from odebench.run.oracle_network import exact_network_gradient
from odebench.run.oracle_tableau import Coefficients, coefficients_of, is_implicit, state_inside, take_step
from odebench.run.reference_cost import Cost
from odebench.run.replay import Advance, Chain, Output, differentiate_chain
from odebench.run.row_newton import refuse_coupled_rows

_CLOSE = 1e-9
"""A time that lies within this share of a step of its end is its end: lengths of steps are sums that round."""
_BUDGETS = 4
"""A replay may cost so many times what a reference may."""
_STEP_EVALUATIONS = 20
"""Evaluations of the field in a step whose number of stages is not known."""


def exact_discrete_gradient(problem: Problem, solver: Solver, grid: Grid | None) -> Reference:
    """Gradient of the problem's loss of the discrete solution on `grid`, by the names of `Known.gradient`, in float64.

    Args:
        problem: rounded to the cell's dtype; lifted to float64 in place.
        solver: the solver that took the steps.
        grid: the steps it took.

    Returns:
        The gradients. Their uncertainty is what rounding does to them: their relative change when the initial state changes
        by one unit in the last place of the cell's dtype. Where a coarse grid amplifies that, no method can do better.

    Raises:
        NotKnownError: no grid, no way to replay it, or a replay that would cost too much or is not finite.
    """
    if problem.network is not None:
        return exact_network_gradient(problem, solver, grid)
    if grid is None:
        raise NotKnownError(f"Solver {solver.name!r} does not tell its steps, so they cannot be replayed.")
    unit = torch.finfo(_leaves(problem.y0)[0].dtype).eps
    flat = FlatProblem(problem)
    times = flat.problem.gradient_ts
    coefficients = coefficients_of(solver)
    if coefficients is not None:
        method = "replay of the grid from the tableau, float64"
        implicit = is_implicit(coefficients)
        if implicit and flat.batch:
            refuse_coupled_rows(flat)
        evaluations = len(coefficients.b) * (5 * (1 + flat.width) if implicit else 1)
        advance = _tableau_steps(coefficients, flat, grid, times)
        segment = 32
    elif callable(getattr(solver, "step", None)):
        method = "replay of the grid by the solver's own step, float64"
        evaluations = solver.stages or _STEP_EVALUATIONS
        advance = _own_steps(solver, flat, grid, times)
        segment = grid.steps  # a carry is not known to be recomputable, so the chain is not cut
    else:
        raise NotKnownError(f"Solver {solver.name!r} has neither a tableau nor a step that could replay its grid.")
    allowed = _BUDGETS * Cost(flat).evaluations(with_vjp=True) if flat.batch else 0
    if flat.batch and grid.steps * evaluations > allowed:
        raise NotKnownError(f"A replay needs about {grid.steps * evaluations} evaluations; {allowed} are allowed.")

    def gradients_from(y0: Tensor) -> dict[str, Tensor]:
        chain = Chain(grid.steps, advance, len(times))
        found = differentiate_chain(chain, y0, flat.parameters, flat.loss, segment)
        return flat.gradients(found.grad_y0, found.grad_parameters)

    gradients = gradients_from(flat.y0)
    if not all(torch.isfinite(value).all() for value in gradients.values()):
        raise NotKnownError("The replayed gradient is not finite.")
    names = tuple(gradients)
    nearby = gradients_from(flat.y0 * (1.0 + unit * _signs(flat.y0)))
    change = relative_l2(tuple(nearby[name] for name in names), tuple(gradients[name] for name in names))
    return Reference(value=gradients, uncertainty=change, method=method)


def _signs(y: Tensor) -> Tensor:
    """+1 and -1 in turn: neighbouring elements move apart."""
    return 1.0 - 2.0 * (torch.arange(y.numel(), dtype=y.dtype, device=y.device) % 2).reshape(y.shape)


def _leaves(state: State) -> tuple[Tensor, ...]:
    return state if isinstance(state, tuple) else (state,)


def _tableau_steps(coefficients: Coefficients, flat: FlatProblem, grid: Grid, times: tuple[float, ...]) -> Advance:
    if grid.per_sample:
        return _row_steps(coefficients, flat, grid, times)
    starts, lengths = grid.t.tolist(), grid.dt.tolist()
    placed = _placed(starts, lengths, times, grid.end)
    remember = _Stages(coefficients)

    def advance(n: int, y: Tensor) -> tuple[Tensor, list[Output]]:
        step = take_step(coefficients, flat.field, starts[n], lengths[n], y, remember.stages(n))
        remember.keep(n, step.stages)
        return step.y1, [
            Output(index, step.y1 if theta == 1.0 else state_inside(coefficients, flat.field, step, theta))
            for index, theta in placed[n]
        ]

    return advance


class _Stages:
    """Solved stages of an implicit method: where Newton's method starts when a step is taken again for its graph."""

    def __init__(self, coefficients: Coefficients) -> None:
        self._implicit = is_implicit(coefficients)
        self._kept: dict[int, list[Tensor]] = {}

    def stages(self, n: int) -> list[Tensor] | None:
        return self._kept.get(n)

    def keep(self, n: int, stages: list[Tensor]) -> None:
        if self._implicit:
            self._kept[n] = [stage.detach() for stage in stages]


def _placed(
    starts: list[float], lengths: list[float], times: tuple[float, ...], end: float
) -> list[list[tuple[int, float]]]:
    """For each step the output times in it, with their share of the step; 1.0 at its end.

    Raises:
        NotKnownError: a time lies beyond the grid.
    """
    ends = [*starts[1:], end]
    placed: list[list[tuple[int, float]]] = [[] for _ in starts]
    for index, time in enumerate(times[1:], start=1):
        for n, (start, length) in enumerate(zip(starts, lengths, strict=True)):
            slack = _CLOSE * abs(length)
            if abs(time - ends[n]) <= slack:
                placed[n].append((index, 1.0))
                break
            theta = (time - start) / length
            if 0.0 < theta < 1.0:
                placed[n].append((index, theta))
                break
        else:
            raise NotKnownError(f"The output time {time!r} does not lie on the grid, which ends at {end!r}.")
    return placed


def _row_steps(coefficients: Coefficients, flat: FlatProblem, grid: Grid, times: tuple[float, ...]) -> Advance:
    """Steps of a grid with times for each row. A row whose dt is 0 keeps its state."""
    starts = grid.t.to(torch.float64).unsqueeze(-1)
    lengths = grid.dt.to(torch.float64).unsqueeze(-1)
    ends = starts + lengths
    moves = lengths != 0.0
    remember = _Stages(coefficients)

    def advance(n: int, y: Tensor) -> tuple[Tensor, list[Output]]:
        step = take_step(coefficients, flat.field, starts[n], lengths[n], y, remember.stages(n))
        remember.keep(n, step.stages)
        outputs = []
        for index, time in enumerate(times[1:], start=1):
            at_end = moves[n] & ((time - ends[n]).abs() <= _CLOSE * lengths[n].abs())
            theta = torch.where(moves[n], (time - starts[n]) / torch.where(moves[n], lengths[n], 1.0), -1.0)
            # A time within the slack of a step's start was the end of the step before.
            inside = moves[n] & ~at_end & (theta > _CLOSE) & (theta < 1.0)
            if at_end.any():
                outputs.append(Output(index, step.y1, at_end))
            if inside.any():
                outputs.append(Output(index, state_inside(coefficients, flat.field, step, theta), inside))
        return torch.where(moves[n], step.y1, y), outputs

    return advance


def _own_steps(solver: Solver, flat: FlatProblem, grid: Grid, times: tuple[float, ...]) -> Advance:
    if grid.per_sample:
        raise NotKnownError(
            f"Solver {solver.name!r} has no tableau; its grid of steps for each row cannot be replayed."
        )
    starts, lengths = grid.t.tolist(), grid.dt.tolist()
    placed = _placed(starts, lengths, times, grid.end)
    shaped = _Shaped(flat)
    carries: dict[int, object] = {}

    def advance(n: int, y: Tensor) -> tuple[Tensor, list[Output]]:
        state = shaped.from_rows(y)
        if n == 0:
            carries[0] = None
            if solver.carry_is == "state":
                carries[0] = solver.first_carry(shaped.field, starts[0], state)
        inside = any(theta != 1.0 for _, theta in placed[n])
        step = solver.step(shaped.field, starts[n], lengths[n], state, carries[n], dense=inside)
        carries[n + 1] = step.carry
        return shaped.to_rows(step.y1), [
            Output(index, shaped.to_rows(step.y1 if theta == 1.0 else solver.interpolate(step.dense, theta)))
            for index, theta in placed[n]
        ]

    return advance


class _Shaped:
    """States as a solver's `step` takes them: a tensor in its own shape, a tuple as rows."""

    def __init__(self, flat: FlatProblem) -> None:
        self._flat = flat
        y0 = flat.problem.y0
        self._shape = flat.y0.shape if isinstance(y0, tuple) else y0.shape

    def from_rows(self, y: Tensor) -> Tensor:
        return y.reshape(self._shape)

    def to_rows(self, y: Tensor) -> Tensor:
        return y.reshape(self._flat.y0.shape)

    @property
    def field(self) -> Callable[[float | Tensor, Tensor], Tensor]:
        return lambda t, y: self._flat.field(t, self.to_rows(y)).reshape(self._shape)
