"""One solve and its gradients with a gradient method, and how they are compared with what is expected."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from odebench.conformance.failure import Failure
from odebench.conformance.gradients.companions import Companion
from odebench.conformance.gradients.problems import loss_of
from odebench.contract import Field, GradientMethod, Grid, GridRequest, Solution, State, StepSize

Gradients = dict[str, Tensor | None]
"""By the names that a failure tells: "y0", and those of parameters."""

TIMES = (0.0, 0.5, 1.0)
"""Output times that fall on the grid of any even number of steps."""

INEXACT = 2e-3
"""How far from the gradient of the discrete solution one may be that is not exact for it: with 40 steps of order 2."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What a gradient method gave.

    Attributes:
        solution: what it returned.
        gradients: of `loss_of(ys)`.
    """

    solution: Solution
    gradients: Gradients


def sources_of(field: object, y0: State) -> dict[str, Tensor]:
    """What gradients are asked for: the state, and the parameters of the field that require one."""
    leaves = {f"y0[{i}]": leaf for i, leaf in enumerate(y0)} if isinstance(y0, tuple) else {"y0": y0}
    named = getattr(field, "named_parameters", dict)
    parameters = dict(named()) if callable(named) else {}
    return leaves | {name: p for name, p in parameters.items() if p.requires_grad}


def tried(
    method: GradientMethod,
    companion: Companion,
    field: Field,
    y0: State,
    ts: Sequence[float] = TIMES,
    request: GridRequest | None = None,
    inputs: tuple[Tensor, ...] = (),
    sources: Mapping[str, Tensor] | None = None,
) -> Trial:
    """Solve with `method` and differentiate `loss_of` the outputs, in `sources` or in `sources_of(field, y0)`."""
    solution = method.solve(companion.solver, field, y0, ts, StepSize(steps=40) if request is None else request, inputs)
    return Trial(solution=solution, gradients=gradients_of(solution.ys, sources or sources_of(field, y0)))


def recorded(
    companion: Companion,
    field: Field,
    y0: State,
    ts: Sequence[float],
    grid: Grid | None,
    sources: Mapping[str, Tensor] | None = None,
    inputs: tuple[Tensor, ...] = (),
) -> Gradients:
    """The same gradients by autograd through the plain loop, on the grid that was used."""
    if grid is None:
        raise Failure(
            expected="the accepted steps in `Solution.grid`",
            measured="None, so that no other gradient can be computed on the same steps",
            cause="the grid of the solver's solution is not handed on",
            look="where `solve` builds its `Solution`",
        )
    return gradients_of(companion.replay(field, y0, ts, grid, inputs), sources or sources_of(field, y0))


def gradients_of(ys: State, sources: Mapping[str, Tensor]) -> Gradients:
    """Gradients of `loss_of(ys)`, None where there is none."""
    if not any(leaf.requires_grad for leaf in (ys if isinstance(ys, tuple) else (ys,))):
        raise Failure(
            expected="outputs that a loss can be differentiated through",
            measured="`ys` without `requires_grad`, although the initial state or a parameter requires a gradient",
            cause="the solve ran under `torch.no_grad()`, or its result was detached",
            look="where `solve` hands the state over to autograd: a `torch.autograd.Function` has to get each tensor as an argument",
        )
    found = torch.autograd.grad(loss_of(ys), tuple(sources.values()), allow_unused=True)
    return dict(zip(sources, found, strict=True))


def relative(got: Tensor | None, expected: Tensor | None) -> float:
    """‖got - expected‖ / ‖expected‖; None counts as zero."""
    if expected is None or not expected.any():
        return 0.0 if got is None or not got.any() else math.inf
    if got is None:
        return 1.0
    if got.shape != expected.shape:
        return math.inf
    error = ((got - expected).norm() / expected.norm()).item()
    return math.inf if math.isnan(error) else error


def farthest(got: Gradients, expected: Gradients) -> tuple[str, float]:
    """The name whose gradient is farthest off, and by how much."""
    return max(((name, relative(got[name], expected[name])) for name in expected), key=lambda pair: pair[1])


def rounding(evaluations: int) -> float:
    """A difference that `evaluations` of a field in float64 can make by rounding."""
    return 100 * torch.finfo(torch.float64).eps * math.sqrt(max(evaluations, 1))


def evaluations_of(solution: Solution) -> int:
    """Evaluations forward and backward, as counted by the method itself."""
    return solution.stats.evaluations_forward + solution.stats.evaluations_backward


def demand_close(got: Gradients, expected: Gradients, bound: float, promise: str, look: str) -> float:
    """The farthest relative difference.

    Args:
        got, expected: what is compared.
        bound: the most it may be.
        promise: what the bound follows from.
        look: where to look otherwise.

    Raises:
        Failure: it is more than `bound`.
    """
    name, error = farthest(got, expected)
    if error <= bound:
        return error
    others = ", ".join(f"{relative(got[key], expected[key]):.1e} of {key}" for key in expected if key != name)
    raise Failure(
        expected=f"{promise}: a relative difference of at most {bound:.1e}",
        measured=f"{error:.1e} for the gradient of {name}" + (f" ({others})" if others else ""),
        cause=likeliest(name, got, expected, bound),
        look=look,
    )


def likeliest(name: str, got: Gradients, expected: Gradients, bound: float) -> str:
    """What the difference looks like, as a sentence without its full stop."""
    mine, right = got[name], expected[name]
    if mine is None or not mine.any():
        return f"the gradient of {name} is dropped: it is {'missing' if mine is None else 'zero'}"
    if right is None or not right.any():
        return f"something is added to the gradient of {name} that it does not depend on"
    if mine.shape != right.shape:
        return f"it has shape {tuple(mine.shape)}, where the tensor has {tuple(right.shape)}"
    if not mine.isfinite().all():
        return "something became infinite or not a number on the way back"
    share = ((mine * right).sum() / right.square().sum()).item()
    if ((mine - share * right).norm() / right.norm()).item() < max(1e-3, 10 * bound):
        if abs(share + 1.0) < 0.02:
            return "a sign: it is the negative of the expected one"
        if abs(share - round(share)) < 0.02 and round(share) > 1:
            return f"it is counted {round(share)} times"
        return f"a factor: it is {share:.4g} times the expected one"
    right_ones = [key for key in expected if relative(got[key], expected[key]) <= bound]
    if name.startswith("y0") and any(not key.startswith("y0") for key in right_ones):
        return "what the initial state adds at the very end of the way back, for the parameters' gradients are right"
    if not name.startswith("y0") and any(key.startswith("y0") for key in right_ones):
        return "a term of some step or stage is missing where parameters' gradients are summed, for that of y0 is right"
    return "the steps of the way back are not those of the forward pass: other times, states or coefficients"
