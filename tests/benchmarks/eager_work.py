"""The work that cannot be avoided, without a solver: bare evaluations, and steps whose tensor operations are written out by hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

Call = Callable[[], object]


def evaluations(field: nn.Module, y: Tensor, count: int) -> Call:
    """`count` bare evaluations without a graph."""
    t = torch.zeros(())

    def call() -> None:
        with torch.no_grad():
            for _ in range(count):
                field(t, y)

    return call


def evaluations_with_vjp(field: nn.Module, y: Tensor, count: int) -> Call:
    """`count` evaluations, each with its vector-Jacobian product: what a gradient cannot do without."""
    t, parameters = torch.zeros(()), list(field.parameters())

    def call() -> None:
        for _ in range(count):
            x = y.detach().requires_grad_()
            k = field(t, x)
            torch.autograd.grad(k, [x, *parameters], k.detach())

    return call


def counted(solve: Callable[[Callable[[Tensor, Tensor], Tensor]], object], field: nn.Module) -> int:
    """How often `solve` evaluates the field."""
    count = 0

    def counting(t: Tensor, y: Tensor) -> Tensor:
        nonlocal count
        count += 1
        return field(t, y)

    solve(counting)
    return count


def rk4_by_hand(field: nn.Module, y: Tensor, steps: int) -> Call:
    """Steps of rk4 over [0, 1], with one time for all stages."""
    t, dt, add = torch.zeros(()), 1.0 / steps, torch.add

    def call() -> None:
        with torch.no_grad():
            x = y
            for _ in range(steps):
                k1 = field(t, x)
                k2 = field(t, add(x, k1, alpha=dt / 2))
                k3 = field(t, add(x, k2, alpha=dt / 2))
                k4 = field(t, add(x, k3, alpha=dt))
                x = add(x, k1, alpha=dt / 6).add_(k2, alpha=dt / 3).add_(k3, alpha=dt / 3).add_(k4, alpha=dt / 6)

    return call


def adaptive_by_hand(field: nn.Module, y: Tensor, attempts: int, span: float, tolerance: float) -> Call:
    """So many steps of dopri5, all of one length, with the norm of their error estimate, which changes nothing."""
    t, h, add, atol = torch.zeros(()), span / attempts, torch.add, torch.tensor(tolerance)
    root = math.sqrt(y.numel())

    def call() -> None:
        with torch.no_grad():
            x, size, k1 = y, y.abs(), field(t, y)
            for _ in range(attempts):
                k2 = field(t, add(x, k1, alpha=h / 5))
                k3 = field(t, add(x, k1, alpha=h * 3 / 40).add_(k2, alpha=h * 9 / 40))
                z = add(x, k1, alpha=h * 44 / 45).add_(k2, alpha=h * -56 / 15).add_(k3, alpha=h * 32 / 9)
                k4 = field(t, z)
                z = (
                    add(x, k1, alpha=h * 19372 / 6561)
                    .add_(k2, alpha=h * -25360 / 2187)
                    .add_(k3, alpha=h * 64448 / 6561)
                )
                k5 = field(t, z.add_(k4, alpha=h * -212 / 729))
                z = add(x, k1, alpha=h * 9017 / 3168).add_(k2, alpha=h * -355 / 33).add_(k3, alpha=h * 46732 / 5247)
                k6 = field(t, z.add_(k4, alpha=h * 49 / 176).add_(k5, alpha=h * -5103 / 18656))
                x = add(x, k1, alpha=h * 35 / 384).add_(k3, alpha=h * 500 / 1113).add_(k4, alpha=h * 125 / 192)
                x = x.add_(k5, alpha=h * -2187 / 6784).add_(k6, alpha=h * 11 / 84)
                k7 = field(t, x)
                error = torch.mul(k1, h * 71 / 57600).add_(k3, alpha=h * -71 / 16695).add_(k4, alpha=h * 71 / 1920)
                error.add_(k5, alpha=h * -17253 / 339200).add_(k6, alpha=h * 22 / 525).add_(k7, alpha=h * -1 / 40)
                proposed = x.abs()
                scale = add(atol, torch.maximum(size, proposed), alpha=tolerance)
                norm = torch.linalg.vector_norm(error / scale).item() / root
                if norm > 1e6:
                    raise ArithmeticError(f"error {norm}")
                size, k1 = proposed, k7

    return call
