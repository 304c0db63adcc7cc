"""What is optimised, on which grid, and a point of its states and multipliers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Weights = tuple[Tensor, ...]


@dataclass(frozen=True, kw_only=True)
class CoupledSystem:
    """What is optimised.

    Attributes:
        field: f(t, z, θ).
        step: S(w, δ), one step of the weights.
        loss: J of the final z.
        coefficients: p, the leaf tensors that `step` and `rate` depend on.
        others: further leaf tensors that `field` depends on.
        rate: q(w); only the continuous system needs it.
        penalty: R of w0, and of p where it closes over it; None is 0.
    """

    field: Callable[[float, Tensor, Weights], Tensor]
    step: Callable[[Weights, float], Weights]
    loss: Callable[[Tensor], Tensor]
    coefficients: tuple[Tensor, ...] = ()
    others: tuple[Tensor, ...] = ()
    rate: Callable[[Weights], Weights] | None = None
    penalty: Callable[[Weights], Tensor] | None = None


@dataclass(frozen=True, kw_only=True)
class Mesh:
    """How time is divided.

    Attributes:
        times: M + 1 times between which z takes Euler steps.
        weight_times: N + 1 times between which the weights take steps.
        coupling: quadrature weights k, `(M, N + 1)`: θ of step n of z is Σ_m k_nm w_m.
    """

    times: tuple[float, ...]
    weight_times: tuple[float, ...]
    coupling: Tensor

    @classmethod
    def together(cls, times: Sequence[float], kernel: Tensor | None = None) -> Mesh:
        """Configuration 1: one grid; `kernel` are the k of its times, `(times, times)`, None those of K = δ."""
        count = len(times)
        k = torch.eye(count, dtype=torch.float64) if kernel is None else kernel
        return cls(times=tuple(times), weight_times=tuple(times), coupling=k[:-1])

    @classmethod
    def weights_first(cls, times: Sequence[float], weight_times: Sequence[float], kernel: Tensor | None = None) -> Mesh:
        """Configuration 2: every step of z has the final θ, whose quadrature weights are the last row of `kernel`."""
        count = len(weight_times)
        last = torch.eye(count, dtype=torch.float64)[-1] if kernel is None else kernel[-1]
        return cls(times=tuple(times), weight_times=tuple(weight_times), coupling=last.expand(len(times) - 1, count))


@dataclass(frozen=True, kw_only=True)
class Optimality:
    """States, multipliers and gradients: what the conditions are about.

    Attributes:
        z, w: states at `times` and at `weight_times`; theta: of each step of z.
        a, b: their multipliers: dJ/dz_n and dJ/dw_n with all later states following.
        grad_w0, grad_coefficients, grad_others: gradients of J + R; that in z0 is a[0].
    """

    z: tuple[Tensor, ...]
    w: tuple[Weights, ...]
    theta: tuple[Weights, ...]
    a: tuple[Tensor, ...]
    b: tuple[Weights, ...]
    grad_w0: Weights
    grad_coefficients: tuple[Tensor, ...]
    grad_others: tuple[Tensor, ...]
