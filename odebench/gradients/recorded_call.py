"""What the gradient methods with a backward of their own share: which tensors go in, and where gradients come out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field as attribute

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
from odebench.numerics.outputs import checked_times
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
        parameters: number of parameters among the tensors that follow the state's in the autograd function's arguments.
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
    parameters: int
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
    """
    times = checked_times(ts)
    leaves = y0 if isinstance(y0, tuple) else (y0,)
    parameters = parameters_of(field)
    owned = {id(parameter) for parameter in parameters}
    inputs = tuple(tensor for tensor in inputs if tensor.requires_grad and id(tensor) not in owned)
    if not torch.is_grad_enabled():
        return solver.solve(field, y0, times, request, inputs)
    if not any(tensor.requires_grad for tensor in (*leaves, *parameters, *inputs)):
        refuse_unreachable(field, times[0], y0, method.name)
        return solver.solve(field, y0, times, request, inputs)
    refuse_hidden_dependence(inputs, parameters, method.name)
    call = Call(
        method=method,
        solver=solver,
        field=field,
        ts=times,
        request=request,
        is_tuple=isinstance(y0, tuple),
        leaves=len(leaves),
        parameters=len(parameters),
        recomputation=Recomputation(modules_of(field), leaves[0].device),
    )
    outputs = function.apply(call, *leaves, *parameters, *inputs)
    return Solution(ys=call.state(outputs), grid=call.grid, stats=call.stats)


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
