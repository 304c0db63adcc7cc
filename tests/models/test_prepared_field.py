"""A field that is prepared for a solve gives what it gives unprepared, bit for bit, and gradients reach its weights."""

from __future__ import annotations

import pytest
import torch

import odebench
from odebench.models.conv1d_net import Conv1dField
from odebench.run.opaque import opaque

SHAPES = [(1, 1), (1, 2), (1, 3), (2, 2), (3, 5)]


def field_of(channels: int, length: int, dense: bool) -> Conv1dField:
    return Conv1dField(channels, length, 8, dense, torch.Generator().manual_seed(5))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_matrices_give_what_convolutions_give(shape):
    y, t = torch.randn(7, *shape, dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    by_matrices, by_convolutions = field_of(*shape, True), field_of(*shape, False)
    expected = by_convolutions(t, y)
    torch.testing.assert_close(by_matrices(t, y), expected, rtol=1e-13, atol=1e-13)
    expected.sum().backward()
    by_matrices(t, y).sum().backward()
    for one, other in zip(by_matrices.parameters(), by_convolutions.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_prepared_is_unprepared_bit_for_bit(shape):
    field, y, t = field_of(*shape, True).float(), torch.randn(7, *shape), torch.zeros(())
    assert torch.equal(field.prepared_for_solve()(t, y), field(t, y))


@pytest.mark.parametrize("gradient", ["direct", "anode", "step-checkpoint", "continuous-adjoint"])
def test_gradients_reach_the_weights_by_every_method(gradient):
    y = torch.randn(7, 1, 2, dtype=torch.float64)
    grads = []
    for dense in (False, True):
        field = field_of(1, 2, dense)
        ys = odebench.solve(field, y, [0.0, 1.0], solver="rk4", steps=4, gradient=gradient).ys
        ys[-1].square().sum().backward()
        grads.append([parameter.grad for parameter in field.parameters()])
    for one, other in zip(*grads, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-12)


def test_a_prepared_field_follows_its_weights():
    """What was prepared serves for one solve: the next one sees the optimiser's step."""
    field, y = field_of(1, 2, True), torch.randn(7, 1, 2, dtype=torch.float64)
    before = odebench.solve(field, y, [0.0, 1.0], solver="euler", steps=3).ys
    with torch.no_grad():
        field.mix.weight.mul_(1.5)
    twin = field_of(1, 2, False)
    twin.load_state_dict(field.state_dict())
    after = odebench.solve(field, y, [0.0, 1.0], solver="euler", steps=3).ys
    torch.testing.assert_close(after, odebench.solve(twin, y, [0.0, 1.0], solver="euler", steps=3).ys)
    assert not torch.equal(before, after)


def test_an_opaque_field_hands_the_offer_on_and_the_host_still_counts():
    field, y, t = field_of(1, 2, True), torch.randn(7, 1, 2, dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    calls = []

    class Count:
        def __call__(self, t, y):
            return self.around(field)(t, y)

        def around(self, function):
            def counted(t, y):
                calls.append(t)
                return function(t, y)

            return counted

    assert torch.equal(opaque(field).prepared_for_solve()(t, y), field(t, y))
    odebench.solve(opaque(field, Count()), y, [0.0, 1.0], solver="rk4", steps=5)
    assert len(calls) == 20
    assert not hasattr(opaque(field, lambda t, y: field(t, y)), "prepared_for_solve")
    assert not hasattr(opaque(torch.nn.Linear(2, 2)), "prepared_for_solve")
