"""The hyperbolic tangent of compiled fields: its rounding, its derivative, its ends."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from odebench.compiled.quick import differentiable_tanh, tanh


def units_in_the_last_place(found: Tensor, x: Tensor) -> Tensor:
    """How far float32 values are from tanh in double precision, in the distance of neighbouring numbers."""
    expected = torch.tanh(x.double())
    spacing = 2.0 ** (torch.floor(torch.log2(expected.abs().clamp_min(2.0**-126))) - 23)
    return (found.double() - expected).abs() / spacing


@pytest.fixture(scope="module")
def points() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    spread = torch.rand(2_000_000, generator=generator) * 24 - 12
    small = torch.exp(torch.rand(2_000_000, generator=generator) * 90 - 87)
    edge = torch.linspace(0.6, 0.65, 500_000)
    return torch.cat((spread, small, -edge, edge))


def test_it_is_within_two_units_in_the_last_place(points) -> None:
    assert float(units_in_the_last_place(tanh(points), points).max()) < 2.0


def test_its_derivative_is_that_of_torch_and_its_values_are_the_same(points) -> None:
    x = points[::97].clone().requires_grad_()
    y = differentiable_tanh(x)
    assert torch.equal(y, tanh(x.detach()))
    (found,) = torch.autograd.grad(y.sum(), x)
    assert torch.allclose(found, 1.0 - y.detach() ** 2, rtol=0.0, atol=1e-7)


def test_at_its_ends_it_is_one_and_what_is_no_number_stays_so() -> None:
    x = torch.tensor([float("inf"), -float("inf"), float("nan"), 0.0, 50.0], requires_grad=True)
    y = differentiable_tanh(x)
    assert y[:2].tolist() == [1.0, -1.0] and bool(y[2].isnan()) and y[3:].tolist() == [0.0, 1.0]
    (slope,) = torch.autograd.grad(y.nansum(), x)
    assert slope[[0, 1, 3, 4]].tolist() == [0.0, 0.0, 1.0, 0.0]


def test_double_precision_is_left_to_torch() -> None:
    x = torch.linspace(-3, 3, 100, dtype=torch.float64)
    assert torch.equal(tanh(x), torch.tanh(x))
