"""The field as torchode gets it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map_only

from odebench.contract import State
from odebench.numerics.lent_field import LentField


class TorchodeField(LentField):
    """A field on `[batch, features]`, where the batch is the state's rows, or a single one that is the whole state.

    torchode's `BacksolveAdjoint` differentiates with `torch.func`: it maps over rows, so that the field gets a batch of one row,
    and hands parameters over in the place of the field's own.

    Args:
        rows: the number of rows, each with a time of its own; None where the whole state is one.
    """

    def __init__(self, field: Any, y0: State, *, rows: int | None = None, **arguments: Any) -> None:
        super().__init__(field, y0, **arguments)
        self.rows = rows
        self._originals = dict(self._parameters)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        """The derivative, `[batch, features]` or, mapped over rows, `[features]`."""
        if self._parameters.keys() and any(
            self._parameters[key] is not value for key, value in self._originals.items()
        ):
            swapped = {id(value): self._parameters[key] for key, value in self._originals.items()}
            with _Swapped(swapped):
                return self._at(t, y)
        return self._at(t, y)

    def _at(self, t: Tensor, y: Tensor) -> Tensor:
        if t.dtype != self.time_dtype:
            t = t.to(self.time_dtype)
        if self.rows is None:
            return self.evaluate(t.reshape(()), y.reshape(self.shape)).reshape(y.shape)
        if t.dim():  # [batch]
            return self.evaluate(t.reshape(-1, *(1,) * (len(self.shape) - 1)), y.reshape(self.shape)).reshape(y.shape)
        return self.evaluate(t, y.reshape(1, *self.shape[1:])).reshape(y.shape)


class _Swapped(TorchFunctionMode):
    """Every torch function gets other tensors in the place of some, whoever calls it."""

    def __init__(self, swapped: dict[int, Tensor]) -> None:
        super().__init__()
        self._swapped = swapped

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        swap = lambda tensor: self._swapped.get(id(tensor), tensor)  # noqa: E731
        args, kwargs = tree_map_only(torch.Tensor, swap, (args, kwargs or {}))
        return func(*args, **kwargs)
