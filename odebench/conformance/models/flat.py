"""A problem as SciPy takes it: the state of a few rows as one array, and the field counted."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.integrate import solve_ivp
from torch import Tensor

from odebench.conformance.failure import Failure
from odebench.contract import Problem, State

Array = NDArray[np.float64]

MOST_EVALUATIONS = 20_000
"""More than these for two rows at a tolerance of 1e-7 is no problem to compare methods on."""


class TooMany(Exception):  # noqa: N818 - a count, not an error
    """A solve took more evaluations than it may."""


def leaves_of(state: State) -> tuple[Tensor, ...]:
    """The tensors of a state."""
    return state if isinstance(state, tuple) else (state,)


def like(state: State, leaves: tuple[Tensor, ...]) -> State:
    """Tensors as a state of the same kind."""
    return leaves if isinstance(state, tuple) else leaves[0]


def some_rows(problem: Problem) -> Problem:
    """The problem with its first two rows, or with the first alone where a row is large."""
    leaves = leaves_of(problem.y0)
    if not leaves[0].shape[0]:
        raise Failure(
            expected="an initial state with rows",
            measured=f"shapes {[tuple(leaf.shape) for leaf in leaves]}",
            cause="the default of `batch` is 0",
            look="the defaults of `__init__`",
        )
    rows = 1 if sum(leaf[0].numel() for leaf in leaves) > 32 else 2
    return replace(problem, y0=like(problem.y0, tuple(leaf[:rows].detach().clone() for leaf in leaves)))


def slope_at(problem: Problem, t: float, y: State) -> State:
    """The field, with a time as solvers give it."""
    with torch.no_grad():
        return problem.field(torch.tensor(t, dtype=leaves_of(y)[0].dtype), y)


def packed(state: State) -> Array:
    """All elements of a state as one array."""
    return torch.cat([leaf.detach().double().reshape(-1) for leaf in leaves_of(state)]).numpy()


def solved(problem: Problem, method: str, tolerance: float, most: int = MOST_EVALUATIONS) -> Array:
    """The state at the last time by SciPy.

    Raises:
        TooMany: it took more than `most` evaluations.
        Failure: SciPy gave up, or the solution is not finite.
    """
    leaves = leaves_of(problem.y0)
    sizes, shapes, count = [leaf.numel() for leaf in leaves], [leaf.shape for leaf in leaves], 0

    def slope(t: float, y: Array) -> Array:
        nonlocal count
        count += 1
        if count > most:
            raise TooMany
        parts = torch.from_numpy(np.array(y)).split(sizes)
        state = like(problem.y0, tuple(part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)))
        return packed(slope_at(problem, t, state))

    y0 = packed(problem.y0)
    scale = float(np.abs(y0).max()) or 1.0
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        span = (problem.ts[0], problem.ts[-1])
        found = solve_ivp(slope, span, y0, method=method, rtol=tolerance, atol=1e-3 * tolerance * scale)
    if not found.success or not np.isfinite(found.y).all():
        raise Failure(
            expected=f"a solution over the declared span, from {span[0]:g} to {span[1]:g}",
            measured=f"that SciPy's {method} stops at t = {found.t[-1]:.6g}: {found.message}",
            cause="the solution ends within the span, or a parameter makes it grow beyond all bounds",
            look="the sign of the field and the last of `ts`",
        )
    return found.y[:, -1]


def distance(one: Array, other: Array) -> float:
    """Relative l2 difference."""
    return float(np.linalg.norm(one - other) / max(np.linalg.norm(other), 1e-300))
