"""How far a point is from the conditions of the discrete problem."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from odebench.numerics.kkt.products import (
    added,
    combined,
    coupled_back,
    field_vjp,
    gradient,
    penalty_gradients,
    scaled,
    vjp,
    zeros,
)
from odebench.numerics.kkt.system import CoupledSystem, Mesh, Optimality


def residuals(system: CoupledSystem, mesh: Mesh, point: Optimality) -> dict[str, float]:
    """How far a point is from each condition of the discrete system, as ‖left - right‖ / ‖left‖ over all n.

    `state`, `weights` and `kernel`: the equations of z, w and θ. `adjoint` and `memory`: those of a and b, with their final
    values. `coefficients` and `others`: the sums that give the gradients in p and in the other parameters.
    """
    pairs: dict[str, list[tuple[Tensor, Tensor]]] = {
        name: [] for name in ("state", "weights", "kernel", "adjoint", "memory", "coefficients", "others")
    }
    pairs["adjoint"].append((point.a[-1], gradient(system.loss, point.z[-1])))
    c, others = [], zeros(system.others)
    for n, (start, end) in enumerate(itertools.pairwise(mesh.times)):
        h = end - start
        with torch.no_grad():
            slope = system.field(start, point.z[n], point.theta[n])
        to_z, to_theta, to_others = field_vjp(system, start, point.z[n], point.theta[n], point.a[n + 1])
        pairs["state"].append((point.z[n + 1], point.z[n] + h * slope))
        pairs["kernel"] += zip(point.theta[n], combined(mesh.coupling[n], point.w), strict=True)
        pairs["adjoint"].append((point.a[n], point.a[n + 1] + h * to_z))
        c.append(scaled(h, to_theta))
        others = added(others, scaled(h, to_others))
    coefficients = zeros(system.coefficients)
    for n, (start, end) in enumerate(itertools.pairwise(mesh.weight_times)):
        with torch.no_grad():
            pairs["weights"] += zip(point.w[n + 1], system.step(point.w[n], end - start), strict=True)
        to_w, to_p = vjp(lambda *x, dt=end - start: system.step(x, dt), point.w[n], system.coefficients, point.b[n + 1])
        pairs["memory"] += zip(point.b[n], added(to_w, coupled_back(mesh, c, n, point.w[0])), strict=True)
        coefficients = added(coefficients, to_p)
    last = len(point.w) - 1
    pairs["memory"] += zip(point.b[last], coupled_back(mesh, c, last, point.w[0]), strict=True)
    from_penalty = penalty_gradients(system, point.w[0])
    pairs["memory"] += zip(point.grad_w0, added(point.b[0], from_penalty[: len(point.b[0])]), strict=True)
    coefficients = added(coefficients, from_penalty[len(point.b[0]) :])
    pairs["coefficients"] += zip(point.grad_coefficients, coefficients, strict=True)
    pairs["others"] += zip(point.grad_others, others, strict=True)
    return {name: _relative(both) for name, both in pairs.items()}


def _relative(pairs: Sequence[tuple[Tensor, Tensor]]) -> float:
    difference = math.hypot(*(float((x - y).norm()) for x, y in pairs))
    size = math.hypot(*(float(x.norm()) for x, _ in pairs))
    return difference / size if size else difference
