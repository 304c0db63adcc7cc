"""The hyperbolic tangent in float32, where the compiler's own takes most of the time of a small network.

Below 5/8 a polynomial of x², fitted to the smallest largest relative error (Lawson's method of weights), which is 0.003 units in
the last place; above, 1 - 2e/(1 + e) with e = exp(-2|x|). With the rounding of each operation both stay within 1.5 units in the
last place; the compiler's own within 1, at two and a half times the cost.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor

EDGE = 0.625
"""Where the polynomial ends."""

POLYNOMIAL = (
    -0.3333333134651184,
    0.1333320587873459,
    -0.05394676327705383,
    0.021700697019696236,
    -0.008177383802831173,
    0.0021429494954645634,
)
"""Coefficients of 1, x², x⁴, … in (tanh(x)/x - 1)/x²."""


def tanh(x: Tensor) -> Tensor:
    """tanh(x), without a derivative; in other precisions than float32, and off the CPU, torch's own."""
    if x.dtype != torch.float32 or x.device.type != "cpu":
        return torch.tanh(x)
    return _values(x)


def differentiable_tanh(x: Tensor) -> Tensor:
    """The same values bit for bit, with the derivative 1 - tanh(x)²."""
    if x.dtype != torch.float32 or x.device.type != "cpu":
        return torch.tanh(x)
    # Where tanh is 1 in float32 the derivative is 0, and an infinite x would be infinity less infinity below.
    bounded = x.clamp(-10.0, 10.0)
    fixed = bounded.detach()
    y = _values(fixed)
    return y + (bounded - fixed) * (1.0 - y * y)


def _values(x: Tensor) -> Tensor:
    x = x.clamp(-10.0, 10.0)
    size, square = x.abs(), x * x
    e = torch.exp(-2.0 * size)
    far = 1.0 - 2.0 * e / (1.0 + e)
    total = square * POLYNOMIAL[-1] + POLYNOMIAL[-2]
    for coefficient in POLYNOMIAL[-3::-1]:
        total = total * square + coefficient
    near = x + x * (square * total)
    return torch.where(size < EDGE, near, torch.where(x < 0.0, -far, far))


def rewritten(module: torch.fx.GraphModule, function: Callable[[Tensor], Tensor]) -> torch.fx.GraphModule:
    """A field's graph with another hyperbolic tangent; the graph itself where it has none."""
    nodes = [node for node in module.graph.nodes if (node.op, node.target) in _SPELLINGS]
    if not nodes:
        return module
    graph = copy.deepcopy(module.graph)
    for node in [node for node in graph.nodes if (node.op, node.target) in _SPELLINGS]:
        # `tanh` has one argument, whether as a function or as a method.
        node.op, node.target, node.kwargs = "call_function", function, {}
    return torch.fx.GraphModule(module, graph)


_SPELLINGS = {
    ("call_function", torch.tanh),
    ("call_function", torch.nn.functional.tanh),
    ("call_method", "tanh"),
}
