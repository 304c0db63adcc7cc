"""A graph of tensor operations, interpreted on numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from odebench.compiled.fused.expressions import Builder, Expression, NotByRowError

MOST_WEIGHTS = 128 * 128
"""A tensor of more numbers than this is left to the loops: it does not stay near the processor."""

WRITTEN_OUT = 16
"""Products with a matrix of up to so many numbers are written out."""


@dataclass(frozen=True)
class Value:
    """A tensor as numbers: those of one trajectory, with an extent of 1 where the batch is.

    Attributes:
        numbers: expressions.
        batch: which dimension is the batch; None where no number depends on the trajectory.
    """

    numbers: np.ndarray
    batch: int | None


class Reading:
    """Interprets a graph of aten operations on expressions.

    Args:
        builder: makes these.
        operations: what each operation does: a function of the reading and the operation's arguments.
        batch, row: the sizes that the graph was traced with.
        dtype: the only one that the field may compute with, besides conditions.
    """

    def __init__(
        self,
        builder: Builder,
        operations: Mapping[Any, Callable[..., Any]],
        batch: int,
        row: tuple[int, ...],
        dtype: torch.dtype,
    ) -> None:
        self._builder, self._operations = builder, operations
        self._batch, self._row, self._dtype = batch, row, dtype

    def of(self, module: torch.fx.GraphModule) -> tuple[Expression, ...]:
        """The derivative of each number of a trajectory."""
        values: dict[torch.fx.Node, Any] = {}
        time, state, *tensors = module.graph.find_nodes(op="placeholder")
        dimensions = time.meta["val"].dim()
        now = self._array((1,) * dimensions, lambda _: self._builder.leaf("time"))
        values[time] = Value(now, 0 if dimensions else None)
        values[state] = Value(self._array((1, *self._row), lambda n: self._builder.leaf("state", n)), 0)
        for index, node in enumerate(tensors):
            shape = tuple(node.meta["val"].shape)
            if math.prod(shape) > MOST_WEIGHTS:
                raise NotByRowError(f"the field uses a tensor of {math.prod(shape)} numbers")
            values[node] = Value(
                self._array(shape, lambda n, index=index: self._builder.leaf("tensor", index, n)), None
            )
        result = None
        for node in module.graph.nodes:
            if node.op == "call_function":
                values[node] = self._operation(node, values)
            elif node.op == "get_attr":
                values[node] = self._constant(getattr(module, node.target))
            elif node.op == "output":
                result = torch.fx.map_arg(node.args[0], lambda n: values[n])
        if not isinstance(result, Value):
            raise NotByRowError("the field does not return a tensor")
        return tuple(np.broadcast_to(result.numbers, (1, *self._row)).reshape(-1))

    def _array(self, shape: tuple[int, ...], make: Callable[[int], Expression]) -> np.ndarray:
        numbers = np.empty(math.prod(shape), dtype=object)
        for n in range(numbers.size):
            numbers[n] = make(n)
        return numbers.reshape(shape)

    def _constant(self, tensor: Tensor) -> Value:
        if tensor.numel() > MOST_WEIGHTS:
            raise NotByRowError(f"the field holds a tensor of {tensor.numel()} numbers")
        flat = tensor.detach().double().reshape(-1).tolist()
        return Value(self._array(tuple(tensor.shape), lambda n: self._builder.constant(flat[n])), None)

    def _operation(self, node: torch.fx.Node, values: dict[torch.fx.Node, Any]) -> Any:
        arguments = torch.fx.map_arg(node.args, lambda n: values[n])
        named = torch.fx.map_arg(node.kwargs, lambda n: values[n])
        meta = node.meta.get("val")
        if isinstance(meta, Tensor) and meta.dtype not in (torch.bool, self._dtype):
            raise NotByRowError(f"the field computes with {meta.dtype}")
        found = self._operations.get(node.target)
        if found is None:
            raise NotByRowError(f"the operation {node.target} is not known")
        return found(self, *arguments, **named)

    # Operations on each number.

    def make(self, operation: str, *arguments: Any) -> Value:
        """An operation on numbers, with tensors of the same or of no batch."""
        given = [a if isinstance(a, Value) else self.number(a) for a in arguments]
        given = [self._fitting(operation, n, value) for n, value in enumerate(given)]
        dimensions = max(value.numbers.ndim for value in given)
        # Counted from the last dimension, as broadcasting does.
        batches = {value.batch - value.numbers.ndim for value in given if value.batch is not None}
        if len(batches) > 1:
            raise NotByRowError("trajectories meet")
        where = next(iter(batches), None)
        for value in given:
            own = where is not None and value.batch is None and -where <= value.numbers.ndim
            if own and value.numbers.shape[where] != 1:
                raise NotByRowError("the field has a row of its own for each trajectory")
        numbers = np.frompyfunc(lambda *parts: self._builder.make(operation, *parts), len(given), 1)(
            *(value.numbers for value in given)
        )
        if not isinstance(numbers, np.ndarray):
            numbers = _single(numbers)
        return Value(numbers, None if where is None else dimensions + where)

    def _fitting(self, operation: str, position: int, value: Value) -> Value:
        """Conditions as numbers, and numbers as conditions, where an operation takes the other."""
        wanted = operation in ("and", "or", "not") or (operation == "where" and position == 0)
        zero, one = self._builder.constant(0.0), self._builder.constant(1.0)

        def fitting(e: Expression) -> Expression:
            if e.is_condition == wanted:
                return e
            return self._builder.make("ne", e, zero) if wanted else self._builder.make("where", e, one, zero)

        numbers = np.frompyfunc(fitting, 1, 1)(value.numbers)
        return Value(_kept(numbers), value.batch)

    def number(self, value: float) -> Value:
        """A number as a tensor without dimensions."""
        return Value(_single(self._builder.constant(value)), None)

    # Operations on shapes.

    def extent(self, value: Value) -> tuple[int, ...]:
        """The shape of the tensor."""
        return tuple(self._batch if n == value.batch else size for n, size in enumerate(value.numbers.shape))

    def inside(self, value: Value, dimension: int) -> int:
        """A dimension that is not that of the batch, counted from the first."""
        dimension %= max(1, value.numbers.ndim)
        if dimension == value.batch:
            raise NotByRowError("trajectories are taken apart or together")
        return dimension

    def reshaped(self, value: Value, shape: Sequence[int]) -> Value:
        """`view`."""
        shape = list(shape)
        if -1 in shape:
            rest = -math.prod(shape)
            shape[shape.index(-1)] = math.prod(self.extent(value)) // rest
        if value.batch is None:
            return Value(value.numbers.reshape(shape), None)
        if self._batch not in shape:
            raise NotByRowError("trajectories are mixed with elements")
        where = shape.index(self._batch)
        if math.prod(shape[:where]) != math.prod(value.numbers.shape[: value.batch]):
            raise NotByRowError("trajectories are mixed with elements")
        return Value(value.numbers.reshape([*shape[:where], 1, *shape[where + 1 :]]), where)

    def expanded(self, value: Value, shape: Sequence[int]) -> Value:
        """`expand`."""
        missing = len(shape) - value.numbers.ndim
        where = None if value.batch is None else value.batch + missing
        sizes = [
            value.numbers.shape[n - missing] if size == -1 and n >= missing else size for n, size in enumerate(shape)
        ]
        sizes = [1 if n == where else size for n, size in enumerate(sizes)]
        if self._batch in sizes:
            # The same for each trajectory.
            at = sizes.index(self._batch)
            if where is not None or (at >= missing and value.numbers.shape[at - missing] != 1):
                raise NotByRowError("trajectories meet")
            sizes[at], where = 1, at
        return Value(np.broadcast_to(value.numbers, sizes), where)

    def filled(self, shape: Sequence[int], value: float) -> Value:
        """`full`."""
        where = list(shape).index(self._batch) if self._batch in shape else None
        sizes = tuple(1 if n == where else size for n, size in enumerate(shape))
        return Value(self._array(sizes, lambda _: self._builder.constant(value)), where)

    def permuted(self, value: Value, order: Sequence[int]) -> Value:
        """`permute`."""
        order = [n % value.numbers.ndim for n in order]
        return Value(value.numbers.transpose(order), None if value.batch is None else order.index(value.batch))

    def selected(self, value: Value, dimension: int, index: int) -> Value:
        """`select`."""
        dimension = self.inside(value, dimension)
        batch = value.batch
        return Value(
            _kept(np.take(value.numbers, index, axis=dimension)),
            batch if batch is None or batch < dimension else batch - 1,
        )

    def sliced(self, value: Value, dimension: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Value:
        """`slice`; one that takes all is allowed of the batch too."""
        dimension %= value.numbers.ndim
        if dimension == value.batch:
            if start in (None, 0) and step == 1 and (end is None or end >= self._batch):
                return value
            raise NotByRowError("trajectories are taken apart")
        index = [slice(None)] * value.numbers.ndim
        index[dimension] = slice(start, end, step)
        return Value(value.numbers[tuple(index)], value.batch)

    def joined(self, values: Sequence[Value], dimension: int = 0) -> Value:
        """`cat`."""
        values = [value for value in values if value.numbers.shape != (0,)]
        batch = self._common(values)
        dimension %= values[0].numbers.ndim
        if dimension == batch:
            raise NotByRowError("trajectories are taken together")
        return Value(np.concatenate([value.numbers for value in values], axis=dimension), batch)

    def stacked(self, values: Sequence[Value], dimension: int = 0) -> Value:
        """`stack`."""
        dimension %= values[0].numbers.ndim + 1
        return self.joined([self.widened(value, dimension) for value in values], dimension)

    def widened(self, value: Value, dimension: int) -> Value:
        """`unsqueeze`."""
        dimension %= value.numbers.ndim + 1
        batch = value.batch
        return Value(
            np.expand_dims(value.numbers, dimension), batch if batch is None or batch < dimension else batch + 1
        )

    def narrowed(self, value: Value, dimensions: int | Sequence[int]) -> Value:
        """`squeeze`."""
        asked = [dimensions] if isinstance(dimensions, int) else dimensions
        gone = sorted(n % value.numbers.ndim for n in asked)
        gone = [n for n in gone if n != value.batch and value.numbers.shape[n] == 1]
        batch = None if value.batch is None else value.batch - sum(n < value.batch for n in gone)
        return Value(_kept(np.squeeze(value.numbers, axis=tuple(gone))), batch)

    def parted(self, value: Value, sizes: int | Sequence[int], dimension: int = 0) -> list[Value]:
        """`split`."""
        dimension = self.inside(value, dimension)
        total = value.numbers.shape[dimension]
        if isinstance(sizes, int):
            sizes = [min(sizes, total - start) for start in range(0, total, sizes)]
        edges = np.cumsum(sizes)[:-1]
        return [Value(part, value.batch) for part in np.split(value.numbers, edges, axis=dimension)]

    def turned(self, value: Value, dimensions: Sequence[int]) -> Value:
        """`flip`."""
        return Value(np.flip(value.numbers, axis=tuple(self.inside(value, n) for n in dimensions)), value.batch)

    def rolled(self, value: Value, shifts: Sequence[int], dimensions: Sequence[int] = ()) -> Value:
        """`roll`."""
        axes = tuple(self.inside(value, n) for n in dimensions)
        if not axes:
            raise NotByRowError("trajectories are mixed with elements")
        return Value(np.roll(value.numbers, tuple(shifts), axis=axes), value.batch)

    # Sums.

    def reduced(
        self, operation: str, value: Value, dimensions: Sequence[int] | None = None, keep: bool = False, **_: Any
    ) -> Value:
        """`sum`, `amax`, `amin` over elements of a trajectory."""
        every = range(value.numbers.ndim)
        wanted = sorted({self.inside(value, n) for n in (dimensions or every)}, reverse=True)
        numbers, batch = value.numbers, value.batch
        for n in wanted:
            parts = [np.take(numbers, i, axis=n) for i in range(numbers.shape[n])]
            total = parts[0]
            for part in parts[1:]:
                total = np.frompyfunc(lambda a, b: self._builder.make(operation, a, b), 2, 1)(total, part)
            numbers = _kept(total)
            if keep:
                numbers = np.expand_dims(numbers, n)
            elif batch is not None and n < batch:
                batch -= 1
        return Value(numbers, batch)

    def averaged(self, value: Value, dimensions: Sequence[int] | None = None, keep: bool = False, **_: Any) -> Value:
        """`mean`."""
        total = self.reduced("add", value, dimensions, keep)
        return self.make("div", total, value.numbers.size / max(1, total.numbers.size))

    def multiplied(self, left: Value, right: Value) -> Value:
        """`mm`, of one matrix that holds trajectories and one that does not."""
        if left.batch == 1 or right.batch == 0 or None not in (left.batch, right.batch):
            raise NotByRowError("trajectories are taken together")
        (n, inner), m = left.numbers.shape, right.numbers.shape[1]
        numbers = np.empty((n, m), dtype=object)
        if inner * m > WRITTEN_OUT and left.batch == 0:
            place = _matrix_in(right.numbers)
            for j in range(m):
                numbers[0, j] = self._builder.dense(tuple(left.numbers[0]), *place, j, m)
            return Value(numbers, 0)
        for i in range(n):
            for j in range(m):
                total = self._builder.make("mul", left.numbers[i, 0], right.numbers[0, j])
                for k in range(1, inner):
                    product = self._builder.make("mul", left.numbers[i, k], right.numbers[k, j])
                    total = self._builder.make("add", total, product)
                numbers[i, j] = total
        return Value(numbers, left.batch if left.batch is not None else right.batch)

    def linear(self, bias: Value, left: Value, right: Value, *, beta: float = 1, alpha: float = 1) -> Value:
        """`addmm`."""
        product = self.multiplied(left, right)
        product = product if alpha == 1 else self.make("mul", product, alpha)
        return self.make("add", product, bias if beta == 1 else self.make("mul", bias, beta))

    def _common(self, values: Sequence[Value]) -> int | None:
        batches = {value.batch for value in values}
        if len(batches) > 1:
            raise NotByRowError("trajectories are taken together with what is none")
        return batches.pop()


def _matrix_in(numbers: np.ndarray) -> tuple[int, int, int, int]:
    """Which of the field's tensors a matrix is, where it begins in it, and how far its rows and its columns lie apart."""
    (n, m), first = numbers.shape, numbers[0, 0]
    if first.operation == "tensor":
        tensor, start = first.place
        down = numbers[1, 0].place[-1] - start if n > 1 and numbers[1, 0].operation == "tensor" else 0
        along = numbers[0, 1].place[-1] - start if m > 1 and numbers[0, 1].operation == "tensor" else 0
        if all(e.place == (tensor, start + i * down + j * along) for (i, j), e in np.ndenumerate(numbers)):
            return tensor, start, down, along
    raise NotByRowError("the field computes with a matrix that is made of its tensors")


def _single(expression: Expression) -> np.ndarray:
    numbers = np.empty((), dtype=object)
    numbers[()] = expression
    return numbers


def _kept(numbers: Any) -> np.ndarray:
    """What numpy took out of its array where one number was left."""
    return numbers if isinstance(numbers, np.ndarray) else _single(numbers)
