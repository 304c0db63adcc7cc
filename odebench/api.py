"""The library's front door: one call to solve, with any solver and any gradient method."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from odebench.contract import Field, GradientMethod, Grid, GridRequest, Solution, Solver, State, StepSize, Tolerance
from odebench.errors import CompileError, GridError, IncompatibleError, PluginError
from odebench.plugins import Registry, build_registry

DEFAULT_SOLVER = "dopri5"
DEFAULT_GRADIENT = "direct"

Named = str | Mapping[str, Any]
"""A name, or a table with a name and parameters: `{"name": "continuous-adjoint", "norm": "all"}`."""

Compile = bool | Literal["auto"]
"""Whether a solve is compiled; "auto": where it can be."""


def solve(
    field: Field,
    y0: State,
    ts: Sequence[float] | Tensor,
    *,
    solver: Named | Solver = DEFAULT_SOLVER,
    gradient: Named | GradientMethod = DEFAULT_GRADIENT,
    rtol: float | None = None,
    atol: float | None = None,
    batch: str = "joint",
    steps: int | None = None,
    step_size: float | None = None,
    grid: GridRequest | None = None,
    inputs: tuple[Tensor, ...] = (),
    compile: Compile = False,  # noqa: A002 - torch's own word for it
) -> Solution:
    """Solve dy/dt = field(t, y) from y0 at ts[0], and give the states at all of `ts`.

    How time is divided is said in one of three ways: `rtol` and `atol` (adaptive solvers; one of them stands for both; 1e-6
    where nothing is said), `steps` or `step_size` (uniform steps), or `grid`, such as the `grid` of an earlier solution.

    Args:
        field: a callable `field(t, y)`; t is a 0-dim tensor. Parameters of a module get their gradients.
        y0: `(batch, *state)`, or a tuple of such tensors.
        ts: output times, rising or falling; the state at ts[0] is y0.
        solver: a name (`odebench list solvers`), a table with parameters, or an instance.
        gradient: likewise (`odebench list gradients`).
        rtol, atol: tolerances of the local error.
        batch: "joint" steps for the whole batch, or "per-sample".
        steps: number of uniform steps over the whole span.
        step_size: length of a step; the last one is shorter where it does not divide the span.
        grid: a `StepSize`, a `Tolerance` with more options, or a `Grid` to be repeated.
        inputs: tensors that the field uses and does not own, to which gradients must flow.
        compile: whether the whole solve, and its gradient, is compiled into one program: at the first call, which takes from
            seconds to more than half a minute, and again only where the field, the solver or the number of dimensions is another. "auto" solves
            without where that cannot be, and says why in `stats.compile_fallback_reason` and in a warning.

    Returns:
        `Solution(ys, grid, stats)`; ys has shape `(times, batch, *state)`, a tuple for a tuple state.

    Raises:
        UnknownNameError: no such solver or gradient method.
        IncompatibleError: a combination that cannot work.
        GridError: steps, tolerances or times that describe no solve.
        DivergedError: no step is small enough, or too many were needed.
        CompileError: with `compile=True`, where the solver, the gradient method or the field has no compiled form.
    """
    if isinstance(inputs, Tensor):
        raise IncompatibleError("`inputs` is a tensor; it must be a tuple of the tensors that the field uses.")
    chosen = solver if isinstance(solver, Solver) else build("solver", solver)
    method = gradient if isinstance(gradient, GradientMethod) else build("gradient", gradient)
    # Without a graph any method is a plain solve.
    if torch.is_grad_enabled() and (reason := method.supports(chosen)) is not None:
        raise IncompatibleError(f"gradient {method.name!r} cannot work with solver {chosen.name!r}: {reason}")
    request = grid_request(chosen, rtol, atol, batch, steps, step_size, grid)
    return run(method, chosen, field, y0, ts, request, inputs, compile)


def run(
    method: GradientMethod,
    solver: Solver,
    field: Field,
    y0: State,
    ts: Sequence[float] | Tensor,
    request: GridRequest,
    inputs: tuple[Tensor, ...] = (),
    compile: Compile = False,  # noqa: A002 - torch's own word for it
) -> Solution:
    """`method.solve`, compiled or not, as `solve` says of `compile`."""
    if compile is False:
        return method.solve(solver, field, y0, ts, request, inputs)
    if compile is not True and compile != "auto":
        raise IncompatibleError(f"compile is {compile!r}; it must be True, False or 'auto'.")
    # The compiler is loaded by those who compile.
    from odebench.compiled import solve_compiled

    try:
        return solve_compiled(solver, method, field, y0, ts, request)
    except CompileError as refusal:
        if compile is True:
            raise
        warnings.warn(f"Solved without compile: {refusal}", stacklevel=3)
        solution = method.solve(solver, field, y0, ts, request, inputs)
        solution.stats.compile_fallback_reason = str(refusal)
        return solution


def build(kind: str, named: Named) -> Any:
    """The solver, gradient method, model, task or step policy of this name, with the parameters of a table.

    Raises:
        PluginError: there is no such name or parameter, or the plugin that offers it failed to load; or `named` is neither a
            name nor a table.
    """
    if isinstance(named, str) and "/" not in named and kind in _REUSED:
        return _built_in(kind, named)
    if isinstance(named, type):
        raise PluginError(f"{kind}: {named.__name__} is a class. Give an instance of it, such as {named.__name__}().")
    if not isinstance(named, str | Mapping):
        raise PluginError(f"{kind}: {named!r} is no name. Give a name, a table with a name, or an instance.")
    table = {"name": named} if isinstance(named, str) else dict(named)
    if not isinstance(table.get("name"), str):
        raise PluginError(f"{kind}: the table {table} has no name.")
    return _built(kind, table.pop("name"), table)


_REUSED = ("solver", "gradient")
"""Kinds whose instances hold nothing of a solve, so that one serves them all."""


def _built(kind: str, name: str, parameters: dict[str, Any]) -> Any:
    registry = _registry(name.partition("/")[0] if "/" in name else None)
    failure = registry.failure_of(name)
    if failure is not None and name not in registry.names(kind):
        raise PluginError(f"{kind} {name!r}: its plugin {failure.plugin!r} could not be loaded: {failure.message}")
    return registry.get(kind, name).build(**parameters)


@functools.cache
def _built_in(kind: str, name: str) -> Any:
    """With its defaults, as most solves ask for it."""
    return _built(kind, name, {})


@functools.cache
def _registry(prefix: str | None) -> Registry:
    """The built-ins, and the one installed plugin that is asked for: no other library is imported."""
    return build_registry(prefixes=() if prefix is None else (prefix,))


def grid_request(
    solver: Solver,
    rtol: float | None = None,
    atol: float | None = None,
    batch: str = "joint",
    steps: int | None = None,
    step_size: float | None = None,
    grid: GridRequest | None = None,
) -> GridRequest:
    """How `solve` divides time when it is told this.

    Raises:
        GridError: what is given contradicts itself, or lacks what the solver needs.
    """
    uniform = steps is not None or step_size is not None
    tolerance = rtol is not None or atol is not None
    if uniform + tolerance + (grid is not None) > 1:
        raise GridError("Give one of: rtol and atol; steps or step_size; grid.")
    if batch != "joint" and (uniform or grid is not None):
        raise GridError(
            f"batch={batch!r} goes with rtol and atol; uniform steps and grids say themselves whose they are."
        )
    if grid is not None:
        if not isinstance(grid, StepSize | Tolerance | Grid):
            raise GridError(f"grid is a {type(grid).__name__}; it must be a StepSize, a Tolerance or a Grid.")
        return grid
    if uniform:
        return StepSize(steps=steps, step_size=step_size)
    if not solver.adaptive:
        raise GridError(f"Solver {solver.name!r} takes fixed steps: give steps or step_size.")
    if not tolerance:
        rtol = atol = 1e-6
    return Tolerance(rtol=atol if rtol is None else rtol, atol=rtol if atol is None else atol, batch=batch)
