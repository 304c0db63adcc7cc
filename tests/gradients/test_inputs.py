"""Which tensors get gradients: found, declared, or refused by name."""

from __future__ import annotations

import functools

import pytest
import torch
from torch import nn

import odebench
from odebench.errors import IncompatibleError
from tests.gradients.fields import ALL, INEXACT, SCHEDULED, Network, loss_of, off, start

RECOMPUTING = tuple(method for method in ALL if method != "direct")


def near(method):
    """How far a method's gradient may be from that of the recorded steps."""
    return 2e-4 if method in INEXACT else 1e-13


def solved(method, field, y0, inputs=(), **arguments):
    arguments = arguments or {"solver": "rk4", "steps": 40}
    return odebench.solve(field, y0, (0.0, 0.5, 1.0), gradient=method, inputs=inputs, **arguments)


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize("kind", ["partial", "partial of a module", "bound method", "callable object"])
def test_fields_that_are_no_modules(kind, method):
    def run(method):
        network, y0 = Network(), start()
        scale = torch.tensor(0.8, dtype=torch.float64, requires_grad=True)
        wanted = tuple(network.parameters())

        class Holder:
            def slope(self, t, y):
                return network(t, y)

            def parameters(self):
                return network.parameters()

            __call__ = slope

        if kind == "partial":
            field = functools.partial(lambda scale, t, y: torch.sin(scale * y) + t, scale)
            wanted = (scale,)
        elif kind == "partial of a module":
            field = functools.partial(network.__call__)
        elif kind == "bound method":
            field = network.forward
        else:
            field = Holder()
        return torch.autograd.grad(loss_of(solved(method, field, y0).ys), (y0, *wanted))

    assert off(run(method), run("direct")) < near(method)


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize("leaf", [True, False])
def test_declared_inputs(leaf, method):
    def run(method):
        field, y0 = Network(), start()
        source = torch.linspace(0.5, 1.0, 3, dtype=torch.float64).requires_grad_()
        encoder = nn.Linear(3, 3, dtype=torch.float64)
        with torch.no_grad():
            encoder.weight.copy_(torch.eye(3) * 0.3)
            encoder.bias.zero_()
        context = source if leaf else encoder(source).tanh()
        ys = solved(method, lambda t, y: field(t, y) * context - context, y0, (context, *field.parameters())).ys
        upstream = () if leaf else tuple(encoder.parameters())
        return torch.autograd.grad(loss_of(ys), (y0, source, *field.parameters(), *upstream))

    assert off(run(method), run("direct")) < near(method)


@pytest.mark.parametrize("method", RECOMPUTING)
def test_tensors_that_are_not_declared_are_refused_by_name(method):
    context = torch.ones(3, dtype=torch.float64, requires_grad=True)
    y0 = start()
    for declared in ((), (torch.ones(3, requires_grad=True),)):
        with pytest.raises(IncompatibleError, match=r"'context' \(shape \(3,\)\).*inputs=") as caught:
            solved(method, lambda t, y: -y * context, y0, declared).ys.sum().backward()
        assert method in str(caught.value)
    with pytest.raises(IncompatibleError, match="'context'"):  # nothing else requires a gradient
        solved(method, lambda t, y: -y * context, y0.detach())
    with pytest.raises(IncompatibleError, match="it must be a tuple"):
        solved(method, lambda t, y: -y * context, y0, context)
    encoded = context * 2
    with pytest.raises(IncompatibleError, match=r"a tensor of shape|'encoded'|'context'"):
        solved(method, lambda t, y: -y * encoded, y0).ys.sum().backward()


def test_direct_needs_no_declaration():
    context = torch.ones(3, dtype=torch.float64, requires_grad=True)
    ys = solved("direct", lambda t, y: -y * context, start()).ys
    assert torch.autograd.grad(ys.sum(), context)[0].abs().sum() > 0


@pytest.mark.parametrize("method", RECOMPUTING)
def test_what_would_be_counted_twice_is_refused(method):
    """Going back from one input would pass the other, whose gradient then also comes by way of the caller."""
    first = torch.ones(3, dtype=torch.float64, requires_grad=True)
    second = first * 2
    third = second.sin()
    y0 = start()
    with pytest.raises(IncompatibleError, match="computed from 'second'.*twice"):
        solved(method, lambda t, y: -y * second + third, y0, (second, third))
    with pytest.raises(IncompatibleError, match="twice"):
        solved(method, functools.partial(lambda t, y, a, b: -y * a + b, a=second, b=third), y0)
    field = Network()
    derived = field.bias[:3].sin()
    with pytest.raises(IncompatibleError, match="computed from 'bias'.*twice"):

        class Using(Network):
            def forward(self, t, y):
                return field(t, y) * derived

        using = Using()
        using.bias = field.bias
        solved(method, using, y0, (derived,))


@pytest.mark.parametrize("method", ALL)
def test_parts_of_one_tensor_are_different_inputs(method):
    def run(method):
        source = torch.linspace(0.2, 1.0, 6, dtype=torch.float64).requires_grad_()
        one, other = (2 * source).chunk(2)
        y0 = start()
        ys = solved(method, lambda t, y: torch.sin(y * one) - other * t, y0, (one, other)).ys
        return torch.autograd.grad(loss_of(ys), (y0, source))

    assert off(run(method), run("direct")) < near(method)


@pytest.mark.parametrize("method", ALL)
def test_the_initial_state_may_be_an_input_and_come_from_the_fields_parameters(method):
    def run(method):
        field = Network()
        y0 = field.first.t().sin()  # (5, 3)
        own = [field.second, field.bias]
        ys = solved(method, field, y0).ys
        anchor = start(5)
        towards = solved(method, lambda t, y: torch.tanh(anchor - y) * y, anchor, (anchor,)).ys
        return (
            *torch.autograd.grad(loss_of(ys), (field.first, *own)),
            *torch.autograd.grad(loss_of(towards), anchor),
        )

    assert off(run(method), run("direct")) < near(method)


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize("arguments", [{"solver": "rk4", "steps": 40}, {"rtol": 1e-8}])
def test_used_twice_before_the_backward(method, arguments):
    def run(method):
        field, y0 = Network(), start()
        once = solved(method, field, y0, **arguments).y1
        twice = solved(method, field, once, **arguments)
        return torch.autograd.grad(loss_of(twice.ys) + once.sum(), (y0, *field.parameters()))

    assert off(run(method), run("direct")) < (1e-3 if method in INEXACT else 1e-12)


@pytest.mark.parametrize("method", ALL)
def test_backward_twice_over_a_kept_graph(method):
    field, y0 = Network(), start()
    solution = solved(method, field, y0)
    wanted = (y0, *field.parameters())
    once = torch.autograd.grad(loss_of(solution.ys), wanted, retain_graph=True)
    backward = solution.stats.evaluations_backward
    again = torch.autograd.grad(loss_of(solution.ys), wanted, retain_graph=True)
    assert all(torch.equal(a, b) for a, b in zip(once, again, strict=True))
    again_too = 39 * 4 if method in SCHEDULED else 0  # the way forward: states are overwritten on the way back
    assert solution.stats.evaluations_backward == 2 * backward + again_too
    half = torch.autograd.grad(0.5 * loss_of(solution.ys), wanted)
    for a, b in zip(once, half, strict=True):
        torch.testing.assert_close(a, 2 * b, rtol=1e-12, atol=1e-13)
    with pytest.raises(RuntimeError, match="second time"):
        torch.autograd.grad(loss_of(solution.ys), wanted)


@pytest.mark.parametrize("method", ALL)
def test_a_state_that_was_overwritten_since_is_noticed(method):
    """A silent wrong gradient otherwise: what the backward starts from has changed."""
    leaf = start()
    y0 = leaf * 1.0
    ys = solved(method, Network(), y0).ys
    y0.mul_(2.0)
    if method != "continuous-adjoint":
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            ys.sum().backward()
    else:
        ys.sum().backward()  # keeps the outputs, not the initial state


def test_gradients_of_gradients():
    def second(method):
        field, y0 = Network(), start()
        ys = solved(method, field, y0, solver="rk4", steps=4).ys
        gradient = torch.autograd.grad(loss_of(ys), (y0, *field.parameters()), create_graph=True)
        penalty = sum(g.square().sum() for g in gradient)
        return torch.autograd.grad(penalty, (y0, *field.parameters()), allow_unused=True), penalty

    got, _ = second("direct")
    h, directions = 1e-6, [torch.cos(torch.arange(y.numel(), dtype=y.dtype)).reshape(y.shape) for y in got]

    def penalty(sign):
        field, y0 = Network(), start()
        with torch.no_grad():
            for tensor, direction in zip((y0, *field.parameters()), directions, strict=True):
                tensor += sign * h * direction
        gradient = torch.autograd.grad(
            loss_of(solved("direct", field, y0, solver="rk4", steps=4).ys), (y0, *field.parameters())
        )
        return sum(g.square().sum() for g in gradient).item()

    slope = sum((g * d).sum() for g, d in zip(got, directions, strict=True)).item()
    assert slope == pytest.approx((penalty(1) - penalty(-1)) / (2 * h), rel=1e-6)
    for method in RECOMPUTING:
        with pytest.raises(IncompatibleError, match=f"'{method}' gives no gradients of gradients"):
            second(method)
