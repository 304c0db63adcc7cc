"""Smooth non-linear initial value problems whose solutions are known in closed form, all in float64.

Shares no code with the library.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import scipy.special
import torch
from torch import Tensor


@dataclass(frozen=True)
class SmoothProblem:
    """y' = field(t, y), y(0) = y0.

    Attributes:
        field: called with a float or a 0-dim tensor and a state `(batch, …)`.
        y0: the initial state.
        exact: the state at a time, a float.
        span, steps: where orders up to 4 are observed: from 0 to `span` with `steps`·2ᵏ steps.
        long_span, long_steps: likewise above 4: errors are clear of rounding only with long steps, for which the next power
            of the step counts as well, unless there are many of them.
    """

    field: Callable[[float | Tensor, Tensor], Tensor]
    y0: Tensor
    exact: Callable[[float], Tensor]
    span: float
    steps: int
    long_span: float
    long_steps: int


def _growth() -> SmoothProblem:
    """y' = y/4 (1 - y/20), problem A4 of DETEST (Hull, Enright, Fellen, Sedgwick, SIAM J. Numer. Anal. 9(4), 1972)."""
    y0 = torch.tensor([[1.0], [3.0]], dtype=torch.float64)
    return SmoothProblem(
        field=lambda t, y: y / 4.0 * (1.0 - y / 20.0),
        y0=y0,
        exact=lambda t: 20.0 / (1.0 + (20.0 / y0 - 1.0) * math.exp(-t / 4.0)),
        span=8.0,
        steps=1,
        long_span=12.0,
        long_steps=1,
    )


def _rotation() -> SmoothProblem:
    """A rotation whose speed depends on the radius and on the time: rows of two components that interact."""
    y0 = torch.tensor([[1.0, 0.0], [0.0, 0.7], [-0.5, 0.5]], dtype=torch.float64)

    def field(t: float | Tensor, y: Tensor) -> Tensor:
        speed = y.square().sum(-1, keepdim=True) * (1.0 + 0.5 * torch.cos(torch.as_tensor(t, dtype=y.dtype)))
        return speed * torch.stack((-y[..., 1], y[..., 0]), dim=-1)

    def exact(t: float) -> Tensor:
        radius = y0.norm(dim=-1, keepdim=True)
        angle = torch.atan2(y0[:, 1:], y0[:, :1]) + radius**2 * (t + 0.5 * math.sin(t))
        return torch.cat((radius * torch.cos(angle), radius * torch.sin(angle)), dim=1)

    return SmoothProblem(field=field, y0=y0, exact=exact, span=1.0, steps=1, long_span=3.0, long_steps=3)


def _elliptic() -> SmoothProblem:
    """Jacobi's elliptic functions sn, cn, dn of parameter 1/5: a rigid body (DETEST, problem B5)."""
    parameter = 0.2

    def field(t: float | Tensor, y: Tensor) -> Tensor:
        sn, cn, dn = y.unbind(-1)
        return torch.stack((cn * dn, -sn * dn, -parameter * sn * cn), dim=-1)

    def exact(t: float) -> Tensor:
        return torch.tensor([scipy.special.ellipj(t, parameter)[:3]], dtype=torch.float64)

    y0 = torch.tensor([[0.0, 1.0, 1.0]], dtype=torch.float64)
    return SmoothProblem(field=field, y0=y0, exact=exact, span=1.5, steps=1, long_span=6.0, long_steps=3)


PROBLEMS = {"growth": _growth(), "rotation": _rotation(), "elliptic": _elliptic()}


def observed_order(errors: list[float], size: float) -> float | None:
    """Median slope of the three finest halvings whose errors both lie between 1e3·eps·size and 1e-2·size; None for fewer than three.

    Args:
        errors: of twice as many steps each, coarsest first.
        size: norm of the solution.
    """
    low, high = 1e3 * torch.finfo(torch.float64).eps * size, 1e-2 * size
    slopes = [math.log2(coarse / fine) for coarse, fine in itertools.pairwise(errors) if low <= fine and coarse <= high]
    return sorted(slopes[-3:])[1] if len(slopes) >= 3 else None
