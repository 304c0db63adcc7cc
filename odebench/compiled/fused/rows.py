"""A field's graph, read as numbers that are computed from numbers of the same trajectory."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from odebench.compiled.field_graph import FieldGraph
from odebench.compiled.fused.expressions import Builder, Expression, NotByRowError, ordered
from odebench.compiled.fused.operations import OPERATIONS
from odebench.compiled.fused.reading import Reading
from odebench.compiled.traced_field import Shape

MOST_NUMBERS = 64
"""A state of more numbers than this, in one trajectory, is left to the loops: it does not stay in registers."""

BATCHES = 1009, 2003
"""Sizes of the batch that a field is traced with. Primes: a shape in the graph has such a factor only where it holds the batch."""

_TAKEN_APART = tuple(getattr(torch.ops.aten, name) for name in ("_softmax", "gelu", "leaky_relu", "silu"))


class Matrix(NamedTuple):
    """A matrix in one of the field's tensors.

    Attributes:
        tensor, start: in which it lies, and where it begins there.
        down, along: how far its rows and its columns lie apart.
        rows, columns: its shape.
        begin: where its numbers begin among those of all matrices.
    """

    tensor: int
    start: int
    down: int
    along: int
    rows: int
    columns: int
    begin: int


@dataclass(frozen=True, kw_only=True)
class Rows:
    """A field on one trajectory.

    Attributes:
        builder: what made the expressions.
        derivative: of each element of the state, in order.
        tensors: elements of the field's tensors that it reads, as pairs (which tensor, which element).
    """

    builder: Builder
    derivative: tuple[Expression, ...]
    tensors: tuple[tuple[int, int], ...]

    @property
    def matrices(self) -> tuple[Matrix, ...]:
        """Those that vectors are multiplied by, each once; of tensors, parts of which are several, each part."""
        products = [e for e in ordered(self.derivative) if e.operation == "dense"]
        made, begin = [], 0
        for place in sorted({(*e.place[:4], len(e.arguments), e.place[5]) for e in products}):
            matrix = Matrix(*place, begin)
            made.append(matrix)
            begin += matrix.rows * matrix.columns
        return tuple(made)

    @property
    def has_matrices(self) -> bool:
        """Whether a vector is multiplied by a matrix that is not written out."""
        return any(expression.operation == "dense" for expression in ordered(self.derivative))


def rows_of(graph: FieldGraph, shape: Shape, t: Tensor, y: Tensor, tensors: Sequence[Any]) -> Rows:
    """Read the graph of a field.

    Args:
        shape: of its state.
        t, y: a time and a packed state, `(batch, *row)`.
        tensors: what the field uses besides.

    Raises:
        NotByRowError: a number depends on more than its own trajectory, or is not computed by operations that are known here.
    """
    if shape.is_tuple and not shape.by_row:
        raise NotByRowError("the state is packed flat")
    if y.dtype not in (torch.float32, torch.float64):
        raise NotByRowError(f"the state is {y.dtype}")
    row = tuple(y.shape[1:])
    if math.prod(row) > MOST_NUMBERS or y.dim() < 1:
        raise NotByRowError(f"a trajectory has {math.prod(row)} numbers, more than {MOST_NUMBERS}")
    if any(not isinstance(tensor, Tensor) or tensor.dtype != y.dtype for tensor in tensors):
        raise NotByRowError("the field uses a tensor of another dtype than the state's")
    # In two sizes: a number in the graph that differs between them was made of the batch.
    readings = []
    for batch in BATCHES:
        builder = Builder()
        module = _traced(graph, shape, t, y, tensors, batch)
        readings.append((builder, Reading(builder, OPERATIONS, batch, row, y.dtype).of(module)))
    (builder, derivative), (_, other) = readings
    if told(derivative) != told(other):
        raise NotByRowError("the field computes with the size of the batch")
    used = dict.fromkeys(e.place for e in ordered(derivative) if e.operation == "tensor")
    return Rows(builder=builder, derivative=derivative, tensors=tuple(sorted(used)))


def _traced(
    graph: FieldGraph, shape: Shape, t: Tensor, y: Tensor, tensors: Sequence[Any], batch: int
) -> torch.fx.GraphModule:
    from torch._decomp import core_aten_decompositions, get_decompositions
    from torch.fx.experimental.proxy_tensor import make_fx

    def field(t: Tensor, y: Tensor, *tensors: Any) -> Tensor:
        return shape.pack(graph(t, shape.unpack(y), tensors))

    # As `core_aten_decompositions` leaves some that are functions of others, and takes some apart into integers.
    table = {**core_aten_decompositions(), **get_decompositions(_TAKEN_APART)}
    table = {key: rule for key, rule in table.items() if key not in OPERATIONS}
    time = t if t.dim() == 0 else t.new_zeros((batch, *t.shape[1:]))
    state = y.new_zeros((batch, *y.shape[1:]))
    try:
        with torch.no_grad(), _silent():
            made = make_fx(field, decomposition_table=table, tracing_mode="fake")
            return made(time, state, *(tensor.detach() for tensor in tensors))
    except Exception as cause:  # a graph that was made for one size of the batch fails in its own way
        raise NotByRowError(f"it cannot be traced with another batch ({type(cause).__name__})") from cause


@contextmanager
def _silent() -> Iterator[None]:
    """torch logs the traceback of an operation that does not fit; here it is an answer."""
    logger = logging.getLogger("torch._subclasses.fake_tensor")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def told(results: Sequence[Expression]) -> tuple[str, ...]:
    """Expressions in words, one for each."""
    names: dict[int, str] = {}
    lines = []
    for n, e in enumerate(ordered(results)):
        names[id(e)] = f"x{n}"
        lines.append(f"x{n} = {e.operation} {[names[id(a)] for a in e.arguments]} {e.value.hex()} {e.place}")
    return *lines, *(names[id(result)] for result in results)
