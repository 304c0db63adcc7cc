"""A state as one tensor: solvers step one tensor, whatever the state of the field is."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from odebench.contract import Field, State
from odebench.errors import FieldError


class Packing:
    """How a state becomes one tensor and back.

    A tensor is its own packing: nothing is copied. A tuple is packed flat, one leaf after the other, or, `by_row`, each
    row's elements side by side, so that row i of the packed tensor is row i of the batch.

    Args:
        y0: a state; its shapes and dtypes are those of every state of the solve.
        by_row: keep the rows of the batch apart.

    Raises:
        FieldError: the tensors of a tuple differ in dtype, in device or (by row) in their batch size.
    """

    def __init__(self, y0: State, by_row: bool = False) -> None:
        self.is_tuple = isinstance(y0, tuple)
        leaves = y0 if isinstance(y0, tuple) else (y0,)
        if not leaves or not all(isinstance(leaf, Tensor) for leaf in leaves):
            raise FieldError(f"The initial state is {_described(y0)}; it must be a tensor or a tuple of tensors.")
        first = leaves[0]
        for leaf in leaves:
            if not (leaf.is_floating_point() or leaf.is_complex()):
                raise FieldError(
                    f"The initial state has dtype {leaf.dtype}; it must be floating point. Convert it, for example with .float()."
                )
            if (leaf.dtype, leaf.device) != (first.dtype, first.device):
                raise FieldError(
                    f"The tensors of the initial state differ: {_described(first)} and {_described(leaf)}. "
                    "Bring them to one dtype and device."
                )
        self.shapes = [leaf.shape for leaf in leaves]
        self.by_row = by_row and self.is_tuple
        if by_row and any(leaf.dim() == 0 or leaf.shape[0] != first.shape[0] for leaf in leaves):
            raise FieldError(
                f"Steps for each row need one batch size; the state has shapes {[tuple(s) for s in self.shapes]}."
            )
        if self.by_row:
            self.sizes = [leaf[:1].numel() if leaf.shape[0] else leaf.numel() for leaf in leaves]
        else:
            self.sizes = [leaf.numel() for leaf in leaves]

    def pack(self, state: State) -> Tensor:
        """The state as one tensor."""
        if not self.is_tuple:
            return state
        if self.by_row:
            return torch.cat([leaf.reshape(leaf.shape[0], -1) for leaf in state], dim=1)
        return torch.cat([leaf.reshape(-1) for leaf in state])

    def unpack(self, packed: Tensor) -> State:
        """The state that was packed; leaves are views."""
        if not self.is_tuple:
            return packed
        leaves = packed.split(self.sizes, dim=-1)
        return tuple(leaf.reshape(shape) for leaf, shape in zip(leaves, self.shapes, strict=True))

    def unpack_outputs(self, packed: Tensor) -> State:
        """States at several times, `(times, …)`, from their packed form `(times, *packed)`."""
        if not self.is_tuple:
            return packed
        leaves = packed.split(self.sizes, dim=-1)
        return tuple(leaf.reshape(len(packed), *shape) for leaf, shape in zip(leaves, self.shapes, strict=True))

    def pack_outputs(self, states: State) -> Tensor:
        """States at several times as one tensor `(times, *packed)`."""
        if not self.is_tuple:
            return states
        if self.by_row:
            return torch.cat([leaf.reshape(*leaf.shape[:2], -1) for leaf in states], dim=2)
        return torch.cat([leaf.reshape(len(leaf), -1) for leaf in states], dim=1)

    def field(self, field: Field) -> Callable[[Tensor, Tensor], Tensor]:
        """`field` on packed states."""
        if not self.is_tuple:
            return field

        def packed_field(t: Tensor, y: Tensor) -> Tensor:
            derivative = field(t, self.unpack(y))
            if not isinstance(derivative, tuple | list) or len(derivative) != len(self.shapes):
                raise FieldError(
                    f"The state is a tuple of {len(self.shapes)} tensors, but the field returned {_described(derivative)}. "
                    "Return a tuple with the derivative of each."
                )
            for leaf, shape in zip(derivative, self.shapes, strict=True):
                if not isinstance(leaf, Tensor) or leaf.shape != shape:
                    raise FieldError(
                        f"The field returned {_described(leaf)} for a state of shape {tuple(shape)}. Return a tensor of its shape."
                    )
            return self.pack(tuple(derivative))

        return packed_field


def _described(value: object) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}, {value.dtype} on {value.device}"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a {type(value).__name__}"
