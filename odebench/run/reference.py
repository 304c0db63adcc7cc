"""References with provenance: the solution of a problem and the gradient of its loss, and how far both can be trusted.

Best first: a closed form, whose uncertainty is what rounding of its input does to it; else two ways that share nothing,
SciPy's adaptive method and a method of order 14 (explicit) or 9 (implicit) on a mesh made from SciPy's steps. The value is
that of the second way; the uncertainty is what the two disagree by, or what refining the mesh changes, whichever is more.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from odebench.contract import Problem, Reference, State, parameters_of, relative_l2
from odebench.errors import NotKnownError
from odebench.run import reference_collocation, reference_extrapolation
from odebench.run.flat_problem import FlatProblem
from odebench.run.reference_cost import Cost
from odebench.run.reference_scipy import Budget, Trajectory, Way, adjoint_gradient, solve_trajectory
from odebench.run.replay import Chain, Output, differentiate_chain, run_chain
from odebench.run.row_newton import refuse_coupled_rows

FLOOR = 1e-15
"""No reference in float64 is trusted further than this."""

_WAYS = (Way("DOP853", 1e-13), Way("DOP853", 1e-9), Way("Radau", 1e-10))
_STIFF_WAYS = (Way("Radau", 1e-11), Way("Radau", 1e-8))
_EXPLICIT_LEVELS = (4, 2, 1)
"""Meshes to try: every 4th, every 2nd, each of SciPy's steps."""
_IMPLICIT_LEVELS = (16, 8, 4)
_SETTLED = 10.0
"""Refining stops when it changes no more than so many times what the two ways disagree by: that remains anyway."""
_ROUNDED = 2.0**-52
_DRAWS = 3

Values = dict[str, Tensor] | Tensor


def reference_solution(problem: Problem, ts: tuple[float, ...]) -> Reference:
    """The solution at `ts`, in float64.

    Args:
        problem: rounded to the dtype it is meant in; lifted to float64 in place.
        ts: monotone times, the first of them the initial time.

    Raises:
        NotKnownError: no two ways agree on anything, or it would cost too much.
    """
    flat = FlatProblem(problem)
    if not flat.batch:
        return Reference(
            value=flat.unpack(flat.y0.new_zeros(len(ts), 0, flat.width)), uncertainty=FLOOR, method="no rows"
        )
    if problem.exact is not None:
        with contextlib.suppress(NotKnownError):  # a closed form in too many pieces
            some = tuple(dict.fromkeys((ts[0], ts[len(ts) // 2], ts[-1])))
            uncertainty = _sensitivity(flat.problem, lambda p: _exact_outputs(p, some))
            return Reference(value=_exact_outputs(flat.problem, ts), uncertainty=uncertainty, method="closed form")

    def second(chain: Chain) -> Tensor:
        return run_chain(chain, flat.y0)

    def distance(left: Tensor, right: Tensor) -> float:
        return max(relative_l2(a, b) for a, b in zip(left[1:], right[1:], strict=True))

    def first(trajectory: Trajectory, way: Way, cost: Cost) -> Tensor:
        return trajectory.outputs

    value, uncertainty, method = _two_ways(flat, ts, first, second, distance, with_vjp=False)
    return Reference(value=flat.unpack(value), uncertainty=uncertainty, method=method)


def reference_gradient(problem: Problem) -> Reference:
    """The gradient of the loss of the continuous problem, by the names of `Known.gradient`, in float64.

    Args:
        problem: as for `reference_solution`.

    Raises:
        NotKnownError: as for `reference_solution`.
    """
    flat = FlatProblem(problem)
    if not flat.batch:
        zeros = flat.gradients(flat.y0, tuple(torch.zeros_like(p) for p in flat.parameters))
        return Reference(value=zeros, uncertainty=FLOOR, method="no rows")
    if problem.exact is not None:
        with contextlib.suppress(NotKnownError):  # in too many pieces, or not a function of all parameters
            value = _exact_gradient(flat.problem)
            uncertainty = _sensitivity(flat.problem, _exact_gradient)
            return Reference(value=value, uncertainty=uncertainty, method="closed form, differentiated")

    times = flat.problem.gradient_ts

    def first(trajectory: Trajectory, way: Way, cost: Cost) -> dict[str, Tensor]:
        return flat.gradients(*adjoint_gradient(flat, times, trajectory, way, Budget(cost.evaluations(with_vjp=True))))

    def second(chain: Chain) -> dict[str, Tensor]:
        found = differentiate_chain(chain, flat.y0, flat.parameters, flat.loss, segment=4)
        return flat.gradients(found.grad_y0, found.grad_parameters)

    def distance(left: dict[str, Tensor], right: dict[str, Tensor]) -> float:
        return max(relative_l2(left[name], right[name]) for name in left)

    value, uncertainty, method = _two_ways(flat, times, first, second, distance, with_vjp=True)
    return Reference(value=value, uncertainty=uncertainty, method=method)


def _two_ways(
    flat: FlatProblem,
    times: tuple[float, ...],
    first: Callable[[Trajectory, Way, Cost], Values],
    second: Callable[[Chain], Values],
    distance: Callable[[Values, Values], float],
    with_vjp: bool,
) -> tuple[Values, float, str]:
    cost = Cost(flat)
    reasons = []
    for way in _STIFF_WAYS if flat.problem.stiff else _WAYS:
        try:
            trajectory = solve_trajectory(flat, times, way, Budget(cost.evaluations()))
            one = first(trajectory, way, cost)
            return _refined(flat, trajectory, way, one, second, distance, cost.evaluations(with_vjp))
        except NotKnownError as error:
            reasons.append(f"{way}: {error}")
    raise NotKnownError("No reference was found. " + " ".join(reasons))


def _refined(
    flat: FlatProblem,
    trajectory: Trajectory,
    way: Way,
    one: Values,
    second: Callable[[Chain], Values],
    distance: Callable[[Values, Values], float],
    allowed: int,
) -> tuple[Values, float, str]:
    """The second way on ever finer meshes, until refining changes less than the two ways disagree by."""
    implicit = way.method == "Radau"
    if implicit:
        refuse_coupled_rows(flat)
    module = reference_collocation if implicit else reference_extrapolation
    evaluations = module.EVALUATIONS * (1 + flat.width if implicit else 1)
    best: tuple[Values, float] | None = None
    reason = ""
    for level in _IMPLICIT_LEVELS if implicit else _EXPLICIT_LEVELS:
        mesh = _mesh(trajectory, level)
        if len(mesh) * evaluations > allowed:
            reason = f"The second way needs {len(mesh) * evaluations} evaluations of the field; {allowed} are allowed."
            break
        try:
            value = second(_chain(flat, mesh, len(trajectory.outputs), implicit))
        except NotKnownError as error:
            reason = str(error)
            continue
        apart = distance(value, one)
        change = 0.0 if best is None else distance(value, best[0])
        settled = best is not None and change <= _SETTLED * max(apart, FLOOR)
        uncertainty = max(apart, change)
        if uncertainty == uncertainty:
            best = (value, uncertainty)
        if settled:
            break
    if best is None:
        raise NotKnownError(reason or "The second way gives values that are not finite.")
    value, uncertainty = best
    name = "Radau IIA of order 9" if implicit else "extrapolation of order 14"
    return value, max(uncertainty, FLOOR), f"{way}, against {name} in float64"


def _mesh(trajectory: Trajectory, level: int) -> list[tuple[float, float, int | None]]:
    """Steps (start, end, index of the output at its end or None)."""
    mesh: list[tuple[float, float, int | None]] = []
    for interval, knots in enumerate(trajectory.knots):
        kept = [*knots[:-1:level].tolist(), float(knots[-1])]
        steps = list(itertools.pairwise(kept))
        mesh += [(start, end, None) for start, end in steps[:-1]]
        mesh.append((*steps[-1], interval + 1))
    return mesh


def _chain(flat: FlatProblem, mesh: list[tuple[float, float, int | None]], outputs: int, implicit: bool) -> Chain:
    step = reference_collocation.radau_step if implicit else reference_extrapolation.extrapolated_step

    def advance(n: int, y: Tensor) -> tuple[Tensor, list[Output]]:
        start, end, output = mesh[n]
        y = step(flat.field, start, end - start, y)
        return y, [] if output is None else [Output(output, y)]

    return Chain(len(mesh), advance, outputs)


def _sensitivity(problem: Problem, compute: Callable[[Problem], State | dict[str, Tensor]]) -> float:
    """What a closed form's value changes by when its input changes by one unit in the last place."""
    value = compute(problem)
    generator = torch.Generator().manual_seed(0)
    worst = max(_distance(compute(_nudged(problem, generator)), value) for _ in range(_DRAWS))
    return max(2.0 * worst, FLOOR)


def _nudged(problem: Problem, generator: torch.Generator) -> Problem:
    def nudge(tensor: Tensor) -> Tensor:
        signs = torch.randint(2, tensor.shape, generator=generator, dtype=torch.float64) * 2.0 - 1.0
        return tensor * (1.0 + _ROUNDED * signs)

    field = copy.deepcopy(problem.field)
    with torch.no_grad():
        for parameter in parameters_of(field):
            parameter.copy_(nudge(parameter))
    y0 = tuple(map(nudge, problem.y0)) if isinstance(problem.y0, tuple) else nudge(problem.y0)
    return replace(problem, field=field, y0=y0)


def _distance(left: State | dict[str, Tensor], right: State | dict[str, Tensor]) -> float:
    if isinstance(left, dict):
        return max(relative_l2(left[name], right[name]) for name in left)
    left, right = (x if isinstance(x, tuple) else (x,) for x in (left, right))
    times = range(1, len(left[0]))
    return max(relative_l2(tuple(x[k] for x in left), tuple(x[k] for x in right)) for k in times)


def _exact_outputs(problem: Problem, ts: tuple[float, ...], graph: bool = False) -> State:
    with torch.set_grad_enabled(graph):
        states = [problem.exact(problem, t) for t in ts]
    if isinstance(problem.y0, tuple):
        return tuple(torch.stack(leaf) for leaf in zip(*states, strict=True))
    return torch.stack(states)


def _exact_gradient(problem: Problem) -> dict[str, Tensor]:
    """Autograd through the closed form.

    Raises:
        NotKnownError: the closed form does not use all parameters of the field, so their gradient is not in it.
    """
    leaves = problem.y0 if isinstance(problem.y0, tuple) else (problem.y0,)
    leaves = tuple(leaf.detach().clone().requires_grad_() for leaf in leaves)
    parameters = parameters_of(problem.field)
    with torch.enable_grad():
        y0 = leaves if isinstance(problem.y0, tuple) else leaves[0]
        loss = problem.loss(_exact_outputs(replace(problem, y0=y0), problem.gradient_ts, graph=True))
        inputs = (*leaves, *parameters)
        found = torch.autograd.grad(loss, inputs, allow_unused=True) if loss.requires_grad else (None,)
    if any(gradient is None for gradient in found):
        raise NotKnownError("The closed form is not a function of all parameters of the field.")
    named = {"grad_y0": torch.cat([g.reshape(-1) for g in found[: len(leaves)]])}
    if parameters:
        named["grad_params"] = torch.cat([g.reshape(-1) for g in found[len(leaves) :]])
    return named
