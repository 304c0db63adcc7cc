"""Which tensors a field's graph reaches, so that no gradient is lost in silence."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from odebench.contract import Field, State
from odebench.errors import IncompatibleError


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


def refuse_hidden_dependence(inputs: Sequence[Tensor], parameters: Sequence[Tensor], method: str) -> None:
    """Raise where an input was itself computed from a parameter of the field: its gradient would be counted twice.

    Raises:
        IncompatibleError: with what to do.
    """
    upstream = leaves_of([tensor for tensor in inputs if tensor.grad_fn is not None])
    if any(id(parameter) in upstream for parameter in parameters):
        raise IncompatibleError(
            f"An input was computed from a parameter that the field also owns. Gradient method {method!r} would count that "
            "parameter twice. Keep what computes the input out of the field's module, or compute it inside the field."
        )


def refuse_unreachable(field: Field, t: float, y: State, method: str) -> None:
    """Raise where nothing declared requires a gradient, and yet the field depends on something that does."""
    with torch.enable_grad():
        leaves = y if isinstance(y, tuple) else (y,)
        time = torch.full((), t, dtype=leaves[0].real.dtype if leaves[0].is_complex() else leaves[0].dtype)
        value = field(time.to(leaves[0].device), y)
    refuse_undeclared(field, value if isinstance(value, tuple) else (value,), (), (), method)


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
        yield from vars(field).items()
        if inspect.ismethod(getattr(type(field), "forward", None)) or hasattr(type(field), "forward"):
            yield from inspect.getclosurevars(type(field).forward).globals.items()
