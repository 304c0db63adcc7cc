"""The right-hand side of the adjoint equation: a' = -aᵀ ∂f/∂y, and g' = -aᵀ ∂f/∂θ for the gradients of parameters.

Source: R. T. Q. Chen et al., "Neural ordinary differential equations", NeurIPS 2018, arXiv:1806.07366, equations 4 and 5.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import Tensor

from odebench.errors import IncompatibleError
from odebench.gradients.recorded_call import Call
from odebench.numerics.reach import refuse_undeclared
from odebench.numerics.recomputation import Mark


def common_dtype(tensors: Sequence[Tensor]) -> torch.dtype:
    """The dtype of a and g together: real parameters of a complex field, float32 ones of a bfloat16 state."""
    return functools.reduce(torch.promote_types, (tensor.dtype for tensor in tensors))


def as_dtype(value: Tensor, dtype: torch.dtype) -> Tensor:
    """`value` in this dtype; a real one gets the real part."""
    return (value.real if value.is_complex() and not dtype.is_complex else value).to(dtype)


def slopes(
    call: Call, t: Tensor, y: Sequence[Tensor], a: Sequence[Tensor], others: Sequence[Tensor]
) -> tuple[list[Tensor], list[Tensor]]:
    """The field at (t, y), and the slopes of a and of the gradients of `others`, in the dtypes of y and `others`.

    Where a is on a graph, so are its slopes: an implicit solver can differentiate them.
    """
    differentiable = torch.is_grad_enabled() and any(leaf.requires_grad for leaf in a)
    y = call.fresh(y)
    with call.recomputation.replay(None):
        f = call.field(t, call.state(y))
        f = tuple(f) if call.is_tuple else (f,)
        if not call.checked:
            refuse_undeclared(call.field, f, y, others, call.method.name)
            call.checked = True
        on_graph = [(leaf, weight) for leaf, weight in zip(f, a, strict=True) if leaf.requires_grad]
        sources = (*y, *others)
        vjps: Sequence[Tensor | None] = (None,) * len(sources)
        if on_graph:
            weights = [-as_dtype(weight, leaf.dtype) for leaf, weight in on_graph]
            leaves = [leaf for leaf, _ in on_graph]
            vjps = torch.autograd.grad(leaves, sources, weights, allow_unused=True, create_graph=differentiable)
    found = [torch.zeros_like(x) if g is None else g for g, x in zip(vjps, sources, strict=True)]
    return [leaf.detach() for leaf in f], found


def refuse_noise(call: Call, before: Mark, after: Mark) -> None:
    """Raise where the field drew random numbers in between: on the way back it would meet other ones.

    Raises:
        IncompatibleError: with what to do.
    """
    if not all(map(torch.equal, before.random, after.random)):
        raise IncompatibleError(
            f"The field draws random numbers, and gradient method {call.method.name!r} would meet other ones on the way back. "
            "Put dropout outside the field, set the field to eval(), or use a method that repeats the forward steps."
        )
