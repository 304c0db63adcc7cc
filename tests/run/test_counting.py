"""Evaluations and vector-Jacobian products are counted where a plugin cannot see it."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import nn

from odebench.contract import modules_of, parameters_of
from odebench.run.counting import Audit, Counter, CountingField
from odebench.run.opaque import opaque


class Spring(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(2, 2)

    def forward(self, t, y):
        return self.inner(y)


@pytest.fixture
def counted():
    module, counter = Spring(), Counter()
    return module, counter, CountingField(module, counter)


T = torch.zeros(())


def test_evaluations_are_counted_by_phase(counted):
    _, counter, field = counted
    field(T, torch.ones(3, 2))
    counter.phase = "backward"
    field(T, torch.ones(3, 2))
    field(T, torch.ones(3, 2))
    assert (counter.evaluations, counter.total) == ({"forward": 1, "backward": 2}, 3)


def test_counting_changes_no_value(counted):
    module, _, field = counted
    y = torch.randn(3, 2)
    assert torch.equal(field(T, y), module(T, y))


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # What jacfwd imports at its first use.
@pytest.mark.parametrize(
    ("use", "vjps"),
    [
        (lambda f, y: f(y).sum().backward(), 1),
        (lambda f, y: torch.autograd.grad(f(y).sum() + f(y).sum(), y), 2),
        (lambda f, y: torch.func.vjp(f, y.detach())[1](torch.ones(3, 2)), 1),
        (lambda f, y: torch.vmap(torch.func.jacrev(f))(y.detach()), 1),
        (lambda f, y: torch.func.jacfwd(f)(y.detach()[0]), 0),
        (lambda f, y: f(y).mul_(2.0).sum().backward(), 1),
        (lambda f, y: torch.no_grad()(f)(y), 0),
    ],
    ids=["backward", "grad of two", "func.vjp", "jacrev under vmap", "jacfwd", "written in place", "no grad"],
)
def test_vector_jacobian_products_are_counted_however_they_are_made(counted, use, vjps):
    _, counter, field = counted
    use(lambda y: field(T, y), torch.randn(3, 2, requires_grad=True))
    assert counter.vjps == vjps


def test_one_product_of_a_tuple_state_is_one():
    class Pair(nn.Module):
        def forward(self, t, y):
            return y[1], -y[0]

    counter = Counter()
    field = CountingField(Pair(), counter)
    y = (torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True))
    a, b = field(T, y)
    (a.sum() + b.sum()).backward()
    assert (counter.vjps, y[0].grad.tolist()) == (1, [-1.0, -1.0])


def test_the_opaque_field_tells_parameters_and_buffers_and_no_module(counted):
    module, _, field = counted
    module.register_buffer("mean", torch.zeros(2))
    module.accepts_batched_time = True
    seen = opaque(module, field)
    assert [id(p) for p in parameters_of(seen)] == [id(p) for p in module.parameters()]
    assert seen.accepts_batched_time
    assert not hasattr(opaque(Spring()), "accepts_batched_time")
    (shell,) = modules_of(seen)
    shell.mean.add_(1.0)
    assert module.mean.tolist() == [1.0, 1.0]
    assert shell.training and not list(shell.children())
    assert not any(isinstance(getattr(seen, name, None), nn.Module) for name in dir(seen))


def watch(counted, use):
    module, _, field = counted
    audit = Audit()
    audit.add(module, field)
    with audit.watching():
        use()
    return audit


def test_counted_evaluations_pass_the_audit(counted):
    _, _, field = counted
    audit = watch(counted, lambda: [field(T, torch.ones(3, 2)) for _ in range(4)])
    assert (audit.uncounted, audit.removed) == (0, False)
    assert sys.getprofile() is None


@pytest.mark.parametrize(
    "use",
    [
        lambda module: module(T, torch.ones(3, 2)),
        lambda module: module.forward(T, torch.ones(3, 2)),
        lambda module: type(module).forward(module, T, torch.ones(3, 2)),
        lambda module: module.inner(torch.ones(3, 2)),
    ],
    ids=["call", "forward", "by the class", "a part of it"],
)
def test_an_evaluation_past_the_counter_is_seen(counted, use):
    assert watch(counted, lambda: use(counted[0])).uncounted > 0


def test_another_module_of_the_same_class_is_nobodys_business(counted):
    other = Spring()
    assert watch(counted, lambda: other(T, torch.ones(3, 2))).uncounted == 0


def test_taking_the_profiler_away_for_a_moment_is_seen(counted):
    def use():
        profiler = sys.getprofile()
        sys.setprofile(None)
        sys.setprofile(profiler)

    assert watch(counted, use).removed
