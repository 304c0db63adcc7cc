"""Vector fields and custom solvers that the tests of gradient methods share."""

from __future__ import annotations

import torch
from torch import nn

import odebench

SCHEDULED = ("revolve", "sqrt-checkpoint")
EXACT = ("anode", "step-checkpoint", *SCHEDULED)
INEXACT = ("continuous-adjoint", "otd-stored")
ALL = ("direct", *EXACT, *INEXACT)


class Network(nn.Module):
    """A small smooth field that depends on the time; float64, the same at each call."""

    def __init__(self, size: int = 3) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.first = nn.Parameter(torch.randn(size, 5, generator=generator, dtype=torch.float64))
        self.second = nn.Parameter(torch.randn(5, size, generator=generator, dtype=torch.float64))
        self.bias = nn.Parameter(torch.randn(5, generator=generator, dtype=torch.float64))

    def forward(self, t, y):
        return torch.tanh(y @ self.first + torch.as_tensor(t, dtype=y.dtype) * self.bias) @ self.second


class AdamsBashforth2(odebench.OneStepSolver):
    """As a stranger would write it: the derivative of the step before belongs to the state."""

    name = "stranger/adams-bashforth-2"
    order = 2
    carry_is = "state"

    def first_carry(self, field, t, y):
        return field(t, y)

    def step(self, field, t, dt, y, carry=None, *, error=False, dense=False):
        slope = field(t, y)
        return odebench.Step(y + dt * (1.5 * slope - 0.5 * carry), carry=slope)


class PlainHeun(odebench.OneStepSolver):
    """As a stranger would write it: plain expressions, an error estimate and a line through both ends."""

    name = "stranger/heun"
    order = 2
    adaptive = True
    error_order = 2
    interpolant_order = 1

    def step(self, field, t, dt, y, carry=None, *, error=False, dense=False):
        first = field(t, y)
        second = field(t + dt, y + dt * first)
        y1 = y + dt / 2 * (first + second)
        return odebench.Step(y1, error=dt / 2 * (second - first), dense=(y, y1))

    def interpolate(self, dense, theta):
        return (1 - theta) * dense[0] + theta * dense[1]


def start(rows: int = 4, size: int = 3) -> torch.Tensor:
    """An initial state that requires a gradient."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(rows, size, generator=generator, dtype=torch.float64).requires_grad_()


def loss_of(ys) -> torch.Tensor:
    """A loss of all outputs, with another weight for each."""
    leaves = ys if isinstance(ys, tuple) else (ys,)
    return sum(
        (torch.linspace(1.0, 2.0, y.numel(), dtype=y.real.dtype).reshape(y.shape) * y.sin()).sum() for y in leaves
    )


def off(got, expected) -> float:
    """Largest relative l2 difference of the tensors of a gradient."""
    return max(((g - e).norm() / e.norm().clamp_min(1e-300)).item() for g, e in zip(got, expected, strict=True))
