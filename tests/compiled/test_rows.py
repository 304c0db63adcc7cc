"""A field's graph read as numbers: what they are, their vector-Jacobian product, and what is not read so."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from odebench.compiled.field_graph import capture
from odebench.compiled.fused.derivative import pulled_back
from odebench.compiled.fused.expressions import Builder, Expression, NotByRowError, ordered
from odebench.compiled.fused.rows import Rows, rows_of
from odebench.compiled.traced_field import Shape

BATCH = 5


def read(field: Callable[..., Any], y: Tensor, t: float = 0.7) -> tuple[Rows, tuple[Tensor, ...]]:
    time = torch.tensor(t, dtype=y.dtype)
    graph, tensors = capture(field, time, (y,), False)
    shape = Shape(rows=(tuple(y.shape[1:]),), is_tuple=False, by_row=False, time_dtype=y.dtype)
    return rows_of(graph, shape, time, y, tensors), tensors


OPERATIONS: dict[str, Callable[..., float]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "pow": lambda a, b: a**b,
    "maximum": max,
    "minimum": min,
    "neg": lambda a: -a,
    "where": lambda c, a, b: a if c else b,
    "sign": lambda a: float((a > 0) - (a < 0)),
    "sigmoid": lambda a: 1.0 / (1.0 + math.exp(-a)),
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "and": lambda a, b: a and b,
    "or": lambda a, b: a or b,
    "not": lambda a: not a,
    "abs": abs,
}


def evaluated(results: list[Expression], leaves: dict[tuple, float]) -> list[float]:
    """The numbers, by Python's own mathematics."""
    known: dict[int, float] = {}
    for e in ordered(results):
        if e.operation == "constant":
            known[id(e)] = e.value
        elif not e.arguments:
            known[id(e)] = leaves[(e.operation, *e.place)]
        else:
            function = OPERATIONS.get(e.operation) or getattr(math, e.operation)
            known[id(e)] = function(*(known[id(argument)] for argument in e.arguments))
    return [known[id(result)] for result in results]


def assert_read_rightly(field: Callable[..., Any], y: Tensor) -> None:
    """Numbers and vector-Jacobian product of each row against autograd."""
    rows, tensors = read(field, y)
    state = y.clone().requires_grad_()
    used = [tensor for tensor in tensors if tensor.requires_grad]
    expected = field(torch.tensor(0.7, dtype=y.dtype), state)
    cotangent = torch.linspace(-1.0, 2.0, y.numel(), dtype=y.dtype).reshape(y.shape)
    to_state, *to_tensors = torch.autograd.grad(expected, [state, *used], cotangent, allow_unused=True)
    builder = rows.builder
    wanted = [
        *(builder.leaf("state", n) for n in range(y[0].numel())),
        *(builder.leaf("tensor", *p) for p in rows.tensors),
    ]
    pulled = pulled_back(builder, rows.derivative, wanted)
    sums = [0.0] * len(rows.tensors)
    for row in range(BATCH):
        leaves: dict[tuple, float] = {("time",): 0.7}
        leaves |= {("state", n): float(value) for n, value in enumerate(y[row].reshape(-1))}
        leaves |= {("cotangent", n): float(value) for n, value in enumerate(cotangent[row].reshape(-1))}
        leaves |= {
            ("tensor", *place): float(tensors[place[0]].detach().reshape(-1)[place[1]]) for place in rows.tensors
        }
        found = evaluated(list(rows.derivative), leaves)
        assert found == pytest.approx(expected[row].reshape(-1).tolist(), rel=1e-12, abs=1e-14)
        back = evaluated(pulled, leaves)
        assert back[: y[0].numel()] == pytest.approx(to_state[row].reshape(-1).tolist(), rel=1e-12, abs=1e-14)
        sums = [total + part for total, part in zip(sums, back[y[0].numel() :], strict=True)]
    for (tensor, element), total in zip(rows.tensors, sums, strict=True):
        gradient = next(g for g, u in zip(to_tensors, used, strict=True) if u is tensors[tensor])
        assert total == pytest.approx(float(gradient.reshape(-1)[element]), rel=1e-12, abs=1e-14)


@pytest.fixture
def y0() -> Tensor:
    return torch.randn(BATCH, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


class Linear(nn.Module):
    """A small matrix and its bias."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3, dtype=torch.float64)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return torch.tanh(self.layer(y)) * torch.cos(t)


@pytest.mark.parametrize(
    "field",
    [
        pytest.param(lambda t, y: torch.roll(y, 1, -1) * y.cos() - y**3 + t, id="roll, cosine, powers, time"),
        pytest.param(lambda t, y: functional.silu(y) + functional.gelu(y) + functional.elu(y), id="silu, gelu, elu"),
        pytest.param(lambda t, y: functional.softplus(30.0 * y) - functional.relu(y) * 2.0, id="softplus, relu"),
        pytest.param(lambda t, y: functional.leaky_relu(y, 0.1) + torch.sigmoid(y), id="leaky relu, sigmoid"),
        pytest.param(lambda t, y: torch.softmax(y, -1), id="softmax"),
        pytest.param(lambda t, y: torch.where(y > 0.2, y.sin(), y.exp()) / (1.0 + y.square()), id="where"),
        pytest.param(lambda t, y: (y > 0).double() * y + y.clamp(-0.5, 0.5), id="conditions as numbers, clamp"),
        pytest.param(lambda t, y: y.abs().pow(1.5) * y.sign() + y.abs().sqrt() - y.abs().rsqrt(), id="powers"),
        pytest.param(lambda t, y: torch.stack((y[:, 1], -y[:, 0], y.sum(1) - y.mean(1)), 1), id="stack, sums"),
        pytest.param(lambda t, y: torch.cat((y[:, 1:], y[:, :1]), 1) * y.amax(1, keepdim=True), id="cat, largest"),
        pytest.param(lambda t, y: torch.maximum(y, y.flip(1)) - torch.minimum(y, 0.3 * y.flip(1)), id="extremes, flip"),
        pytest.param(lambda t, y: y.sinh() / y.cosh() + y.atan() + torch.erf(y) + y.expm1() + y.tan(), id="functions"),
        pytest.param(lambda t, y: (0.3 * y).clamp(-1, 1).asin() + (0.3 * y).clamp(-1, 1).acos() * 2.0, id="arcs"),
        pytest.param(lambda t, y: (y.unsqueeze(1) * y.unsqueeze(2)).sum(1) - y.reshape(-1, 3, 1).squeeze(2), id="outer"),
        pytest.param(Linear(), id="a small matrix"),
    ],
)  # fmt: skip
def test_numbers_and_their_products_are_those_of_torch(field, y0) -> None:
    assert_read_rightly(field, y0)


def test_a_state_of_more_dimensions_is_read() -> None:
    y = torch.randn(BATCH, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    assert_read_rightly(lambda t, y: y.transpose(1, 2).reshape(-1, 2, 3) * 2.0 + y[:, :1] - y[:, :, 1:2], y)


def test_operations_are_counted_once_where_they_are_shared() -> None:
    builder = Builder()
    x = builder.leaf("state", 0)
    square = builder.make("mul", x, x)
    assert builder.make("mul", x, x) is square
    assert builder.make("add", square, builder.constant(0.0)) is square
    assert len([e for e in ordered([builder.make("add", square, square)]) if e.arguments]) == 2


@pytest.mark.parametrize(
    ("field", "why"),
    [
        pytest.param(lambda t, y: y - y.mean(0), "together", id="the mean of the batch"),
        pytest.param(lambda t, y: y.roll(1, 0), "together", id="the neighbour in the batch"),
        pytest.param(lambda t, y: y / y.shape[0], "size of the batch", id="the size of the batch"),
        pytest.param(lambda t, y: y * torch.ones(BATCH, 1, dtype=y.dtype), "another batch", id="a row for each"),
        pytest.param(lambda t, y: y.T.reshape(-1, 3), "mixed", id="elements of several trajectories side by side"),
        pytest.param(lambda t, y: y.cumsum(1), "cumsum", id="an operation that is not known"),
        pytest.param(lambda t, y: (y.float() * 1.1).double(), "float32", id="another precision"),
        pytest.param(lambda t, y: y @ torch.ones(3, 3, dtype=y.dtype).expand(3, 3) @ y.T @ y, "together", id="products"),
        pytest.param(lambda t, y: (y @ y.T).softmax(-1) @ y, "trajectories", id="attention"),
    ],
)  # fmt: skip
def test_what_depends_on_more_than_a_trajectory_is_not_read(field, why, y0) -> None:
    with pytest.raises(NotByRowError, match=why):
        read(field, y0)


def test_a_long_state_and_half_precision_are_not_read() -> None:
    for y, why in ((torch.ones(BATCH, 100), "100 numbers"), (torch.ones(BATCH, 3, dtype=torch.bfloat16), "bfloat16")):
        with pytest.raises(NotByRowError, match=why):
            read(lambda t, y: -y, y)
