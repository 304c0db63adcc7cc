"""The same question gives the same bits: with and without a graph, step by step, on its own grid, and twice in a row."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from odebench.conformance.failure import Failure
from odebench.conformance.problems import Layers, turning
from odebench.conformance.solvers.requests import bits_differ, requests, solved
from odebench.contract import GridRequest, Solver, Tolerance
from odebench.numerics import OneStepSolver

_TS = (0.0, 0.5, 1.0)
# Long enough for several steps of a method of high order.
_LONG = (0.0, 1.5, 3.0)


def _state() -> Tensor:
    return torch.tensor([[0.3, -0.8], [1.1, 0.4], [-0.6, 0.2]], dtype=torch.float64)


def check_gradient_mode_changes_nothing(solver: Solver) -> str:
    """A solve gives the same bits whether or not autograd records it."""
    field = Layers()
    for words, request in requests(solver).items():
        with torch.no_grad():
            without = solved(solver, field, _state(), _TS, request).ys
        y0 = _state().requires_grad_(solver.differentiable)
        with torch.enable_grad():
            recorded = solved(solver, field, y0, _TS, request).ys
        _refuse(
            bits_differ(recorded, without),
            expected=f"the same states, bit for bit, with a graph and without ({words})",
            cause="another kernel where gradients are enabled, such as a fused or an in-place sum on one side only",
            look="what asks for `is_grad_enabled` or `requires_grad`",
        )
    return "with a graph and without"


def check_steps_are_recomputed(solver: OneStepSolver) -> str:
    """Taking a step again from the stored state gives the forward's bits: with a graph, without, and without its carry."""
    field, seen = Layers(), 0
    for words, request in requests(solver).items():
        visited: list[tuple[float, float, Tensor, Any]] = []
        with torch.no_grad():
            result, _, timed = solver.march(field, _state(), (0.0, 1.0), request, _note(visited))
        ends = [y for _, _, y, _ in visited[1:]] + [result.ys[-1]]
        for (t, dt, y, carry), y1 in zip(visited, ends, strict=True):
            for recording, kept in itertools.product((False, True), {True, solver.carry_is != "cache"}):
                with torch.set_grad_enabled(recording):
                    again = solver.step(timed, t, dt, y, carry if kept else None).y1
                _refuse(
                    bits_differ(again, y1),
                    expected=f"the step from t = {t:.4g} to give the forward's bits again "
                    f"({words}, {'with' if recording else 'without'} a graph, {'with' if kept else 'without'} the carry)",
                    cause="what the step hands on is not what it would compute, or the step computes otherwise when "
                    "something else is asked of it",
                    look="`Step.carry`, and what `error`, `dense` and gradients change in `step`",
                )
        seen += len(visited)
    return f"{seen} steps"


@torch.no_grad()
def check_grid_is_repeated(solver: Solver) -> str:
    """Solving on the grid that a solve returned gives its states again, bit for bit."""
    problem, said = turning(), []
    asked: dict[str, GridRequest] = requests(solver, tolerance=1e-5)
    if solver.adaptive and getattr(solver, "accepts_rows", False):
        asked["steps for each row"] = Tolerance(rtol=1e-4, atol=1e-4, batch="per-sample")
    for words, request in asked.items():
        first = solved(solver, problem.field, problem.y0, _LONG, request, problem.name)
        if first.grid is None:
            raise Failure(
                expected=f"`Solution.grid` to hold the steps ({words}): the solver declares that it takes grids",
                measured="None",
                cause="the library does not tell its steps",
                look="`solve`; or declare `takes_grids = False`",
            )
        again = solved(solver, problem.field, problem.y0, _LONG, first.grid, f"{problem.name} on its own grid")
        _refuse(
            bits_differ(again.ys, first.ys),
            expected=f"the states of the first solve again, bit for bit, on its grid ({words}, {first.grid.steps} steps)",
            cause="the grid holds lengths that were rounded, or one more or one less step than was taken",
            look="where the grid is collected, and how its last step ends",
        )
        said.append(f"{first.grid.steps} steps ({words})")
    return ", ".join(said)


@torch.no_grad()
def check_determinism(solver: Solver) -> str:
    """Solving twice gives the same bits, and new weights or a new initial state, written in place, give what a new solver gives."""
    for words, request in requests(solver).items():
        field, y0, new = Layers(), _state(), copy.deepcopy(solver)
        first = solved(solver, field, y0, _TS, request).ys.clone()
        _refuse(
            bits_differ(solved(solver, field, y0, _TS, request).ys, first),
            expected=f"the same bits when the same solve is repeated ({words})",
            cause="the solver keeps something from one solve to the next, or draws random numbers",
            look="attributes that `solve` or `step` sets on `self`",
        )
        field.weight.mul_(0.7)
        y0.mul_(1.2)
        _refuse(
            bits_differ(solved(solver, field, y0, _TS, request).ys, solved(new, field, y0, _TS, request).ys),
            expected=f"what a new solver gives, after weights and initial state were changed in place ({words})",
            cause="results are remembered by the identity of the field or of the state",
            look="caches, `functools.lru_cache` among them",
        )
    return "twice, and after a change in place"


def _note(visited: list[tuple[float, float, Tensor, Any]]) -> Callable[..., None]:
    return lambda *step: visited.append(step)


def _refuse(gap: float | None, *, expected: str, cause: str, look: str) -> None:
    if gap is not None:
        raise Failure(expected=expected, measured=f"a relative difference of {gap:.2g}", cause=cause, look=look)
