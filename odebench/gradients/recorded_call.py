"""What the gradient methods with a backward of their own share: which tensors go in, and where gradients come out."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from dataclasses import field as attribute
from typing import Any

import torch
from torch import Tensor

from odebench.contract import (
    Field,
    GradientMethod,
    Grid,
    GridRequest,
    Solution,
    Solver,
    State,
    Stats,
    modules_of,
    parameters_of,
)
from odebench.errors import IncompatibleError
from odebench.numerics.outputs import checked_times
from odebench.numerics.packing import Packing
from odebench.numerics.reach import refuse_hidden_dependence, refuse_unreachable
from odebench.numerics.recomputation import Recomputation


@dataclass(kw_only=True)
class Call:
    """One solve that an autograd function stands for. It holds no tensor of the solve, so that nothing is kept alive.

    Attributes:
        method: the gradient method.
        solver, field, ts, request: what is solved.
        is_tuple: whether the state is a tuple.
        leaves: number of tensors in the state.
        others: number of parameters and inputs, which follow the state's tensors in the autograd function's arguments.
        stats: counts, filled in by the forward and the backward pass.
        grid: the steps taken.
        recomputation: circumstances of the forward pass.
        checked: whether the graph has been searched for tensors that are not declared.
    """

    method: GradientMethod
    solver: Solver
    field: Field
    ts: list[float]
    request: GridRequest
    is_tuple: bool
    leaves: int
    others: int
    recomputation: Recomputation
    stats: Stats = attribute(default_factory=Stats)
    grid: Grid | None = None
    checked: bool = False

    def state(self, leaves: Sequence[Tensor]) -> State:
        """Tensors as a state."""
        return tuple(leaves) if self.is_tuple else leaves[0]

    def fresh(self, leaves: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Detached copies of tensors (no data is copied) at which a graph can start."""
        return tuple(leaf.detach().requires_grad_() for leaf in leaves)


def record(
    function: type[torch.autograd.Function],
    method: GradientMethod,
    solver: Solver,
    field: Field,
    y0: State,
    ts: Sequence[float] | Tensor,
    request: GridRequest,
    inputs: tuple[Tensor, ...],
) -> Solution:
    """Solve inside `function`, whose arguments are a `Call`, the state's tensors, the field's parameters and the inputs.

    Without a graph to record it is a plain solve.

    Raises:
        IncompatibleError: a tensor would get no gradient, or a wrong one.
        FieldError: y0 is no state.
    """
    times = checked_times(ts)
    if isinstance(inputs, Tensor):
        raise IncompatibleError("`inputs` is a tensor; it must be a tuple of the tensors that the field uses.")
    Packing(y0)  # refuses what is no state, before anything else stumbles over it
    leaves = y0 if isinstance(y0, tuple) else (y0,)
    parameters = parameters_of(field)
    owned = {id(parameter) for parameter in parameters}
    inputs = tuple(tensor for tensor in inputs if tensor.requires_grad and id(tensor) not in owned)
    if not torch.is_grad_enabled():
        return solver.solve(field, y0, times, request, inputs)
    if not any(tensor.requires_grad for tensor in (*leaves, *parameters, *inputs)):
        circumstances = Recomputation(modules_of(field), leaves[0].device)
        before = circumstances.mark()
        refuse_unreachable(field, times[0], y0, method.name)
        circumstances.restore(before)
        return solver.solve(field, y0, times, request, inputs)
    refuse_hidden_dependence((*parameters, *inputs), field, method.name)
    call = Call(
        method=method,
        solver=solver,
        field=field,
        ts=times,
        request=request,
        is_tuple=isinstance(y0, tuple),
        leaves=len(leaves),
        others=len(parameters) + len(inputs),
        recomputation=Recomputation(modules_of(field), leaves[0].device),
    )
    outputs = function.apply(call, *leaves, *parameters, *inputs)
    return Solution(ys=call.state(outputs), grid=call.grid, stats=call.stats)


def differentiated_once(backward: Callable[..., tuple[Tensor | None, ...]]) -> Callable[..., tuple[Tensor | None, ...]]:
    """A backward that records no graph. Whoever differentiates the gradients again is told so in an IncompatibleError."""

    @functools.wraps(backward)
    def once(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
        with torch.no_grad():
            gradients = backward(ctx, *cotangents)
        if not torch.is_grad_enabled():
            return gradients
        finals = [gradient for gradient in gradients if gradient is not None]
        given = [tensor for tensor in (*ctx.saved_tensors, *cotangents) if tensor is not None and tensor.requires_grad]
        finals = iter(_Final.apply(ctx.call.method.name, len(finals), *finals, *given))
        return tuple(None if gradient is None else next(finals) for gradient in gradients)

    return once


class _Final(torch.autograd.Function):
    """Gradients that depend on the tensors after them, in a way that cannot be differentiated."""

    @staticmethod
    def forward(ctx: Any, name: str, count: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.name = name
        return tuple(tensor.detach() for tensor in tensors[:count])

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[None, ...]:
        raise IncompatibleError(
            f"Gradient method {ctx.name!r} gives no gradients of gradients. Use one that records every step."
        )


class Totals:
    """Running sums of gradients, where None stands for zero.

    A gradient that autograd returns may share its storage with another, so a sum is only written in place once it is ours.
    """

    def __init__(self, count: int) -> None:
        self.values: list[Tensor | None] = [None] * count
        self._ours = [False] * count

    def add(self, gradients: Sequence[Tensor | None]) -> None:
        """Add one gradient to each sum."""
        for index, gradient in enumerate(gradients):
            if gradient is None:
                continue
            total = self.values[index]
            if total is None:
                self.values[index] = gradient
            elif self._ours[index]:
                total.add_(gradient)
            else:
                self.values[index] = total + gradient
                self._ours[index] = True
