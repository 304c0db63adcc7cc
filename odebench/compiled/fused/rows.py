"""A field's graph, read as numbers that are computed from numbers of the same trajectory."""

from __future__ import annotations

import logging
import math
import operator
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from odebench.compiled.field_graph import FieldGraph
from odebench.compiled.fused.expressions import Builder, Expression, TooLongError, ordered
from odebench.compiled.traced_field import Shape

MOST_NUMBERS = 64
"""A state of more numbers than this, in one trajectory, is left to the loops: it does not stay in registers."""

BATCHES = 1009, 2003
"""Sizes of the batch that a field is traced with. Primes: a shape in the graph has such a factor only where it holds the batch."""

aten = torch.ops.aten


_TAKEN_APART = (aten._softmax, aten.gelu, aten.leaky_relu, aten.silu)


class NotByRowError(Exception):
    """The field is not element-wise over trajectories, or has an operation that is not known here; the message says which."""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """A field on one trajectory.

    Attributes:
        builder: what made the expressions.
        shape: of the state of one trajectory.
        derivative: of each element of the state, in order.
        tensors: elements of the field's tensors that it reads, as pairs (which tensor, which element).
        operations: how many operations on numbers one evaluation is.
    """

    builder: Builder
    shape: tuple[int, ...]
    derivative: tuple[Expression, ...]
    tensors: tuple[tuple[int, int], ...]

    @property
    def operations(self) -> int:
        return sum(bool(expression.arguments) for expression in ordered(self.derivative))


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
    read = [_Reading(batch, row, y.dtype).of(_traced(graph, shape, t, y, tensors, batch)) for batch in BATCHES]
    if read[0].told != read[1].told:
        raise NotByRowError("the field computes with the size of the batch")
    return read[0].rows


def _traced(
    graph: FieldGraph, shape: Shape, t: Tensor, y: Tensor, tensors: Sequence[Any], batch: int
) -> torch.fx.GraphModule:
    from torch._decomp import core_aten_decompositions, get_decompositions
    from torch.fx.experimental.proxy_tensor import make_fx

    def field(t: Tensor, y: Tensor, *tensors: Any) -> Tensor:
        return shape.pack(graph(t, shape.unpack(y), tensors))

    # As `core_aten_decompositions` leaves some that are functions of others, and takes some apart into integers.
    table = {**core_aten_decompositions(), **get_decompositions(_TAKEN_APART)}
    table = {key: rule for key, rule in table.items() if key not in _OPERATIONS}
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


@dataclass(frozen=True)
class _Value:
    """A tensor as numbers: those of one trajectory, with an extent of 1 where the batch is.

    Attributes:
        numbers: expressions.
        batch: which dimension is the batch; None where no number depends on the trajectory.
    """

    numbers: np.ndarray
    batch: int | None


@dataclass(frozen=True)
class _Read:
    rows: Rows
    told: tuple[str, ...]


class _Reading:
    """Interprets a graph of aten operations on expressions."""

    def __init__(self, batch: int, row: tuple[int, ...], dtype: torch.dtype) -> None:
        self._batch, self._row, self._dtype, self._builder = batch, row, dtype, Builder()

    def of(self, module: torch.fx.GraphModule) -> _Read:
        """The rows, and the graph in words, by which two readings are compared."""
        values: dict[torch.fx.Node, Any] = {}
        places = iter(module.graph.find_nodes(op="placeholder"))
        time, state, *tensors = places
        of_rows = time.meta["val"].dim() > 0
        values[time] = _Value(
            self._array((1,) * time.meta["val"].dim(), lambda _: self._builder.leaf("time")), 0 if of_rows else None
        )
        values[state] = _Value(self._array((1, *self._row), lambda n: self._builder.leaf("state", n)), 0)
        for index, node in enumerate(tensors):
            shape = tuple(node.meta["val"].shape)
            if math.prod(shape) > 4 * MOST_NUMBERS:
                raise NotByRowError(f"the field uses a tensor of {math.prod(shape)} numbers")
            values[node] = _Value(
                self._array(shape, lambda n, index=index: self._builder.leaf("tensor", index, n)), None
            )
        result = None
        try:
            for node in module.graph.nodes:
                if node.op == "call_function":
                    values[node] = self._operation(node, values)
                elif node.op == "get_attr":
                    values[node] = self._constant(getattr(module, node.target))
                elif node.op == "output":
                    result = torch.fx.map_arg(node.args[0], lambda n: values[n])
        except TooLongError as cause:
            raise NotByRowError("the field is too long") from cause
        if not isinstance(result, _Value):
            raise NotByRowError("the field does not return a tensor")
        numbers = np.broadcast_to(result.numbers, (1, *self._row)).reshape(-1)
        derivative = tuple(numbers)
        used = [e.place for e in ordered(derivative) if e.operation == "tensor"]
        rows = Rows(
            builder=self._builder, shape=self._row, derivative=derivative, tensors=tuple(sorted(dict.fromkeys(used)))
        )
        return _Read(rows, told(derivative))

    def _array(self, shape: tuple[int, ...], make: Callable[[int], Expression]) -> np.ndarray:
        numbers = np.empty(math.prod(shape), dtype=object)
        for n in range(numbers.size):
            numbers[n] = make(n)
        return numbers.reshape(shape)

    def _constant(self, tensor: Tensor) -> _Value:
        if tensor.numel() > 4 * MOST_NUMBERS:
            raise NotByRowError(f"the field holds a tensor of {tensor.numel()} numbers")
        flat = tensor.detach().double().reshape(-1).tolist()
        return _Value(self._array(tuple(tensor.shape), lambda n: self._builder.constant(flat[n])), None)

    def _operation(self, node: torch.fx.Node, values: dict[torch.fx.Node, Any]) -> Any:
        arguments = torch.fx.map_arg(node.args, lambda n: values[n])
        named = torch.fx.map_arg(node.kwargs, lambda n: values[n])
        meta = node.meta.get("val")
        if isinstance(meta, Tensor) and meta.dtype not in (torch.bool, self._dtype):
            raise NotByRowError(f"the field computes with {meta.dtype}")
        found = _OPERATIONS.get(node.target)
        if found is None:
            raise NotByRowError(f"the operation {node.target} is not known")
        return found(self, *arguments, **named)

    # Operations on each number.

    def make(self, operation: str, *arguments: Any) -> _Value:
        """An operation on numbers, with tensors of the same or of no batch."""
        given = [a if isinstance(a, _Value) else self.number(a) for a in arguments]
        given = [self._fitting(operation, n, value) for n, value in enumerate(given)]
        dimensions = max(value.numbers.ndim for value in given)
        # Counted from the last dimension, as broadcasting does.
        batches = {value.batch - value.numbers.ndim for value in given if value.batch is not None}
        if len(batches) > 1:
            raise NotByRowError("trajectories meet")
        where = next(iter(batches), None)
        for value in given:
            if where is not None and value.batch is None and -where <= value.numbers.ndim:
                if value.numbers.shape[where] != 1:
                    raise NotByRowError("the field has a row of its own for each trajectory")
        numbers = np.frompyfunc(lambda *parts: self._builder.make(operation, *parts), len(given), 1)(
            *(value.numbers for value in given)
        )
        if not isinstance(numbers, np.ndarray):
            numbers = _single(numbers)
        return _Value(numbers, None if where is None else dimensions + where)

    def _fitting(self, operation: str, position: int, value: _Value) -> _Value:
        """Conditions as numbers, and numbers as conditions, where an operation takes the other."""
        wanted = operation in ("and", "or", "not") or (operation == "where" and position == 0)
        zero, one = self._builder.constant(0.0), self._builder.constant(1.0)

        def fitting(e: Expression) -> Expression:
            if e.is_condition == wanted:
                return e
            return self._builder.make("ne", e, zero) if wanted else self._builder.make("where", e, one, zero)

        numbers = np.frompyfunc(fitting, 1, 1)(value.numbers)
        return _Value(_kept(numbers), value.batch)

    def number(self, value: float) -> _Value:
        """A number as a tensor without dimensions."""
        return _Value(_single(self._builder.constant(value)), None)

    # Operations on shapes.

    def extent(self, value: _Value) -> tuple[int, ...]:
        """The shape of the tensor."""
        return tuple(self._batch if n == value.batch else size for n, size in enumerate(value.numbers.shape))

    def inside(self, value: _Value, dimension: int) -> int:
        """A dimension that is not that of the batch, counted from the first."""
        dimension %= max(1, value.numbers.ndim)
        if dimension == value.batch:
            raise NotByRowError("trajectories are taken apart or together")
        return dimension

    def reshaped(self, value: _Value, shape: Sequence[int]) -> _Value:
        """`view`."""
        shape = list(shape)
        if -1 in shape:
            rest = -math.prod(shape)
            shape[shape.index(-1)] = math.prod(self.extent(value)) // rest
        if value.batch is None:
            return _Value(value.numbers.reshape(shape), None)
        if self._batch not in shape:
            raise NotByRowError("trajectories are mixed with elements")
        where = shape.index(self._batch)
        if math.prod(shape[:where]) != math.prod(value.numbers.shape[: value.batch]):
            raise NotByRowError("trajectories are mixed with elements")
        return _Value(value.numbers.reshape([*shape[:where], 1, *shape[where + 1 :]]), where)

    def expanded(self, value: _Value, shape: Sequence[int]) -> _Value:
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
        return _Value(np.broadcast_to(value.numbers, sizes), where)

    def filled(self, shape: Sequence[int], value: float) -> _Value:
        """`full`."""
        where = list(shape).index(self._batch) if self._batch in shape else None
        sizes = tuple(1 if n == where else size for n, size in enumerate(shape))
        return _Value(self._array(sizes, lambda _: self._builder.constant(value)), where)

    def permuted(self, value: _Value, order: Sequence[int]) -> _Value:
        """`permute`."""
        order = [n % value.numbers.ndim for n in order]
        return _Value(value.numbers.transpose(order), None if value.batch is None else order.index(value.batch))

    def selected(self, value: _Value, dimension: int, index: int) -> _Value:
        """`select`."""
        dimension = self.inside(value, dimension)
        batch = value.batch
        return _Value(
            _kept(np.take(value.numbers, index, axis=dimension)),
            batch if batch is None or batch < dimension else batch - 1,
        )

    def sliced(self, value: _Value, dimension: int = 0, start: Any = None, end: Any = None, step: int = 1) -> _Value:
        """`slice`; one that takes all is allowed of the batch too."""
        dimension %= value.numbers.ndim
        if dimension == value.batch:
            if start in (None, 0) and step == 1 and (end is None or end >= self._batch):
                return value
            raise NotByRowError("trajectories are taken apart")
        index = [slice(None)] * value.numbers.ndim
        index[dimension] = slice(start, end, step)
        return _Value(value.numbers[tuple(index)], value.batch)

    def joined(self, values: Sequence[_Value], dimension: int = 0) -> _Value:
        """`cat`."""
        values = [value for value in values if value.numbers.shape != (0,)]
        batch = self._common(values)
        dimension %= values[0].numbers.ndim
        if dimension == batch:
            raise NotByRowError("trajectories are taken together")
        return _Value(np.concatenate([value.numbers for value in values], axis=dimension), batch)

    def stacked(self, values: Sequence[_Value], dimension: int = 0) -> _Value:
        """`stack`."""
        dimension %= values[0].numbers.ndim + 1
        return self.joined([self.widened(value, dimension) for value in values], dimension)

    def widened(self, value: _Value, dimension: int) -> _Value:
        """`unsqueeze`."""
        dimension %= value.numbers.ndim + 1
        batch = value.batch
        return _Value(
            np.expand_dims(value.numbers, dimension), batch if batch is None or batch < dimension else batch + 1
        )

    def narrowed(self, value: _Value, dimensions: int | Sequence[int]) -> _Value:
        """`squeeze`."""
        asked = [dimensions] if isinstance(dimensions, int) else dimensions
        gone = sorted(n % value.numbers.ndim for n in asked)
        gone = [n for n in gone if n != value.batch and value.numbers.shape[n] == 1]
        batch = None if value.batch is None else value.batch - sum(n < value.batch for n in gone)
        return _Value(_kept(np.squeeze(value.numbers, axis=tuple(gone))), batch)

    def parted(self, value: _Value, sizes: int | Sequence[int], dimension: int = 0) -> list[_Value]:
        """`split`."""
        dimension = self.inside(value, dimension)
        total = value.numbers.shape[dimension]
        if isinstance(sizes, int):
            sizes = [min(sizes, total - start) for start in range(0, total, sizes)]
        edges = np.cumsum(sizes)[:-1]
        return [_Value(part, value.batch) for part in np.split(value.numbers, edges, axis=dimension)]

    def turned(self, value: _Value, dimensions: Sequence[int]) -> _Value:
        """`flip`."""
        return _Value(np.flip(value.numbers, axis=tuple(self.inside(value, n) for n in dimensions)), value.batch)

    def rolled(self, value: _Value, shifts: Sequence[int], dimensions: Sequence[int] = ()) -> _Value:
        """`roll`."""
        axes = tuple(self.inside(value, n) for n in dimensions)
        if not axes:
            raise NotByRowError("trajectories are mixed with elements")
        return _Value(np.roll(value.numbers, tuple(shifts), axis=axes), value.batch)

    # Sums.

    def reduced(
        self, operation: str, value: _Value, dimensions: Sequence[int] | None = None, keep: bool = False, **_: Any
    ) -> _Value:
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
        return _Value(numbers, batch)

    def averaged(self, value: _Value, dimensions: Sequence[int] | None = None, keep: bool = False, **_: Any) -> _Value:
        """`mean`."""
        total = self.reduced("add", value, dimensions, keep)
        return self.make("div", total, value.numbers.size / max(1, total.numbers.size))

    def multiplied(self, left: _Value, right: _Value) -> _Value:
        """`mm`, of one matrix that holds trajectories and one that does not."""
        if left.batch == 1 or right.batch == 0 or None not in (left.batch, right.batch):
            raise NotByRowError("trajectories are taken together")
        (n, inner), m = left.numbers.shape, right.numbers.shape[1]
        numbers = np.empty((n, m), dtype=object)
        for i in range(n):
            for j in range(m):
                total = self._builder.make("mul", left.numbers[i, 0], right.numbers[0, j])
                for k in range(1, inner):
                    product = self._builder.make("mul", left.numbers[i, k], right.numbers[k, j])
                    total = self._builder.make("add", total, product)
                numbers[i, j] = total
        return _Value(numbers, left.batch if left.batch is not None else right.batch)

    def linear(self, bias: _Value, left: _Value, right: _Value, *, beta: float = 1, alpha: float = 1) -> _Value:
        """`addmm`."""
        product = self.multiplied(left, right)
        product = product if alpha == 1 else self.make("mul", product, alpha)
        return self.make("add", product, bias if beta == 1 else self.make("mul", bias, beta))

    def _common(self, values: Sequence[_Value]) -> int | None:
        batches = {value.batch for value in values}
        if len(batches) > 1:
            raise NotByRowError("trajectories are taken together with what is none")
        return batches.pop()


def told(results: Sequence[Expression]) -> tuple[str, ...]:
    """Expressions in words, one for each."""
    names: dict[int, str] = {}
    lines = []
    for n, e in enumerate(ordered(results)):
        names[id(e)] = f"x{n}"
        lines.append(f"x{n} = {e.operation} {[names[id(a)] for a in e.arguments]} {e.value.hex()} {e.place}")
    return *lines, *(names[id(result)] for result in results)


def _single(expression: Expression) -> np.ndarray:
    numbers = np.empty((), dtype=object)
    numbers[()] = expression
    return numbers


def _kept(numbers: Any) -> np.ndarray:
    """What numpy took out of its array where one number was left."""
    return numbers if isinstance(numbers, np.ndarray) else _single(numbers)


def _binary(operation: str) -> Callable[..., _Value]:
    def apply(reading: _Reading, left: Any, right: Any, *, alpha: float = 1) -> _Value:
        if alpha != 1:
            right = reading.make("mul", right, alpha)
        return reading.make(operation, left, right)

    return apply


def _unary(operation: str) -> Callable[..., _Value]:
    return lambda reading, value: reading.make(operation, value)


def _power(reading: _Reading, base: Any, exponent: Any) -> _Value:
    """Small whole powers are products, as torch computes them."""
    if exponent == 0.5:
        return reading.make("sqrt", base)
    if isinstance(exponent, int | float) and float(exponent).is_integer() and 1 <= abs(exponent) <= 3:
        result = base
        for _ in range(int(abs(exponent)) - 1):
            result = reading.make("mul", result, base)
        return result if exponent > 0 else reading.make("div", 1.0, result)
    return reading.make("pow", base, exponent)


def _clamp(reading: _Reading, value: _Value, least: Any = None, most: Any = None) -> _Value:
    """Where a bound is met, the derivative is that of the value itself, as in torch."""
    for bound, comparison in ((least, "ge"), (most, "le")):
        if bound is not None:
            value = reading.make("where", reading.make(comparison, value, bound), value, bound)
    return value


def _softplus(reading: _Reading, value: _Value, beta: float = 1, threshold: float = 20) -> _Value:
    """Bounded where it is not used, so that its derivative there is 0 rather than 0 · ∞."""
    scaled = reading.make("mul", value, beta)
    bent = reading.make("log1p", reading.make("exp", reading.make("minimum", scaled, threshold)))
    return reading.make("where", reading.make("gt", scaled, threshold), value, reading.make("div", bent, beta))


def _elu(reading: _Reading, value: _Value, alpha: float = 1, scale: float = 1, inner: float = 1) -> _Value:
    """Bounded likewise."""
    bent = reading.make("expm1", reading.make("mul", reading.make("minimum", value, 0.0), inner))
    straight = reading.make("mul", value, scale)
    return reading.make(
        "where", reading.make("gt", value, 0.0), straight, reading.make("mul", bent, float(alpha) * float(scale))
    )


def _relu(reading: _Reading, value: _Value) -> _Value:
    return reading.make("where", reading.make("gt", value, 0.0), value, 0.0)


def _same(reading: _Reading, value: _Value, *_: Any, **__: Any) -> _Value:
    return value


_OPERATIONS: dict[Any, Callable[..., Any]] = {
    **{
        overload: _binary(operation)
        for operation in ("add", "sub", "mul", "div", "maximum", "minimum", "lt", "le", "gt", "ge", "eq", "ne")
        for name in ("Tensor", "Scalar", "default")
        if (overload := getattr(getattr(aten, operation), name, None)) is not None
    },
    aten.rsub.Scalar: lambda r, left, right: r.make("sub", right, left),
    aten.logical_and.default: _binary("and"),
    aten.logical_or.default: _binary("or"),
    aten.logical_not.default: _unary("not"),
    aten.bitwise_and.Tensor: _binary("and"),
    aten.bitwise_or.Tensor: _binary("or"),
    aten.bitwise_not.default: _unary("not"),
    **{
        getattr(aten, operation).default: _unary(operation)
        for operation in (
            *("neg", "abs", "sign", "floor", "ceil", "exp", "expm1", "log", "log1p", "sqrt", "sin", "cos", "tan"),
            *("sinh", "cosh", "tanh", "asin", "acos", "atan", "erf", "sigmoid"),
        )
    },
    aten.reciprocal.default: lambda r, value: r.make("div", 1.0, value),
    aten.rsqrt.default: lambda r, value: r.make("div", 1.0, r.make("sqrt", value)),
    aten.pow.Tensor_Scalar: _power,
    aten.pow.Tensor_Tensor: _power,
    aten.pow.Scalar: _power,
    aten.where.self: lambda r, condition, yes, no: r.make("where", condition, yes, no),
    aten.clamp.default: _clamp,
    aten.softplus.default: _softplus,
    aten.elu.default: _elu,
    aten.relu.default: _relu,
    aten.view.default: _Reading.reshaped,
    aten._unsafe_view.default: _Reading.reshaped,
    aten.reshape.default: _Reading.reshaped,
    aten.expand.default: lambda r, value, shape, **_: r.expanded(value, shape),
    aten.permute.default: _Reading.permuted,
    aten.t.default: lambda r, value: r.permuted(value, range(value.numbers.ndim)[::-1]),
    aten.transpose.int: lambda r, value, a, b: r.permuted(value, _swapped(value.numbers.ndim, a, b)),
    aten.select.int: _Reading.selected,
    aten.slice.Tensor: _Reading.sliced,
    aten.cat.default: _Reading.joined,
    aten.stack.default: _Reading.stacked,
    aten.unsqueeze.default: _Reading.widened,
    aten.squeeze.dim: _Reading.narrowed,
    aten.squeeze.dims: _Reading.narrowed,
    aten.split.Tensor: _Reading.parted,
    aten.split_with_sizes.default: _Reading.parted,
    aten.unbind.int: lambda r, value, dimension=0: [
        r.selected(value, dimension, n) for n in range(value.numbers.shape[r.inside(value, dimension)])
    ],
    aten.flip.default: _Reading.turned,
    aten.roll.default: _Reading.rolled,
    aten.sum.dim_IntList: lambda r, value, *how, **named: r.reduced("add", value, *how, **named),
    aten.sum.default: lambda r, value, **named: r.reduced("add", value, **named),
    aten.amax.default: lambda r, value, *how: r.reduced("maximum", value, *how),
    aten.amin.default: lambda r, value, *how: r.reduced("minimum", value, *how),
    aten.mean.dim: _Reading.averaged,
    aten.mean.default: _Reading.averaged,
    aten.mm.default: _Reading.multiplied,
    aten.addmm.default: _Reading.linear,
    aten.full.default: lambda r, shape, value, **_: r.filled(shape, value),
    aten.full_like.default: lambda r, value, number, **_: r.filled(r.extent(value), number),
    aten.scalar_tensor.default: lambda r, value, **_: r.number(value),
    aten.clone.default: _same,
    aten.alias.default: _same,
    aten.detach.default: _same,
    aten._to_copy.default: lambda r, value, **_: r.make("add", value, 0.0),
    aten.lift_fresh_copy.default: _same,
    torch.ops.prims.convert_element_type.default: lambda r, value, *_: r.make("add", value, 0.0),
    operator.getitem: lambda r, values, index: values[index],
}





def _swapped(dimensions: int, one: int, other: int) -> list[int]:
    order = list(range(dimensions))
    order[one], order[other] = order[other], order[one]
    return order
