"""The optimality system, against autograd through the coupled solve, finite differences and a sum by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

import odebench
from odebench.api import build
from odebench.numerics.kkt import (
    CoupledSystem,
    Mesh,
    continuous_optimality,
    discrete_optimality,
    residuals,
)
from odebench.plugins import build_registry
from tests.nn.coupled_systems import evolving, loss_of, start
from tests.oracles.differences import directional_derivative, random_directions

N = 6
EXACT = [
    entry.name
    for entry in build_registry(prefixes=()).entries("gradient")
    if build("gradient", entry.name).exact_for_discretisation
]
every_system = pytest.mark.parametrize(
    ("evolution", "kernel"),
    [("none", "delta"), ("linear", "delta"), ("tanh", "delta"), ("rate", "delta"), ("linear", "memory"),
     ("rate", "memory"), ("linear", "raw-memory")],
)  # fmt: skip
every_configuration = pytest.mark.parametrize("configuration", [1, 2])


def kernel_matrix(kernel: str, times: list[float]) -> torch.Tensor | None:
    """Trapezoidal quadrature weights of K(s) = 2 exp(-2 s), written down again."""
    if kernel == "delta":
        return None
    rows = []
    for n, t in enumerate(times):
        row = [0.0] * len(times)
        for m in range(n):
            for end in (m, m + 1):
                row[end] += 0.5 * (times[m + 1] - times[m]) * 2.0 * math.exp(-2.0 * (t - times[end]))
        mass = sum(row)
        if kernel == "memory":
            row = [x / mass for x in row] if n else [1.0] + row[1:]
        rows.append(row)
    return torch.tensor(rows, dtype=torch.float64)


def system_of(field) -> CoupledSystem:
    return CoupledSystem(
        field=lambda t, z, theta: field.applied(torch.tensor(t, dtype=z.dtype), z, theta),
        step=field.evolution.step,
        rate=field.evolution.rate,
        loss=loss_of,
        coefficients=tuple(field.evolution.parameters()),
        others=field.other_parameters,
    )


def mesh_of(configuration: int, kernel: str) -> Mesh:
    times = [n / N for n in range(N + 1)]
    if configuration == 1:
        return Mesh.together(times, kernel_matrix(kernel, times))
    return Mesh.weights_first([0.0, 0.5, 1.0], times, kernel_matrix(kernel, times))


def gradients_of(found) -> list[torch.Tensor]:
    return [found.a[0], *found.grad_w0, *found.grad_coefficients, *found.grad_others]


def relative(got, expected) -> float:
    return max(
        ((a - b).norm() / b.norm()).item() if b.norm() else (a - b).norm().item()
        for a, b in zip(got, expected, strict=True)
    )


@every_configuration
@every_system
@pytest.mark.parametrize("module", ["conv", "linear"])
def test_the_discrete_adjoint_equals_autograd_through_the_coupled_solve(module, evolution, kernel, configuration):
    field = evolving(module, evolution, kernel, configuration=configuration, weight_steps=N)
    z0, mesh = start(module), mesh_of(configuration, kernel)
    found = discrete_optimality(system_of(field), mesh, z0, field.initial_weights)
    unknowns = (z0, *field.initial_weights, *field.evolution.parameters(), *field.other_parameters)
    for method in EXACT:
        solution = odebench.solve(field, z0, (0.0, 1.0), solver="euler", steps=len(mesh.times) - 1, gradient=method)
        expected = torch.autograd.grad(loss_of(solution.y1), unknowns)
        assert (solution.y1 - found.z[-1]).norm() < 1e-14 * solution.y1.norm()
        assert relative(gradients_of(found), expected) < 1e-12


@every_configuration
@pytest.mark.parametrize(("evolution", "kernel"), [("linear", "memory"), ("rate", "raw-memory")])
def test_the_discrete_adjoint_equals_finite_differences(evolution, kernel, configuration):
    field = evolving("linear", evolution, kernel, configuration=configuration, weight_steps=N)
    system, mesh, z0 = system_of(field), mesh_of(configuration, kernel), start("linear").detach()
    found = gradients_of(discrete_optimality(system, mesh, z0, field.initial_weights))
    leaves = [z0, *field.initial_weights, *system.coefficients, *system.others]
    weights = len(field.initial_weights)

    def value(*at):
        with torch.no_grad():
            for leaf, x in zip(leaves[1:], at[1:], strict=True):
                leaf.copy_(x)
        return loss_of(discrete_optimality(system, mesh, at[0], at[1 : 1 + weights]).z[-1])

    at = [leaf.detach().clone() for leaf in leaves]
    for index, gradient in enumerate(found):
        along = [torch.zeros_like(x) for x in at]
        along[index] = random_directions([at[index]])[0]
        derivative = directional_derivative(value, at, along)
        assert derivative == pytest.approx((gradient * along[index]).sum().item(), rel=1e-6)
    value(*at)


def test_the_sum_by_hand():
    """z' = θ z, w' = r w, two steps of one half, J = z₂: every multiplier on paper."""
    r, w0, z0, h = torch.tensor(0.3, dtype=torch.float64, requires_grad=True), 0.7, 1.1, 0.5
    system = CoupledSystem(
        field=lambda t, z, theta: theta[0] * z,
        step=lambda w, dt: (w[0] * torch.exp(r * dt),),
        loss=lambda z: z.sum(),
        coefficients=(r,),
        penalty=lambda w: 0.5 * w[0].square().sum() + 2.0 * r,
    )
    one = torch.ones(1, dtype=torch.float64)
    found = discrete_optimality(system, Mesh.together((0.0, 0.5, 1.0)), z0 * one, (w0 * one,))
    growth = math.exp(0.3 * h)
    first, second = 1.0 + h * w0, 1.0 + h * w0 * growth
    assert [x.item() for x in found.z] == pytest.approx([z0, z0 * first, z0 * first * second], rel=1e-15)
    assert [x.item() for x in found.a] == pytest.approx([first * second, second, 1.0], rel=1e-15)
    later = h * z0 * first
    assert [x[0].item() for x in found.b] == pytest.approx([growth * later + h * z0 * second, later, 0.0], rel=1e-15)
    assert found.grad_w0[0].item() == pytest.approx(w0 + growth * later + h * z0 * second, rel=1e-15)
    assert found.grad_coefficients[0].item() == pytest.approx(2.0 + h * w0 * growth * later, rel=1e-15)


@every_configuration
@pytest.mark.parametrize(
    ("evolution", "kernel"), [("none", "delta"), ("linear", "delta"), ("rate", "delta"), ("linear", "raw-memory")]
)
def test_the_continuous_adjoint_converges_to_the_discrete_one_at_first_order(evolution, kernel, configuration):
    differences = []
    for steps in (8, 16, 32):
        field = evolving("linear", evolution, kernel, configuration=configuration, weight_steps=steps)
        system, z0, w0 = system_of(field), start("linear"), field.initial_weights
        times = [n / steps for n in range(steps + 1)]
        k = kernel_matrix(kernel, times)
        mesh = Mesh.together(times, k) if configuration == 1 else Mesh.weights_first(times, times, k)
        function = None if kernel == "delta" else lambda t, s: 2.0 * math.exp(-2.0 * (t - s))
        exact = discrete_optimality(system, mesh, z0, w0)
        found = continuous_optimality(system, times, z0, w0, function, configuration)
        groups = [
            (joined(a), joined(b)) for a, b in zip(groups_of(found), groups_of(exact), strict=True) if joined(b).any()
        ]
        differences.append([((a - b).norm() / b.norm()).item() for a, b in groups])
    coarse, middle, fine = (math.hypot(*each) for each in differences)
    assert 0.7 < math.log2(coarse / middle) < 1.3
    assert math.log2(middle / fine) == pytest.approx(1.0, abs=0.15)
    # One coefficient alone may come closer by chance, since its error may change sign on the way; none may stay behind.
    assert all(last < 0.4 * first for first, last in zip(differences[0], differences[-1], strict=True))


def groups_of(found) -> list[tuple[torch.Tensor, ...]]:
    return [(found.a[0],), found.grad_w0, found.grad_coefficients, found.grad_others]


def joined(tensors) -> torch.Tensor:
    return torch.cat([torch.zeros(0, dtype=torch.float64), *(x.reshape(-1) for x in tensors)])


@every_configuration
@every_system
def test_a_solution_meets_every_condition(evolution, kernel, configuration):
    field = evolving("conv", evolution, kernel, configuration=configuration, weight_steps=N)
    system, mesh = system_of(field), mesh_of(configuration, kernel)
    found = residuals(system, mesh, discrete_optimality(system, mesh, start("conv"), field.initial_weights))
    assert max(found.values()) < 1e-15


BROKEN = {
    "z": ({"state", "adjoint", "memory", "coefficients", "others"}, 3),
    "w": ({"weights", "kernel", "memory", "coefficients"}, 3),
    "theta": ({"state", "kernel", "adjoint", "memory", "coefficients", "others"}, 3),
    "a": ({"adjoint", "memory", "coefficients", "others"}, 3),
    "b": ({"memory", "coefficients"}, 3),
    "grad_w0": ({"memory"}, 0),
    "grad_coefficients": ({"coefficients"}, 0),
    "grad_others": ({"others"}, 0),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_wrong_shows_in_its_conditions_and_only_there(name):
    field = evolving("conv", "rate", "memory", weight_steps=N)
    system, mesh = system_of(field), mesh_of(1, "memory")
    point = discrete_optimality(system, mesh, start("conv"), field.initial_weights)
    conditions, index = BROKEN[name]
    values = list(getattr(point, name))
    value = values[index]
    values[index] = tuple(1.01 * x for x in value) if isinstance(value, tuple) else 1.01 * value
    found = residuals(system, mesh, replace(point, **{name: tuple(values)}))
    shown = {condition for condition, residual in found.items() if residual > 1e-9}
    assert shown <= conditions
    assert {condition for condition in found if condition.startswith(("state", name))} & conditions <= shown
    assert shown, found
