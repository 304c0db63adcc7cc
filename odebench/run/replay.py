"""A solve that is a chain of known steps: run it, and differentiate it by plain autograd in bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from odebench.run.flat_problem import gradient_or_zeros


class Output(NamedTuple):
    """A state asked for, that lies in a step.

    Attributes:
        index: which of the output times.
        value: the state there, `(batch, width)`.
        rows: `(batch, 1)`, true for the rows whose step this is; None for all.
    """

    index: int
    value: Tensor
    rows: Tensor | None = None


Advance = Callable[[int, Tensor], tuple[Tensor, list[Output]]]
"""`advance(n, y)` takes step n from y; returns the state at its end, and the outputs that lie in it."""


class Chain(NamedTuple):
    """A chain of steps.

    Attributes:
        steps: how many.
        advance: takes one.
        outputs: number of output times; the first is the start.
    """

    steps: int
    advance: Advance
    outputs: int


class ReplayedGradient(NamedTuple):
    """Outputs `(times, batch, width)` of a chain, and the gradient of a loss of them."""

    outputs: Tensor
    grad_y0: Tensor
    grad_parameters: tuple[Tensor, ...]


def run_chain(chain: Chain, y0: Tensor) -> Tensor:
    """The outputs of a chain, `(times, batch, width)`, without a graph."""
    return _forward(chain, y0, chain.steps)[0]


def differentiate_chain(
    chain: Chain,
    y0: Tensor,
    parameters: tuple[Tensor, ...],
    loss: Callable[[Tensor], Tensor],
    segment: int = 32,
) -> ReplayedGradient:
    """Outputs of a chain and the gradient of `loss(outputs)` in y0 and the parameters.

    The chain is cut into segments of so many steps, of which one at a time has a graph; the chain rule joins them. That
    is what one graph over all steps gives, up to the order of sums.
    """
    outputs, starts = _forward(chain, y0, segment)
    leaf = outputs.clone().requires_grad_()
    with torch.enable_grad():
        (cotangents,) = gradient_or_zeros(loss(leaf), (leaf,), torch.ones((), dtype=leaf.dtype))
    adjoint = torch.zeros_like(y0)
    totals = tuple(torch.zeros_like(p) for p in parameters)
    for number in reversed(range(len(starts))):
        first = number * segment
        y = start = starts[number].detach().requires_grad_()
        product = torch.zeros((), dtype=y0.dtype)
        with torch.enable_grad():
            for n in range(first, min(first + segment, chain.steps)):
                y, emitted = chain.advance(n, y)
                for index, value, rows in emitted:
                    weighted = value * cotangents[index]
                    product = product + (weighted if rows is None else weighted.where(rows, 0.0)).sum()
            product = product + (y * adjoint).sum()
        adjoint, *parts = gradient_or_zeros(product, (start, *parameters), torch.ones_like(product))
        totals = tuple(total + part for total, part in zip(totals, parts, strict=True))
    return ReplayedGradient(outputs, adjoint + cotangents[0], totals)


@torch.no_grad()
def _forward(chain: Chain, y0: Tensor, segment: int) -> tuple[Tensor, list[Tensor]]:
    outputs = y0.new_zeros(chain.outputs, *y0.shape)
    outputs[0] = y0
    starts, y = [], y0
    for n in range(chain.steps):
        if n % max(segment, 1) == 0:
            starts.append(y)
        y, emitted = chain.advance(n, y)
        for index, value, rows in emitted:
            outputs[index] = value if rows is None else torch.where(rows, value, outputs[index])
    return outputs, starts
