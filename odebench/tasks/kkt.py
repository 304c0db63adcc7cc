"""Whether a trained coupled system meets the conditions of optimality, and whether its gradient is the one that they give."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from odebench.contract import (
    Examples,
    Findings,
    Grid,
    Learning,
    Progress,
    Setting,
    Study,
    Unknown,
    Workplace,
    relative_l2,
)
from odebench.errors import IncompatibleError
from odebench.nn import EvolvingField
from odebench.numerics.kkt import (
    CoupledSystem,
    Mesh,
    Optimality,
    continuous_optimality,
    discrete_optimality,
    residuals,
)
from odebench.tasks.evolving import at_rest, differentiated, euler_grid, evolving_field, spread_rows
from odebench.tasks.trained import load_training


class Kkt(Study):
    """Put states and gradients of a coupled solve into the optimality system of the training problem, with the trained weights.

    States, a (the gradient in z at each time, from a solve that begins there) and the gradients in w(0), p and the other parameters
    are the cell's own, by its solver and its gradient method; the conditions are written down independently. Each column is the
    relative residual of one: `kkt_state`, `kkt_weights` and `kkt_kernel` of the equations of z, w and θ, `kkt_adjoint` of a,
    `kkt_memory` of b and the gradient in w(0), `kkt_coefficients` and `kkt_others` of the gradients in p and in the other parameters.
    They are at rounding for a gradient that is exact for the discretisation.

    `kkt_stationary_weights` and `kkt_stationary_coefficients` are the gradients in w(0) and p in units of those before the training:
    0 at an optimum. `kkt_continuous_…` are how far the discretised continuous adjoint is from the discrete one, which is O(h).

    The cell's solver must be Euler's method. The loss is that of the training data, without weight decay.

    Args:
        examples: so many of the training data, spread evenly; None takes all.

    Source: T. Zhang et al., "ANODEV2: a coupled neural ODE framework", NeurIPS 2019, arXiv:1906.04596, section 3.
    """

    name = "kkt"
    needs_gradient = True
    needs_training = True

    def __init__(self, *, examples: int | None = None) -> None:
        if examples is not None and (not isinstance(examples, int) or examples < 1):
            raise IncompatibleError(f"`examples` is {examples!r}; it must be a whole number of at least 1.")
        self.examples = examples

    def run(self, setting: Setting, workplace: Workplace) -> Findings:
        """Load the weights, solve, and look at each condition."""
        learning, field = evolving_field(workplace, self.name)
        if setting.gradient is None or len(workplace.needed) != 1:
            raise IncompatibleError(
                f"Task {self.name!r} needs a gradient method, and the training of exactly one cell."
            )
        rows = spread_rows(learning.train, self.examples)
        system = _system(learning, field, rows)
        with at_rest(learning.field, learning.readout):
            before = [parameter.detach().clone() for parameter in learning.field.parameters()]
            training = load_training(workplace.needed[0], learning)
            grid = euler_grid(training.grid_of(setting, learning.ts), learning, setting, self.name)
            mesh = _mesh(field, grid, learning.ts)
            exact = discrete_optimality(system, mesh, rows.inputs, field.initial_weights)
            point = _point(setting, workplace, learning, field, rows, grid, mesh, exact)
            values: dict[str, Any] = {f"kkt_{name}": r for name, r in residuals(system, mesh, point).items()}
            values |= _continuous(system, field, rows.inputs, mesh, exact)
            values |= _stationary(system, field, rows.inputs, mesh, exact, before)
        if not system.coefficients:
            nothing = Unknown("The evolution has no coefficients.")
            values |= {name: nothing for name in values if name.endswith("coefficients")}
        values |= {"steps_accepted": grid.steps, "examples": len(rows)}
        return Findings(values=values)


def _system(learning: Learning, field: EvolvingField, rows: Examples) -> CoupledSystem:
    like = rows.inputs

    def apply(t: float, z: Tensor, theta: tuple[Tensor, ...]) -> Tensor:
        return field.applied(torch.tensor(t, dtype=like.dtype, device=like.device), z, theta)

    return CoupledSystem(
        field=apply,
        step=field.evolution.step,
        rate=field.evolution.rate,
        loss=lambda z: learning.loss(learning.readout(z), rows.targets),
        coefficients=tuple(field.evolution.parameters()),
        others=field.other_parameters,
    )


def _mesh(field: EvolvingField, grid: Grid, ts: tuple[float, float]) -> Mesh:
    """The grid of z and that of the weights, of which every step of z begins at a node."""
    count = field.weight_steps or grid.steps
    if field.span != tuple(ts):
        raise IncompatibleError(f"The weights evolve over {field.span}, and z over {tuple(ts)}: they must be the same.")
    if field.configuration == 1 and count % grid.steps:
        raise IncompatibleError(
            f"z takes {grid.steps} steps and the weights {count}. Let the second be a multiple of the first, so that each step of "
            "z begins where weights are known."
        )
    start, end = field.span
    times = [*grid.t.tolist(), grid.end]
    nodes = [start + n * (end - start) / count for n in range(count)] + [end]
    kernel = None if field.kernel is None else field.kernel.matrix(nodes)
    if field.configuration == 2:
        return Mesh.weights_first(times, nodes, kernel)
    rows = Mesh.together(nodes, kernel).coupling[:: count // grid.steps]
    return Mesh(times=tuple(times), weight_times=tuple(nodes), coupling=rows)


def _point(
    setting: Setting,
    workplace: Workplace,
    learning: Learning,
    field: EvolvingField,
    rows: Examples,
    grid: Grid,
    mesh: Mesh,
    exact: Optimality,
) -> Optimality:
    """The cell's own states and gradients; the multipliers of the weights after the first, which no solve tells, are `exact`'s."""
    parameters = (*field.initial_weights, *field.evolution.parameters(), *field.other_parameters)
    a, z = [], rows.inputs
    for n in range(grid.steps):
        rest = Grid(t=grid.t[n:], dt=grid.dt[n:], end=grid.end)
        states, to_z, found = differentiated(setting, learning, setting.field, parameters, z, rows, rest)
        if n == 0:
            ys, gradients = states, found
        a.append(to_z)
        z = ys[n + 1]
        workplace.tell(Progress(done=n + 1, total=grid.steps))
    with torch.enable_grad():
        last = z.detach().requires_grad_()
        a += torch.autograd.grad(learning.loss(learning.readout(last), rows.targets), last)
    weights, coefficients = len(field.names), len(tuple(field.evolution.parameters()))
    with torch.no_grad():
        own = [field.theta(torch.tensor(t, dtype=z.dtype, device=z.device)) for t in mesh.times[:-1]]
        if field.weight_steps is None:
            history = [field.evolution.step(field.initial_weights, t - mesh.times[0]) for t in mesh.weight_times]
        else:
            history = field.history(mesh.weight_times[-1], torch.finfo(torch.float64).eps)[1]
    return Optimality(
        z=tuple(ys),
        w=tuple(tuple(w.detach() for w in one) for one in history),
        theta=tuple(tuple(x.detach() for x in one) for one in own),
        a=tuple(a),
        b=(gradients[:weights], *exact.b[1:]),
        grad_w0=gradients[:weights],
        grad_coefficients=gradients[weights : weights + coefficients],
        grad_others=gradients[weights + coefficients :],
    )


def _continuous(
    system: CoupledSystem, field: EvolvingField, z0: Tensor, mesh: Mesh, exact: Optimality
) -> dict[str, float | Unknown]:
    names = ("start", "weights", "coefficients")
    if not field.evolution.follows_rate:
        reason = Unknown("A step of the weights does not tend to their rate, so there is no continuous system.")
        return {f"kkt_continuous_{name}": reason for name in names}
    if field.configuration == 1 and len(mesh.times) != len(mesh.weight_times):
        reason = Unknown("z and the weights have different grids.")
        return {f"kkt_continuous_{name}": reason for name in names}
    times = mesh.weight_times if field.configuration == 1 else mesh.times
    if field.configuration == 2 and len(times) != len(mesh.weight_times):
        reason = Unknown("z takes other steps than the weights: nothing tends to the continuous system.")
        return {f"kkt_continuous_{name}": reason for name in names}
    kernel = None if field.kernel is None else _mass_of(field, times)
    found = continuous_optimality(system, times, z0, field.initial_weights, kernel, field.configuration)
    pairs = (
        (found.a[:1], exact.a[:1]),
        (found.grad_w0, exact.grad_w0),
        (found.grad_coefficients, exact.grad_coefficients),
    )
    return {f"kkt_continuous_{name}": relative_l2(*pair) for name, pair in zip(names, pairs, strict=True)}


def _mass_of(field: EvolvingField, times: tuple[float, ...]) -> Any:
    """K(t, τ) as the field has it, divided by the trapezoidal sum over [0, t] where it is renormalised."""
    kernel = field.kernel
    if not kernel.renormalised:
        return lambda t, tau: kernel.function(t - tau)
    mass = {t: _trapezoid(kernel.function, times[: n + 1]) for n, t in enumerate(times)}
    return lambda t, tau: kernel.function(t - tau) / mass[t] if mass[t] else 0.0


def _trapezoid(function: Any, times: tuple[float, ...]) -> float:
    values = [function(times[-1] - t) for t in times]
    return sum(0.5 * (b - a) * (x + y) for a, b, x, y in zip(times, times[1:], values, values[1:], strict=False))


def _stationary(
    system: CoupledSystem,
    field: EvolvingField,
    z0: Tensor,
    mesh: Mesh,
    exact: Optimality,
    before: list[Tensor],
) -> dict[str, float | Unknown]:
    """Norms of the gradients in units of those with the weights `before` the training; the trained weights are put back."""
    parameters = list(field.parameters())
    after = [parameter.detach().clone() for parameter in parameters]
    with torch.no_grad():
        for parameter, value in zip(parameters, before, strict=True):
            parameter.copy_(value)
        first = discrete_optimality(system, mesh, z0, field.initial_weights)
        for parameter, value in zip(parameters, after, strict=True):
            parameter.copy_(value)
    found: dict[str, float | Unknown] = {}
    for name, now, then in (
        ("weights", exact.grad_w0, first.grad_w0),
        ("coefficients", exact.grad_coefficients, first.grad_coefficients),
    ):
        unit = sum(float(g.square().sum()) for g in then) ** 0.5
        size = sum(float(g.square().sum()) for g in now) ** 0.5
        found[f"kkt_stationary_{name}"] = size / unit if unit else Unknown("The gradient was zero before the training.")
    return found
