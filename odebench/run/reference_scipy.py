"""References by SciPy's adaptive methods: the solution, and the gradient by the adjoint equation."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.integrate import solve_ivp
from torch import Tensor

from odebench.errors import NotKnownError
from odebench.run.flat_problem import FlatProblem, gradient_or_zeros

Array = NDArray[np.float64]


class Way(NamedTuple):
    """How SciPy is asked.

    Attributes:
        method: SciPy's name of it.
        rtol: relative tolerance.
    """

    method: str
    rtol: float

    def __str__(self) -> str:
        return f"SciPy {self.method} at {self.rtol:.0e}"


class Trajectory(NamedTuple):
    """A solve from the first time to the last.

    Attributes:
        outputs: `(times, batch, width)`.
        knots: for each interval between output times the times of its accepted steps, both ends included.
        dense: for each interval the continuous extension: a function of time, flat.
    """

    outputs: Tensor
    knots: list[Array]
    dense: list[Callable[[float], Array]]


class Budget:
    """Counts evaluations, and ends a solve that takes too many.

    Args:
        evaluations: how many are allowed.
    """

    def __init__(self, evaluations: int) -> None:
        self.left = evaluations
        self.allowed = evaluations

    def spend(self) -> None:
        """Count one.

        Raises:
            NotKnownError: none is left.
        """
        self.left -= 1
        if self.left < 0:
            raise NotKnownError(f"The reference needs more than {self.allowed} evaluations of the field.")


def solve_trajectory(flat: FlatProblem, times: tuple[float, ...], way: Way, budget: Budget) -> Trajectory:
    """The solution at `times`, each of which is the end of a step.

    Raises:
        NotKnownError: the solve fails, or takes too many evaluations.
    """

    def slope(t: float, y: Array) -> Array:
        budget.spend()
        with torch.no_grad():
            return flat.field(t, torch.from_numpy(y).view(flat.y0.shape)).reshape(-1).numpy()

    y = flat.y0.reshape(-1).numpy()
    atol = 1e-3 * way.rtol * _size(y)
    outputs, knots, dense = [y], [], []
    for start, end in itertools.pairwise(times):
        part = _solve(slope, start, end, y, way, atol)
        y = part.y[:, -1]
        outputs.append(y)
        knots.append(part.t)
        dense.append(part.sol)
    return Trajectory(torch.from_numpy(np.stack(outputs)).view(-1, *flat.y0.shape), knots, dense)


def adjoint_gradient(
    flat: FlatProblem, times: tuple[float, ...], trajectory: Trajectory, way: Way, budget: Budget
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Gradient of `flat.loss` of the states at `times`, in y0 and in the parameters.

    Solves a' = -(∂f/∂y)ᵀ a and g' = -(∂f/∂θ)ᵀ a backwards along the trajectory's dense output, so the state itself is
    never solved backwards; the loss's gradient is added to a at each output time.

    Source: R. T. Q. Chen et al., "Neural ordinary differential equations", NeurIPS 2018, appendix C.

    Raises:
        NotKnownError: the solve fails, or takes too many evaluations.
    """
    outputs = trajectory.outputs.clone().requires_grad_()
    with torch.enable_grad():
        (cotangents,) = gradient_or_zeros(flat.loss(outputs), (outputs,), torch.ones((), dtype=outputs.dtype))
    elements = flat.y0.numel()
    sizes = [elements, *(p.numel() for p in flat.parameters)]
    state = np.zeros(sum(sizes))
    for k in reversed(range(len(times) - 1)):
        state[:elements] += cotangents[k + 1].reshape(-1).numpy()
        dense = trajectory.dense[k]

        def slope(t: float, both: Array, dense: Callable[[float], Array] = dense) -> Array:
            budget.spend()
            y = torch.from_numpy(dense(t)).view(flat.y0.shape).requires_grad_()
            a = torch.from_numpy(both[:elements]).view(flat.y0.shape)
            with torch.enable_grad():
                products = gradient_or_zeros(flat.field(t, y), (y, *flat.parameters), -a)
            return np.concatenate([p.reshape(-1).numpy() for p in products])

        part = _solve(slope, times[k + 1], times[k], state, way, 1e-2 * way.rtol * _size(state))
        state = part.y[:, -1]
    state[:elements] += cotangents[0].reshape(-1).numpy()
    grad_y0, *parts = torch.from_numpy(state).split(sizes)
    grad_parameters = tuple(part.view_as(p) for part, p in zip(parts, flat.parameters, strict=True))
    return grad_y0.view(flat.y0.shape), grad_parameters


def _solve(slope: Callable[[float, Array], Array], start: float, end: float, y: Array, way: Way, atol: float) -> object:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        # SciPy warns of what ends in a failure, or in a disagreement with the second way, which is what counts.
        warnings.simplefilter("ignore")
        try:
            part = solve_ivp(slope, (start, end), y, method=way.method, rtol=way.rtol, atol=atol, dense_output=True)
        except (ValueError, np.linalg.LinAlgError) as error:
            raise NotKnownError(f"{way} failed between t = {start!r} and {end!r}: {error}.") from error
    if not part.success or not np.isfinite(part.y[:, -1]).all():
        raise NotKnownError(f"{way} failed between t = {start!r} and {end!r}: {part.message}")
    return part


def _size(values: Array) -> float:
    """A scale for absolute tolerances: the largest magnitude, 1 where all are 0."""
    return float(np.abs(values).max(initial=0.0)) or 1.0
