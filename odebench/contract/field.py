"""What a vector field is, and which tensors it owns."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Protocol

from torch import Tensor, nn

State = Tensor | tuple[Tensor, ...]
"""One tensor `(batch, *state)`, or a tuple of such tensors; any float dtype, any device."""


class Field(Protocol):
    """The right-hand side of dy/dt = f(t, y).

    Called as `field(t, y)`: t is a 0-dim tensor on y's device in y's real dtype (float32 for half types), y a state; it
    returns a state of y's shape. Any callable serves. What follows is optional:

    * `parameters()`: the tensors that gradients must reach (an `nn.Module` has it);
    * `accepts_batched_time = True`: t may have shape `(batch, 1, …, 1)`, one time for each row. Only such a field can be
      solved with per-sample steps;
    * `prepared_for_solve()`: a callable that gives what the field gives, bit for bit, where what depends on parameters alone
      is computed beforehand, in autograd's graph where gradients are enabled. It serves for one solve, in which parameters
      do not change;
    * `jax_field()`: the same field in JAX, a `JaxField`, for solvers that take it there. What `Model.jax_field` declares is
      found here on the field that such a solver gets.
    """

    def __call__(self, t: Tensor, y: State) -> State: ...


def prepared_for_solve(field: Field) -> Callable[[Tensor, State], State]:
    """What `field.prepared_for_solve()` gives, where a field has that; else the field itself."""
    offer = getattr(field, "prepared_for_solve", None)
    return offer() if callable(offer) else field


def parameters_of(field: object) -> tuple[Tensor, ...]:
    """The tensors that `field` owns and that require a gradient, each once, in the field's own order.

    Found through `field.parameters()`, through the object that a bound method belongs to, and through the function and
    the arguments of a `functools.partial`. A plain function or a closure owns none.
    """
    seen: dict[int, Tensor] = {}
    for tensor in _owned(field):
        if tensor.requires_grad:
            seen.setdefault(id(tensor), tensor)
    return tuple(seen.values())


def modules_of(field: object) -> tuple[nn.Module, ...]:
    """The modules through which `field` computes: those whose buffers and training mode can matter."""
    if isinstance(field, nn.Module):
        return tuple(field.modules())
    if isinstance(field, functools.partial):
        parts = (field.func, *field.args, *field.keywords.values())
        return tuple(module for part in parts for module in modules_of(part))
    if hasattr(field, "__self__"):
        return modules_of(field.__self__)
    if hasattr(field, "modules"):
        return tuple(field.modules())
    if inspect.isfunction(field):  # a closure, or a function of a notebook, that calls a module by its name
        seen = inspect.getclosurevars(field)
        parts = (*seen.nonlocals.values(), *seen.globals.values())
        return tuple(module for part in parts if isinstance(part, nn.Module) for module in part.modules())
    return ()


def _owned(field: object) -> Iterator[Tensor]:
    if isinstance(field, functools.partial):
        for part in (field.func, *field.args, *field.keywords.values()):
            yield from ([part] if isinstance(part, Tensor) else _owned(part))
    elif hasattr(field, "parameters"):
        yield from field.parameters()
    elif hasattr(field, "__self__"):
        yield from _owned(field.__self__)
