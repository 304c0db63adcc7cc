"""The hyperbolic tangent of compiled fields: its rounding, its derivative, its ends."""

from __future__ import annotations

from importlib.resources import files

import pytest
import torch
from torch import Tensor

from odebench.compiled.fused.build import built
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


@pytest.mark.slow
def test_that_of_kernels_is_within_two_units_too(points) -> None:
    head = "using T = float; constexpr int NUMBERS = 1, TENSORS = 0, STAGES = 1, STORED = 1, UNROLL = 2, ARRAYS = 0;"
    tail = """constexpr bool BY_ROW = false, TAKES_OVER = false;
        %s }
        extern "C" void run(const int64_t* given) {
          for (int64_t n = 0; n < given[2]; n += WIDTH)
            hyperbolic_tangent(V::loadu(pointer<const T*>(given[0]) + n)).store(pointer<T*>(given[1]) + n);
        }"""
    common = (files("odebench.compiled.fused") / "kernels" / "common.h").read_text(encoding="utf-8")
    run = built(head + tail % common)
    ends = torch.tensor([float("inf"), -float("inf"), float("nan"), 0.0, -0.0, 50.0])
    x = torch.cat((points, ends.repeat(64)))[-(points.numel() // 64) * 64 :].contiguous()
    y = torch.empty_like(x)
    run((x.data_ptr(), y.data_ptr(), x.numel()))
    inner = slice(0, x.numel() - ends.numel() * 64)
    assert float(units_in_the_last_place(y[inner], x[inner]).max()) < 2.0
    assert torch.equal(y[-6:].nan_to_num(7.0), torch.tensor([1.0, -1.0, 7.0, 0.0, 0.0, 1.0]))
    assert torch.equal(y[-6:].signbit(), ends.signbit())


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
