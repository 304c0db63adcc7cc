"""Modules whose weights evolve: what they reduce to, and that every way of solving and differentiating them agrees."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import odebench
from odebench.api import build
from odebench.errors import FieldError, IncompatibleError
from odebench.nn import EvolvingField, NoEvolution, ODEBlock, ReactionDiffusionAdvection, Residual, freeze
from odebench.plugins import build_registry
from tests.nn.coupled_systems import (
    EVOLUTIONS,
    KERNELS,
    MODULES,
    STEPS,
    conv_module,
    evolving,
    linear_module,
    loss_of,
    start,
)

EXACT = [
    entry.name
    for entry in build_registry(prefixes=()).entries("gradient")
    if build("gradient", entry.name).exact_for_discretisation
]
every_module = pytest.mark.parametrize("module", MODULES)


class Plain(nn.Module):
    """The module as a field, with weights that do not evolve."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, t, z):
        return self.module(t, z) if isinstance(self.module, type(linear_module())) else self.module(z)


def solved(field, z0, solver="euler", steps=STEPS, gradient="direct", ts=(0.0, 1.0)):
    """The final state, and the gradients of a loss in z0 and in all parameters by name."""
    solution = odebench.solve(field, z0, ts, solver=solver, steps=steps, gradient=gradient)
    names, parameters = zip(*field.named_parameters(), strict=True)
    found = torch.autograd.grad(loss_of(solution.y1), (z0, *parameters))
    return solution.y1.detach(), dict(zip(("z0", *names), found, strict=True))


def relative(got, expected):
    """The largest relative difference of gradients that both have."""
    return max(((got[name] - value).norm() / value.norm()).item() for name, value in expected.items() if name in got)


@pytest.mark.parametrize("solver", ["euler", "rk4"])
@pytest.mark.parametrize("gradient", EXACT)
@every_module
def test_without_evolution_it_is_a_neural_ode_bit_for_bit(module, gradient, solver):
    for configuration in (1, 2):
        got, gradients = solved(
            evolving(module, "none", configuration=configuration), start(module), solver, gradient=gradient
        )
        expected, reference = solved(Plain(MODULES[module]()), start(module), solver, gradient=gradient)
        assert torch.equal(got, expected)
        assert gradients.keys() == reference.keys()
        assert all(torch.equal(gradients[name], value) for name, value in reference.items())


@pytest.mark.parametrize("configuration", [1, 2])
@every_module
def test_spectral_steps_without_coefficients_change_the_last_bits_only(module, configuration):
    field = EvolvingField(
        MODULES[module](), ReactionDiffusionAdvection(), configuration=configuration, weight_steps=STEPS
    )
    got, gradients = solved(field, start(module))
    expected, reference = solved(Plain(MODULES[module]()), start(module))
    assert (got - expected).norm() < 1e-14 * expected.norm()
    assert relative(gradients, reference) < 1e-14
    coefficients = [value for name, value in gradients.items() if name.startswith("evolution.")]
    assert len(coefficients) == 3 and all(value.abs().max() > 0 for value in coefficients), "it can leave that point"


@every_module
def test_weights_that_do_not_change_are_remembered_as_they_are(module):
    got, gradients = solved(evolving(module, "none", "memory"), start(module))
    expected, reference = solved(Plain(MODULES[module]()), start(module))
    assert (got - expected).norm() < 1e-14 * expected.norm()
    assert relative(gradients, reference) < 1e-14
    assert all((w == 0).all() for w in evolving(module, "none", "raw-memory").theta(0.0)), "no past, no weight"


@pytest.mark.parametrize("gradient", EXACT)
def test_one_step_without_evolution_is_a_resnet(gradient):
    field = evolving("conv", "none", weight_steps=1)
    got, gradients = solved(field, start("conv"), steps=1, gradient=gradient)
    z, block = start("conv"), conv_module()
    out = z + block(z)
    expected = torch.autograd.grad(loss_of(out), (z, *block.parameters()))
    assert torch.equal(got, out)
    assert all(torch.equal(a, b) for a, b in zip(gradients.values(), expected, strict=True))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("evolution", EVOLUTIONS)
@every_module
def test_the_first_configuration_is_its_recurrence(module, evolution, kernel):
    """z_{n+1} = z_n + h f(z_n, θ_n), w_{n+1} = S(w_n), θ_n = Σ k_nm w_m, in a loop."""
    field, z, h = evolving(module, evolution, kernel), start(module), 1.0 / STEPS
    expected, w = z, [field.initial_weights]
    for n in range(STEPS):
        theta = w[-1]
        if kernel != "delta":
            k = trapezoid(n, h, renormalised=kernel == "memory")
            theta = tuple(sum(k[m] * w[m][i] for m in range(n + 1)) for i in range(len(w[0])))
        expected = expected + h * field.applied(torch.tensor(n * h, dtype=z.dtype), expected, theta)
        w.append(field.evolution.step(w[-1], h))
    reference = torch.autograd.grad(loss_of(expected), (z, *field.parameters()), allow_unused=True)
    got, gradients = solved(field, z)
    assert (got - expected).norm() < 1e-14 * expected.norm()
    for a, b in zip(gradients.values(), reference, strict=True):
        assert (a - b).norm() < 1e-13 * b.norm()


def trapezoid(n, h, renormalised):
    """Weights of K(s) = 2 exp(-2 s) for θ_n."""
    k = [2.0 * math.exp(-2.0 * (n - m) * h) * h * (0.5 if m in (0, n) else 1.0) for m in range(n + 1)]
    if n == 0:
        return [1.0 if renormalised else 0.0]
    return [x / sum(k) for x in k] if renormalised else k


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("evolution", EVOLUTIONS)
def test_the_second_configuration_evolves_first_and_steps_once(evolution, kernel):
    field, z = evolving("conv", evolution, kernel, configuration=2), start("conv")
    w = [field.initial_weights]
    for _ in range(STEPS):
        w.append(field.evolution.step(w[-1], 1.0 / STEPS))
    theta = w[-1]
    if kernel != "delta":
        k = trapezoid(STEPS, 1.0 / STEPS, renormalised=kernel == "memory")
        theta = tuple(sum(k[m] * w[m][i] for m in range(STEPS + 1)) for i in range(len(theta)))
    expected = z + field.applied(torch.zeros(()), z, theta)
    reference = torch.autograd.grad(loss_of(expected), (z, *field.parameters()))
    got, gradients = solved(field, z, steps=1)
    assert (got - expected).norm() < 1e-14 * expected.norm()
    for a, b in zip(gradients.values(), reference, strict=True):
        assert (a - b).norm() < 1e-13 * b.norm()


@pytest.mark.parametrize("gradient", [name for name in EXACT if name != "direct"])
@pytest.mark.parametrize("solver", ["euler", "rk4"])
@pytest.mark.parametrize(("evolution", "kernel"), [("linear", "delta"), ("tanh", "delta"), ("rate", "memory")])
def test_every_exact_gradient_method_gives_the_gradient_of_the_coupled_system(evolution, kernel, solver, gradient):
    for configuration in (1, 2):
        arguments = {"configuration": configuration}
        got, gradients = solved(
            evolving("linear", evolution, kernel, **arguments), start("linear"), solver, gradient=gradient
        )
        expected, reference = solved(evolving("linear", evolution, kernel, **arguments), start("linear"), solver)
        assert torch.equal(got, expected)
        assert relative(gradients, reference) < 1e-13


@pytest.mark.parametrize("configuration", [1, 2])
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("evolution", ["tanh", "rate"])
def test_prepared_for_a_solve_it_gives_the_same_bits(evolution, kernel, configuration):
    field, z = evolving("linear", evolution, kernel, configuration=configuration), start("linear")
    prepared = field.prepared_for_solve()
    for t in (0.0, 0.2, 0.3, 0.6, 1.0, 1.3):
        t = torch.tensor(t, dtype=torch.float64)
        assert torch.equal(prepared(t, z), field(t, z))


def test_a_solve_steps_its_weights_once():
    """And does not begin anew from w(0) at each of its steps."""

    class Counted(NoEvolution):
        is_flow, steps = False, 0

        def step(self, weights, dt):
            self.steps += 1
            return super().step(weights, dt)

    for configuration in (1, 2):
        counted = Counted()
        field = EvolvingField(conv_module(), counted, configuration=configuration, weight_steps=STEPS)
        solved(field, start("conv"))
        assert counted.steps == STEPS


def test_a_flow_needs_no_steps_of_its_own():
    """Any number of steps of the weights gives the same θ(t), at any time between the ends."""
    one, many = evolving("conv", "linear", weight_steps=None), evolving("conv", "linear", weight_steps=7)
    for t in (0.0, 0.2, 3 / 7, 0.5, 1.0):
        for a, b in zip(one.theta(torch.tensor(t, dtype=torch.float64)), many.theta(t), strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-14)


def test_a_time_that_float32_has_rounded_is_the_end_of_a_step():
    """Otherwise a σ would be applied once more after a step of almost no length."""
    field = evolving("conv", "tanh", weight_steps=100)
    for n in (1, 7, 99, 100):
        times, history = field.history(
            torch.tensor(n / 100, dtype=torch.float32).item(), torch.finfo(torch.float32).eps
        )
        assert len(times) == len(history) == n + 1
        assert len(field.history(n / 100 + 1e-4, torch.finfo(torch.float32).eps)[0]) == n + 2


def test_solvers_of_higher_order_keep_it():
    """θ is a function of time, so the order of the solver for z is that of the whole."""
    z = start("linear")

    def final(solver, steps):
        return odebench.solve(
            evolving("linear", "linear", weight_steps=None), z, (0.0, 1.0), solver=solver, steps=steps
        ).y1

    exact = final("dopri8", 40)
    for solver, order in (("euler", 1), ("midpoint", 2), ("rk4", 4)):
        errors = [(final(solver, steps) - exact).norm().item() for steps in (16, 32)]
        assert abs(math.log2(errors[0] / errors[1]) - order) < 0.3


@pytest.mark.parametrize("gradient", EXACT)
def test_activations_and_weights_are_one_state_too(gradient):
    """Both stepped by one solver, gradients of w(0) as part of the initial state: the same limit as the evolving field."""
    field, z = evolving("linear", "linear"), start("linear")
    coupled = field.coupled()
    ys = odebench.solve(coupled, coupled.start(z), (0.0, 1.0), solver="rk4", steps=12, gradient=gradient).y1
    expected, reference = solved(field, z, "rk4", 12)
    assert (ys[0] - expected).norm() < 1e-6 * expected.norm()
    got = torch.autograd.grad(loss_of(ys[0]), (z, *field.parameters()))
    assert relative(dict(zip(reference, got, strict=True)), reference) < 1e-5
    adaptive = odebench.solve(coupled, coupled.start(z), (0.0, 1.0), rtol=1e-7, atol=1e-7).y1[0]
    assert (adaptive - expected).norm() < 1e-5 * expected.norm()


def test_rows_may_have_times_of_their_own():
    field, z = evolving("linear", "linear"), start("linear").detach()
    times = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    together = field(times.reshape(3, 1), z)
    for row in range(3):
        torch.testing.assert_close(together[row : row + 1], field(times[row], z[row : row + 1]))
    assert field(times[:0].reshape(0, 1), z[:0]).shape == (0, 4)


def test_only_named_parameters_evolve():
    field = EvolvingField(conv_module(), NoEvolution(), evolving="2.*")
    assert field.names == ("2.weight", "2.bias")
    assert EvolvingField(conv_module(), NoEvolution()).names == ("0.weight", "2.weight"), "matrices and kernels"


@pytest.mark.parametrize(("evolution", "kernel"), [("none", "delta"), ("linear", "delta"), ("tanh", "memory")])
@every_module
def test_frozen_modules_answer_alike_and_are_plain(module, evolution, kernel):
    field, z = evolving(module, evolution, kernel, configuration=2), start(module)
    frozen, plain = field.freeze(), MODULES[module]()
    assert type(frozen) is type(plain)
    assert {n: p.shape for n, p in frozen.named_parameters()} == {n: p.shape for n, p in plain.named_parameters()}
    assert all(a is not b for a, b in zip(frozen.parameters(), field.module.parameters(), strict=True))
    expected = odebench.solve(field, z, (0.0, 1.0), solver="euler", steps=1).y1
    got = odebench.solve(Plain(frozen), z, (0.0, 1.0), solver="euler", steps=1).y1
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-14)


class Operations(TorchDispatchMode):
    """The operations that are called, in order."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(str(func))
        return func(*args, **(kwargs or {}))


def test_a_frozen_network_does_what_the_ordinary_one_does():
    """As many parameters, and the same operations in the same order: nothing is left that could cost time."""

    class Network(nn.Module):
        def __init__(self, block):
            super().__init__()
            self.block, self.head = block, filled_head()

        def forward(self, z):
            step = self.block(torch.zeros((), dtype=z.dtype), z) if isinstance(self.block, EvolvingField) else None
            return self.head((z + step if step is not None else self.block(z)).mean((-2, -1)))

    def filled_head():
        return nn.Linear(2, 3).double()

    torch.manual_seed(0)
    network = Network(evolving("conv", "linear", configuration=2))
    before = copy.deepcopy(network.state_dict())
    frozen = Network(Residual(freeze(network.block)))
    frozen.head.load_state_dict(network.head.state_dict())
    ordinary, z = Network(Residual(conv_module())), start("conv").detach()
    torch.testing.assert_close(frozen(z), network(z), rtol=0, atol=1e-14)
    assert sum(p.numel() for p in frozen.parameters()) == sum(p.numel() for p in ordinary.parameters())
    with torch.no_grad(), Operations() as one:
        frozen(z)
    with torch.no_grad(), Operations() as other:
        ordinary(z)
    assert one.names == other.names
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items()), "a copy is frozen"


def test_fields_inside_a_network_are_frozen_in_place():
    network = nn.Sequential(
        nn.ModuleDict({"field": evolving("conv", "linear", configuration=2)}),
        nn.ModuleList([evolving("linear", "rate", configuration=2)]),
    )
    frozen = freeze(network)
    assert not any(isinstance(part, EvolvingField) for part in frozen.modules())
    t = torch.zeros((), dtype=torch.float64)
    for kind, got, expected in (
        ("conv", frozen[0]["field"], network[0]["field"]),
        ("linear", frozen[1][0], network[1][0]),
    ):
        torch.testing.assert_close(got(t, start(kind)), expected(t, start(kind)), rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("steps", "span", "plain"), [(1, (0.0, 1.0), True), (2, (0.0, 1.0), False), (1, (0.0, 2.0), False)]
)
def test_a_block_of_one_step_is_frozen_into_a_residual_one(steps, span, plain):
    field = evolving("conv", "linear", configuration=2)
    network = nn.Sequential(ODEBlock(field, solver="euler", steps=steps, gradient="anode", span=span), nn.Flatten())
    frozen, z = freeze(network), start("conv").detach()
    torch.testing.assert_close(frozen(z), network(z), rtol=0, atol=1e-13)
    assert isinstance(frozen[0], Residual) is plain
    assert isinstance(network[0], ODEBlock) and not any(isinstance(part, EvolvingField) for part in frozen.modules())
    assert isinstance(freeze(network[0]), Residual) is plain
    z1 = odebench.solve(field, z, span, solver="midpoint", steps=1).y1
    midpoint = freeze(ODEBlock(field, solver="midpoint", steps=1, span=span))
    torch.testing.assert_close(midpoint(z), z1, rtol=0, atol=1e-13)


def test_batch_statistics_are_followed_as_in_the_module_itself():
    module = nn.Sequential(conv_module(), nn.BatchNorm2d(2).double())
    field, plain = EvolvingField(copy.deepcopy(module), NoEvolution()), Plain(module)
    for method in EXACT:
        solved(field, start("conv"), gradient=method)
        solved(plain, start("conv"), gradient=method)
    assert torch.equal(field.module[1].running_var, plain.module[1].running_var)
    assert field.module[1].num_batches_tracked == STEPS * len(EXACT)


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda: evolving("conv", "none", configuration=3), IncompatibleError, "it must be 1 or 2"),
        (lambda: evolving("conv", "none", weight_steps=0), IncompatibleError, "at least 1, or None"),
        (lambda: evolving("conv", "tanh", weight_steps=None), IncompatibleError, "depend on the number of steps"),
        (lambda: evolving("conv", "linear", "memory", weight_steps=None), IncompatibleError, "depend on the number"),
        (lambda: evolving("conv", "none", span=(1.0, 0.0)), IncompatibleError, "forward over some time"),
        (lambda: evolving("conv", "none", evolving=("nothing",)), IncompatibleError, "It has: 0.weight, 0.bias"),
        (lambda: EvolvingField(nn.ReLU(), NoEvolution()), IncompatibleError, "No parameter of the module would evolve"),
        (lambda: EvolvingField(nn.MultiheadAttention(2, 1), NoEvolution()), IncompatibleError, "takes 3 arguments"),
        (lambda: evolving("conv", "linear").theta(-0.5), FieldError, "Let `span` begin there"),
        (lambda: evolving("conv", "linear").freeze(), IncompatibleError, "Use configuration 2"),
        (lambda: freeze(conv_module()), IncompatibleError, "has no evolving field"),
        (lambda: evolving("conv", "linear", configuration=2).coupled(), IncompatibleError, "Only configuration 1"),
        (lambda: evolving("conv", "linear", "memory").coupled(), IncompatibleError, "Only configuration 1"),
    ],
)
def test_mistakes_are_answered_in_words(make, error, said):
    with pytest.raises(error, match=said):
        make()
