"""Which tensors a field's graph reaches, so that no gradient is lost in silence."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from odebench.contract import Field, State
from odebench.errors import IncompatibleError
from odebench.numerics.timed_field import time_dtype


def leaves_of(outputs: Iterable[Tensor], stops: Sequence[Tensor] = ()) -> dict[int, Tensor]:
    """Leaf tensors that require a gradient and that the graph of `outputs` reaches, by id.

    The walk does not go past the tensors in `stops`, which are reported where they are leaves.
    """
    ends = {(stop.grad_fn, stop.output_nr) for stop in stops if stop.grad_fn is not None}
    edges = [(out.grad_fn, out.output_nr) for out in outputs if out.grad_fn is not None]
    seen = set(edges)
    leaves: dict[int, Tensor] = {}
    while edges:
        node, number = edges.pop()
        if (node, number) in ends:
            continue
        if hasattr(node, "variable"):  # an AccumulateGrad node: the end of a path
            leaves[id(node.variable)] = node.variable
        for edge in node.next_functions:
            if edge[0] is not None and edge not in seen:
                seen.add(edge)
                edges.append(edge)
    return leaves


def refuse_undeclared(
    field: Field, outputs: Iterable[Tensor], own: Sequence[Tensor], declared: Sequence[Tensor], method: str
) -> None:
    """Raise where the graph of `outputs` reaches a tensor that would get no gradient.

    Args:
        field: the field, to find the names of its tensors.
        outputs: what was computed with the field.
        own: tensors that the method made itself, such as the detached initial state.
        declared: the field's parameters and the inputs, which get their gradients.
        method: name of the gradient method, for the message.

    Raises:
        IncompatibleError: naming each tensor that is missing.
    """
    known = {id(tensor) for tensor in (*own, *declared)}
    missing = [leaf for key, leaf in leaves_of(outputs, declared).items() if key not in known]
    if missing:
        names = ", ".join(_name_of(tensor, field) for tensor in missing)
        raise IncompatibleError(
            f"The field depends on tensors that it does not own: {names}. Gradient method {method!r} would lose their "
            "gradients. Pass the tensor that the field uses in inputs=(…,), make it a parameter of the field, or use a method "
            "that records every step."
        )


def refuse_hidden_dependence(declared: Sequence[Tensor], field: Field, method: str) -> None:
    """Raise where a parameter or an input was itself computed from another one: its gradient would be counted twice.

    Raises:
        IncompatibleError: naming it, with what to do.
    """
    leaves = {id(tensor): tensor for tensor in declared if tensor.grad_fn is None}
    results = {(tensor.grad_fn, tensor.output_nr): tensor for tensor in declared if tensor.grad_fn is not None}
    edges = [edge for node, _ in results for edge in node.next_functions]
    seen = set(edges)
    while edges:
        node, number = edges.pop()
        if node is None:
            continue
        found = leaves.get(id(node.variable)) if hasattr(node, "variable") else results.get((node, number))
        if found is not None:
            raise IncompatibleError(
                f"An input was computed from {_name_of(found, field)}, which is an input or a parameter of the field itself. "
                f"Gradient method {method!r} would count it twice. Compute the input inside the field, or keep what it is "
                "computed from out of the field and of inputs=(…,)."
            )
        for edge in node.next_functions:
            if edge not in seen:
                seen.add(edge)
                edges.append(edge)


def refuse_unreachable(field: Field, t: float, y: State, method: str) -> None:
    """Raise where nothing declared requires a gradient, and yet the field depends on something that does."""
    with torch.enable_grad():
        leaves = y if isinstance(y, tuple) else (y,)
        value = field(torch.full((), t, dtype=time_dtype(leaves[0].dtype), device=leaves[0].device), y)
    # What is no tensor, the solve itself will refuse.
    outputs = [leaf for leaf in (value if isinstance(value, tuple) else (value,)) if isinstance(leaf, Tensor)]
    refuse_undeclared(field, outputs, (), (), method)


def _name_of(tensor: Tensor, field: Field) -> str:
    found = next((name for name, value in _named(field) if value is tensor), None)
    shape = f"shape {tuple(tensor.shape)}"
    return f"{found!r} ({shape})" if found else f"a tensor of {shape}"


def _named(field: object) -> Iterable[tuple[str, object]]:
    if isinstance(field, functools.partial):
        yield from _named(field.func)
        yield from field.keywords.items()
    elif inspect.isfunction(field):
        variables = inspect.getclosurevars(field)
        yield from variables.nonlocals.items()
        yield from variables.globals.items()
    elif hasattr(field, "__dict__"):
        if hasattr(field, "named_parameters"):
            yield from field.named_parameters()
        yield from vars(field).items()
        if inspect.ismethod(getattr(type(field), "forward", None)) or hasattr(type(field), "forward"):
            yield from inspect.getclosurevars(type(field).forward).globals.items()
