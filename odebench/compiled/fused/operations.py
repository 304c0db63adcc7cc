"""What each operation of a field does to numbers."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch

from odebench.compiled.fused.reading import Reading, Value

aten = torch.ops.aten


def _binary(operation: str) -> Callable[..., Value]:
    def apply(reading: Reading, left: Any, right: Any, *, alpha: float = 1) -> Value:
        if alpha != 1:
            right = reading.make("mul", right, alpha)
        return reading.make(operation, left, right)

    return apply


def _unary(operation: str) -> Callable[..., Value]:
    return lambda reading, value: reading.make(operation, value)


def _power(reading: Reading, base: Any, exponent: Any) -> Value:
    """Small whole powers are products, as torch computes them."""
    if exponent == 0.5:
        return reading.make("sqrt", base)
    if isinstance(exponent, int | float) and float(exponent).is_integer() and 1 <= abs(exponent) <= 3:
        result = base
        for _ in range(int(abs(exponent)) - 1):
            result = reading.make("mul", result, base)
        return result if exponent > 0 else reading.make("div", 1.0, result)
    return reading.make("pow", base, exponent)


def _clamp(reading: Reading, value: Value, least: Any = None, most: Any = None) -> Value:
    """Where a bound is met, the derivative is that of the value itself, as in torch."""
    for bound, comparison in ((least, "ge"), (most, "le")):
        if bound is not None:
            value = reading.make("where", reading.make(comparison, value, bound), value, bound)
    return value


def _softplus(reading: Reading, value: Value, beta: float = 1, threshold: float = 20) -> Value:
    """Bounded where it is not used, so that its derivative there is 0 rather than 0 · ∞."""
    scaled = reading.make("mul", value, beta)
    bent = reading.make("log1p", reading.make("exp", reading.make("minimum", scaled, threshold)))
    return reading.make("where", reading.make("gt", scaled, threshold), value, reading.make("div", bent, beta))


def _elu(reading: Reading, value: Value, alpha: float = 1, scale: float = 1, inner: float = 1) -> Value:
    """Bounded likewise."""
    bent = reading.make("expm1", reading.make("mul", reading.make("minimum", value, 0.0), inner))
    straight = reading.make("mul", value, scale)
    return reading.make(
        "where", reading.make("gt", value, 0.0), straight, reading.make("mul", bent, float(alpha) * float(scale))
    )


def _relu(reading: Reading, value: Value) -> Value:
    return reading.make("where", reading.make("gt", value, 0.0), value, 0.0)


def _same(reading: Reading, value: Value, *_: Any, **__: Any) -> Value:
    return value


def _swapped(dimensions: int, one: int, other: int) -> list[int]:
    order = list(range(dimensions))
    order[one], order[other] = order[other], order[one]
    return order


OPERATIONS: dict[Any, Callable[..., Any]] = {
    **{
        overload: _binary(operation)
        for operation in ("add", "sub", "mul", "div", "maximum", "minimum", "lt", "le", "gt", "ge", "eq", "ne")
        for name in ("Tensor", "Scalar", "default")
        if (overload := getattr(getattr(aten, operation), name, None)) is not None
    },
    aten.rsub.Scalar: lambda r, left, right: r.make("sub", right, left),
    aten.logical_and.default: _binary("and"),
    aten.logical_or.default: _binary("or"),
    aten.logical_not.default: _unary("not"),
    aten.bitwise_and.Tensor: _binary("and"),
    aten.bitwise_or.Tensor: _binary("or"),
    aten.bitwise_not.default: _unary("not"),
    **{
        getattr(aten, operation).default: _unary(operation)
        for operation in (
            *("neg", "abs", "sign", "floor", "ceil", "exp", "expm1", "log", "log1p", "sqrt", "sin", "cos", "tan"),
            *("sinh", "cosh", "tanh", "asin", "acos", "atan", "erf", "sigmoid"),
        )
    },
    aten.reciprocal.default: lambda r, value: r.make("div", 1.0, value),
    aten.rsqrt.default: lambda r, value: r.make("div", 1.0, r.make("sqrt", value)),
    aten.pow.Tensor_Scalar: _power,
    aten.pow.Tensor_Tensor: _power,
    aten.pow.Scalar: _power,
    aten.where.self: lambda r, condition, yes, no: r.make("where", condition, yes, no),
    aten.clamp.default: _clamp,
    aten.softplus.default: _softplus,
    aten.elu.default: _elu,
    aten.relu.default: _relu,
    aten.view.default: Reading.reshaped,
    aten._unsafe_view.default: Reading.reshaped,
    aten.reshape.default: Reading.reshaped,
    aten.expand.default: lambda r, value, shape, **_: r.expanded(value, shape),
    aten.permute.default: Reading.permuted,
    aten.t.default: lambda r, value: r.permuted(value, range(value.numbers.ndim)[::-1]),
    aten.transpose.int: lambda r, value, a, b: r.permuted(value, _swapped(value.numbers.ndim, a, b)),
    aten.select.int: Reading.selected,
    aten.slice.Tensor: Reading.sliced,
    aten.cat.default: Reading.joined,
    aten.stack.default: Reading.stacked,
    aten.unsqueeze.default: Reading.widened,
    aten.squeeze.dim: Reading.narrowed,
    aten.squeeze.dims: Reading.narrowed,
    aten.split.Tensor: Reading.parted,
    aten.split_with_sizes.default: Reading.parted,
    aten.unbind.int: lambda r, value, dimension=0: [
        r.selected(value, dimension, n) for n in range(value.numbers.shape[r.inside(value, dimension)])
    ],
    aten.flip.default: Reading.turned,
    aten.roll.default: Reading.rolled,
    aten.sum.dim_IntList: lambda r, value, *how, **named: r.reduced("add", value, *how, **named),
    aten.sum.default: lambda r, value, **named: r.reduced("add", value, **named),
    aten.amax.default: lambda r, value, *how: r.reduced("maximum", value, *how),
    aten.amin.default: lambda r, value, *how: r.reduced("minimum", value, *how),
    aten.mean.dim: Reading.averaged,
    aten.mean.default: Reading.averaged,
    aten.mm.default: Reading.multiplied,
    aten.addmm.default: Reading.linear,
    aten.full.default: lambda r, shape, value, **_: r.filled(shape, value),
    aten.full_like.default: lambda r, value, number, **_: r.filled(r.extent(value), number),
    aten.scalar_tensor.default: lambda r, value, **_: r.number(value),
    aten.clone.default: _same,
    aten.alias.default: _same,
    aten.detach.default: _same,
    aten._to_copy.default: lambda r, value, **_: r.make("add", value, 0.0),
    aten.lift_fresh_copy.default: _same,
    torch.ops.prims.convert_element_type.default: lambda r, value, *_: r.make("add", value, 0.0),
    operator.getitem: lambda r, values, index: values[index],
}
