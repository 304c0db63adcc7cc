"""Sums of weights, vector-Jacobian products of single evaluations, and the states of the coupled system."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from odebench.numerics.kkt.system import CoupledSystem, Mesh, Optimality, Weights


def states_of(
    system: CoupledSystem, mesh: Mesh, z0: Tensor, w0: Weights
) -> tuple[tuple[Tensor, ...], tuple[Weights, ...], tuple[Weights, ...]]:
    """z and w at all times, and θ of each step of z: explicit Euler, and S."""
    with torch.no_grad():
        w = [tuple(x.detach() for x in w0)]
        for start, end in itertools.pairwise(mesh.weight_times):
            w.append(tuple(system.step(w[-1], end - start)))
        z, theta = [z0.detach()], []
        for n, (start, end) in enumerate(itertools.pairwise(mesh.times)):
            theta.append(combined(mesh.coupling[n], w))
            z.append(z[-1] + (end - start) * system.field(start, z[-1], theta[-1]))
    return tuple(z), tuple(w), tuple(theta)


def with_penalty(
    system: CoupledSystem,
    z: Sequence[Tensor],
    w: Sequence[Weights],
    theta: Sequence[Weights],
    a: Sequence[Tensor],
    b: Sequence[Weights],
    grad_coefficients: tuple[Tensor, ...],
    grad_others: tuple[Tensor, ...],
) -> Optimality:
    """The point of these states and multipliers, with the gradients of J + R."""
    more = penalty_gradients(system, w[0])
    return Optimality(
        z=tuple(z),
        w=tuple(w),
        theta=tuple(theta),
        a=tuple(a),
        b=tuple(b),
        grad_w0=added(b[0], more[: len(w[0])]),
        grad_coefficients=added(grad_coefficients, more[len(w[0]) :]),
        grad_others=grad_others,
    )


def field_vjp(
    system: CoupledSystem, t: float, z: Tensor, theta: Weights, a: Tensor
) -> tuple[Tensor, Weights, tuple[Tensor, ...]]:
    """(∂f/∂z)ᵀ a, (∂f/∂θ)ᵀ a, and the same in the other parameters."""
    (to_z, *to_theta), to_others = vjp(lambda z, *theta: (system.field(t, z, theta),), (z, *theta), system.others, (a,))
    return to_z, tuple(to_theta), to_others


def vjp(
    function: Callable[..., Sequence[Tensor]],
    at: Sequence[Tensor],
    leaves: Sequence[Tensor],
    cotangents: Sequence[Tensor],
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """cotangentsᵀ times the Jacobian of one evaluation, in its arguments and in leaf tensors that it depends on."""
    fresh = [x.detach().requires_grad_() for x in at]
    with torch.enable_grad():
        pairs = [(y, c) for y, c in zip(function(*fresh), cotangents, strict=True) if y.requires_grad]
    wanted = [*fresh, *(leaf for leaf in leaves if leaf.requires_grad)]
    found: Sequence[Tensor | None] = [None] * len(wanted)
    if pairs:
        found = torch.autograd.grad([y for y, _ in pairs], wanted, [c for _, c in pairs], allow_unused=True)
    by_id = {id(x): torch.zeros_like(x) if g is None else g.detach() for x, g in zip(wanted, found, strict=True)}
    return tuple(by_id[id(x)] for x in fresh), tuple(
        by_id[id(leaf)] if leaf.requires_grad else torch.zeros_like(leaf) for leaf in leaves
    )


def gradient(loss: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
    """dJ/dz."""
    (found,), _ = vjp(lambda x: (loss(x),), (z,), (), (torch.ones((), dtype=z.dtype, device=z.device),))
    return found


def penalty_gradients(system: CoupledSystem, w0: Weights) -> tuple[Tensor, ...]:
    """∂R/∂w0 and ∂R/∂p."""
    if system.penalty is None:
        return zeros((*w0, *system.coefficients))
    one = torch.ones((), dtype=w0[0].dtype, device=w0[0].device)
    to_w, to_p = vjp(lambda *w: (system.penalty(w),), w0, system.coefficients, (one,))
    return (*to_w, *to_p)


def coupled_back(mesh: Mesh, c: Sequence[Weights], m: int, like: Weights) -> Weights:
    """Σ_n k_nm c_n."""
    return combined(mesh.coupling[:, m], c) if c else zeros(like)


def combined(k: Tensor, values: Sequence[Weights]) -> Weights:
    """Σ k_m values[m]; zeros of k are left out, and a single 1 changes no bit."""
    total = zeros(values[0])
    for factor, value in zip(k.tolist(), values, strict=True):
        if factor:
            total = added(total, scaled(factor, value))
    return total


def zeros(like: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Zeros of these shapes."""
    return tuple(torch.zeros_like(x) for x in like)


def added(left: Sequence[Tensor], right: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Sums, one by one."""
    return tuple((x + y).detach() for x, y in zip(left, right, strict=True))


def scaled(factor: float, values: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Multiples."""
    return tuple(factor * x for x in values)
