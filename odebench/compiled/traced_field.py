"""A field inside a compiled program, as solvers call it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from odebench.compiled.field_graph import FieldGraph


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What of a state is built into a program: everything but the size of its batch.

    Attributes:
        rows: the shape of a row of each tensor; of the whole tensor where the state is packed flat.
        is_tuple: whether the state is a tuple.
        by_row: whether a tuple is packed row by row.
        time_dtype: in which the field gets its time.
    """

    rows: tuple[tuple[int, ...], ...]
    is_tuple: bool
    by_row: bool
    time_dtype: torch.dtype

    def unpack(self, packed: Tensor) -> tuple[Tensor, ...]:
        """The tensors of the state that was packed."""
        if not self.is_tuple:
            return (packed,)
        parts = packed.split([math.prod(row) for row in self.rows], dim=-1)
        if self.by_row:
            return tuple(part.reshape(packed.shape[0], *row) for part, row in zip(parts, self.rows, strict=True))
        return tuple(part.reshape(row) for part, row in zip(parts, self.rows, strict=True))

    def pack(self, leaves: Sequence[Tensor]) -> Tensor:
        """The tensors of a state as one."""
        if not self.is_tuple:
            return leaves[0]
        if self.by_row:
            return torch.cat([leaf.reshape(leaf.shape[0], -1) for leaf in leaves], dim=1)
        return torch.cat([leaf.reshape(-1) for leaf in leaves])


class TracedField:
    """`field(t, y)` on packed states, with what `TimedField` offers to a step; one is made wherever steps are traced.

    Attributes:
        function: the field, which takes times that are tensors of its time's dtype.
        times: `times[t]` is t in that dtype.
        evaluations: how often the field stands in what was traced with this object.
    """

    def __init__(self, graph: FieldGraph, shape: Shape, tensors: Sequence[Tensor], form: str = "quick") -> None:
        self._graph, self._shape, self._tensors, self._form = graph, shape, tensors, form
        self.function, self.times = self._evaluate, self
        self.evaluations = 0

    def __getitem__(self, t: Tensor) -> Tensor:
        return t.to(self._shape.time_dtype)

    def __call__(self, t: Tensor, y: Tensor) -> Tensor:
        self.evaluations += 1
        return self._evaluate(self[t], y)

    def _evaluate(self, t: Tensor, y: Tensor) -> Tensor:
        shape = self._shape
        return shape.pack(self._graph(t, shape.unpack(y), self._tensors, self._form))
