"""A vector field once more in JAX, for solvers of libraries that are written in it. Nothing here imports JAX."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

JaxFunction = Callable[[Any, Any, Mapping[str, Any]], Any]
"""Called as `function(t, y, p)`: a 0-dim time, a state as the field takes it (an array or a tuple), and arrays by name."""


@dataclass(frozen=True, kw_only=True)
class JaxField:
    """What a model declares: its field as a pure function of `jax.numpy`.

    Attributes:
        function: dy/dt of the field that `Model.problem` gives. `p` holds the field's parameters and buffers by the names of
            `named_parameters()` and `named_buffers()`, in their own shapes: so weights cross, and nothing has to be mapped. It must
            be the same function for equal models, import JAX when it is called only, and give what the torch field gives to rounding,
            which is checked before anything is measured.
    """

    function: JaxFunction


@dataclass(frozen=True, kw_only=True, eq=False)
class LentJaxField:
    """The same as a solver gets it, without a way to the module.

    Attributes:
        function: as in `JaxField`.
        names: of the tensors that the field's `parameters()` gives, in that order.
        buffers: the module's buffers by name.
    """

    function: JaxFunction
    names: tuple[str, ...]
    buffers: Mapping[str, Tensor]


def lend_jax_field(module: nn.Module, declared: JaxField) -> LentJaxField:
    """What a solver gets of the field of this module."""
    return LentJaxField(
        function=declared.function,
        names=tuple(name for name, _ in module.named_parameters()),
        buffers=dict(module.named_buffers()),
    )


def jax_field_of(field: object) -> LentJaxField | None:
    """What a field offers as `jax_field()`, be it lent already or declared by a module; None where it offers nothing."""
    offer = getattr(field, "jax_field", None)
    found = offer() if callable(offer) else None
    if isinstance(found, JaxField) and isinstance(field, nn.Module):
        return lend_jax_field(field, found)
    return found if isinstance(found, LentJaxField) else None
