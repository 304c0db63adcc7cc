"""The discrete problem's adjoint equations."""

from __future__ import annotations

from torch import Tensor

from odebench.numerics.kkt.products import (
    added,
    coupled_back,
    field_vjp,
    gradient,
    scaled,
    states_of,
    vjp,
    with_penalty,
    zeros,
)
from odebench.numerics.kkt.system import CoupledSystem, Mesh, Optimality, Weights


def discrete_optimality(system: CoupledSystem, mesh: Mesh, z0: Tensor, w0: Weights) -> Optimality:
    """The states of the discrete problem and the solution of its adjoint equations, which give its exact gradient.

    a_n = a_{n+1} + h (∂f/∂z)ᵀ a_{n+1} and c_n = h (∂f/∂θ)ᵀ a_{n+1} at (z_n, θ_n); b_n = (∂S/∂w)ᵀ b_{n+1} + Σ_m k_mnᵀ c_m at w_n;
    g_w0 = ∂R/∂w0 + b_0; g_p = ∂R/∂p + Σ (∂S/∂p)ᵀ b_{n+1}.
    """
    z, w, theta = states_of(system, mesh, z0, w0)
    a = [gradient(system.loss, z[-1])]
    c: list[Weights] = []
    grad_others = zeros(system.others)
    for n in reversed(range(len(mesh.times) - 1)):
        h = mesh.times[n + 1] - mesh.times[n]
        to_z, to_theta, to_others = field_vjp(system, mesh.times[n], z[n], theta[n], a[0])
        a.insert(0, a[0] + h * to_z)
        c.insert(0, scaled(h, to_theta))
        grad_others = added(grad_others, scaled(h, to_others))
    b = [coupled_back(mesh, c, len(w) - 1, w0)]
    grad_coefficients = zeros(system.coefficients)
    for n in reversed(range(len(w) - 1)):
        dt = mesh.weight_times[n + 1] - mesh.weight_times[n]
        to_w, to_p = vjp(lambda *x, dt=dt: system.step(x, dt), w[n], system.coefficients, b[0])
        b.insert(0, added(to_w, coupled_back(mesh, c, n, w0)))
        grad_coefficients = added(grad_coefficients, to_p)
    return with_penalty(system, z, w, theta, a, b, grad_coefficients, grad_others)
