"""The continuous problem's adjoint equations."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from odebench.numerics.kkt.products import (
    added,
    combined,
    field_vjp,
    gradient,
    scaled,
    states_of,
    vjp,
    with_penalty,
    zeros,
)
from odebench.numerics.kkt.system import CoupledSystem, Mesh, Optimality, Weights


def continuous_optimality(
    system: CoupledSystem,
    times: Sequence[float],
    z0: Tensor,
    w0: Weights,
    kernel: Callable[[float, float], float] | None = None,
    configuration: int = 1,
) -> Optimality:
    """The adjoint equations of the continuous problem, discretised after the fact: first order in the steps, and not exact.

    a' = -(∂f/∂z)ᵀ a and b' = -(∂q/∂w)ᵀ b - ∫ₜ¹ K(τ, t)ᵀ γ(τ) dτ with γ = (∂f/∂θ)ᵀ a, backwards by Euler steps, whose Jacobians are
    those at the later end; g_p = ∫ (∂q/∂p)ᵀ b dt. In configuration 2 θ is that of the end for all z, so γ acts there alone.

    Args:
        system: with its `rate`.
        times: of both z and the weights.
        z0, w0: initial states.
        kernel: K(t, τ), the weight of w(τ) in θ(t); None for δ.
        configuration: 1 or 2.
    """
    last = len(times) - 1
    h = [later - earlier for earlier, later in itertools.pairwise(times)]
    rows = torch.eye(last + 1, dtype=torch.float64)
    if kernel is not None:
        rows = torch.stack(
            [_trapezoid(times, 0, n, lambda m, n=n: kernel(times[n], times[m])) for n in range(last + 1)]
        )
    chosen = rows if configuration == 1 else rows[-1].expand_as(rows)
    z, w, theta = states_of(system, Mesh(times=tuple(times), weight_times=tuple(times), coupling=chosen[:-1]), z0, w0)
    theta = (*theta, combined(chosen[-1], w))
    a = [gradient(system.loss, z[-1])]
    gamma: list[Weights] = []
    grad_others = zeros(system.others)
    for n in reversed(range(last)):
        to_z, to_theta, to_others = field_vjp(system, times[n + 1], z[n + 1], theta[n + 1], a[0])
        a.insert(0, a[0] + h[n] * to_z)
        gamma.insert(0, to_theta)
        grad_others = added(grad_others, scaled(h[n], to_others))
    gamma.insert(0, field_vjp(system, times[0], z[0], theta[0], a[0])[1])
    whole = zeros(w0)
    for n in range(last):
        whole = added(whole, scaled(h[n], gamma[n + 1]))

    def source(n: int) -> Weights:
        """∫ₜ¹ K(τ, t)ᵀ γ(τ) dτ at times[n]."""
        if kernel is None:
            return gamma[n] if configuration == 1 else zeros(w0)
        if configuration == 2:
            return scaled(kernel(times[-1], times[n]), whole)
        return combined(_trapezoid(times, n, last, lambda m: kernel(times[m], times[n])), gamma)

    b = [whole if configuration == 2 and kernel is None else zeros(w0)]
    grad_coefficients = zeros(system.coefficients)
    for n in reversed(range(last)):
        to_w, to_p = vjp(lambda *x: system.rate(x), w[n + 1], system.coefficients, b[0])
        grad_coefficients = added(grad_coefficients, scaled(h[n], to_p))
        b.insert(0, added(b[0], scaled(h[n], added(to_w, source(n + 1)))))
    return with_penalty(system, z, w, theta, a, b, grad_coefficients, grad_others)


def _trapezoid(times: Sequence[float], first: int, last: int, integrand: Callable[[int], float]) -> Tensor:
    """Quadrature weights times integrand over times[first … last], zeros elsewhere."""
    k = torch.zeros(len(times), dtype=torch.float64)
    for m in range(first, last):
        for end in (m, m + 1):
            k[end] += 0.5 * (times[m + 1] - times[m]) * integrand(end)
    return k
