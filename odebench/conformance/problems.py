"""Smooth initial value problems whose solutions are known in closed form: what checks solve."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from odebench.contract import Field


@dataclass(frozen=True, kw_only=True)
class SmoothProblem:
    """y' = field(t, y) with y(0) = y0.

    Attributes:
        name: what it is called in what a check says.
        field: the right-hand side, which also takes one time for each row.
        y0: `(batch, state)`.
        span: from 0 to here orders up to 4 are observed.
        long_span: and here those above: errors are clear of rounding only with long steps, for which the next power of the
            step counts as well unless there are many of them.
        long_steps: the least number of steps over that span.
    """

    name: str
    field: Field
    y0: Tensor
    span: float
    long_span: float
    long_steps: int

    def exact(self, t: float) -> Tensor:
        """The solution at time t, in y0's dtype."""
        return self.field.solution(t, self.y0)


class Growth:
    """y' = y/4 (1 - y/20): logistic growth, autonomous.

    Source: T. E. Hull, W. H. Enright, B. M. Fellen, A. E. Sedgwick, "Comparing numerical methods for ordinary differential
    equations", SIAM Journal on Numerical Analysis 9(4), 1972, doi:10.1137/0709052, problem A4.
    """

    accepts_batched_time = True

    def __call__(self, t: Tensor, y: Tensor) -> Tensor:
        return y / 4.0 * (1.0 - y / 20.0)

    def solution(self, t: float, y0: Tensor) -> Tensor:
        """The state at time t that began in y0 at time 0."""
        return 20.0 / (1.0 + (20.0 / y0 - 1.0) * math.exp(-t / 4.0))


class Turning:
    """A rotation of the plane whose speed |y|² (1 + cos(t)/2) depends on the radius and on the time."""

    accepts_batched_time = True

    def __call__(self, t: Tensor, y: Tensor) -> Tensor:
        speed = y.square().sum(-1, keepdim=True) * (1.0 + 0.5 * torch.cos(t))
        return speed * torch.stack((-y[..., 1], y[..., 0]), dim=-1)

    def solution(self, t: float, y0: Tensor) -> Tensor:
        """The state at time t that began in y0 at time 0: radii stay, and the speed is integrated."""
        radius = y0.norm(dim=-1, keepdim=True)
        angle = radius**2 * (t + 0.5 * math.sin(t))
        across = torch.stack((-y0[..., 1], y0[..., 0]), dim=-1)
        return torch.cos(angle) * y0 + torch.sin(angle) * across


def growth(dtype: torch.dtype = torch.float64, device: str = "cpu") -> SmoothProblem:
    """The autonomous problem, in two rows of one element."""
    y0 = torch.tensor([[1.0], [3.0]], dtype=dtype, device=device)
    return SmoothProblem(name="logistic growth", field=Growth(), y0=y0, span=8.0, long_span=12.0, long_steps=1)


def turning(dtype: torch.dtype = torch.float64, device: str = "cpu") -> SmoothProblem:
    """The problem that depends on the time, in three rows of two elements that interact within the row."""
    y0 = torch.tensor([[1.0, 0.0], [0.0, 0.7], [-0.5, 0.5]], dtype=dtype, device=device)
    return SmoothProblem(name="a turning plane", field=Turning(), y0=y0, span=1.0, long_span=3.0, long_steps=3)


def smooth_problems() -> tuple[SmoothProblem, ...]:
    """Both, in float64."""
    return growth(), turning()


class Layers(nn.Module):
    """tanh(W y + sin(t)): a small network of fixed weights, which asks no random generator for them."""

    def __init__(self, state: int = 2, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        numbers = torch.arange(state * state, dtype=dtype).reshape(state, state)
        self.weight = nn.Parameter(torch.cos(1.0 + 3.0 * numbers))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        """dy/dt."""
        return torch.tanh(y @ self.weight + torch.sin(t))


def fading(t: Tensor, y: Tensor) -> Tensor:
    """y' = -cos(t) y, for a state of any shape."""
    return -torch.cos(t) * y


def faded(t: float, y0: Tensor) -> Tensor:
    """Where `fading` leads in the time t from 0."""
    return y0 * math.exp(-math.sin(t))


def chained(t: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """a' = -b a, b' = -b/2 for a state (a, b) of shapes (batch, n) and (batch,)."""
    a, b = state
    return -b[:, None] * a, -0.5 * b


def chain(t: float, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Where `chained` leads in the time t."""
    a, b = state
    return a * torch.exp(-2.0 * b * (1.0 - math.exp(-t / 2)))[:, None], b * math.exp(-t / 2)
