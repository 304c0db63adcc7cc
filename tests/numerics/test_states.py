"""States of every shape and dtype, and fields with every manner: as torch takes them, or refused in words."""

from __future__ import annotations

import functools
import math

import pytest
import torch
from torch import nn

from odebench.api import build, solve
from odebench.errors import FieldError
from odebench.numerics.packing import Packing
from odebench.numerics.timed_field import TimedField
from odebench.plugins import build_registry

SOLVERS = sorted(entry.name for entry in build_registry(prefixes=()).entries("solver"))
Y0 = torch.tensor([[1.0, -0.5], [0.3, 2.0]], dtype=torch.float64)
WAYS = {
    "steps": {"solver": "rk4", "steps": 40},
    "tolerance": {"rtol": 1e-9},
    "rows": {"rtol": 1e-9, "batch": "per-sample"},
}


def decayed(y0, t=1.0):
    return y0 * math.exp(-t)


RETURNS = {
    "its argument": (lambda t, y: y, math.e),
    "a view of its argument": (lambda t, y: y.view_as(y), math.e),
    "a non-contiguous tensor": (lambda t, y: -y.t().contiguous().t(), 1 / math.e),
    "an expanded tensor": (lambda t, y: -y[:, :1].expand_as(y), None),
    "a new tensor of numpy's": (lambda t, y: torch.from_numpy(-y.numpy()), 1 / math.e),
    "a compiled function's": (torch.compile(lambda t, y: -y, backend="eager"), 1 / math.e),
    "a vmapped function's": (torch.func.vmap(lambda t, y: -y, in_dims=(None, 0)), 1 / math.e),
    "a gradient's": (lambda t, y: torch.func.grad(lambda x: -0.5 * (x * x).sum())(y), 1 / math.e),
    "a module's": (type("Wrapped", (nn.Module,), {"forward": lambda self, t, y: -y})(), 1 / math.e),
    "a partial's": (functools.partial(lambda rate, t, y: rate * y, -1.0), 1 / math.e),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", RETURNS)
def test_fields_that_return(kind, way):
    field, factor = RETURNS[kind]
    ys = solve(field, Y0, (0.0, 0.5, 1.0), **WAYS[way]).ys
    # y' = -y₀ where every element follows the first
    expected = Y0 - Y0[:, :1] * (1 - math.exp(-1.0)) if factor is None else Y0 * factor
    torch.testing.assert_close(ys[-1], expected, rtol=1e-6, atol=1e-8)
    assert torch.equal(ys[0], Y0)


@pytest.mark.parametrize("way", WAYS)
def test_a_field_that_reuses_its_memory_is_refused(way):
    """The stages of a step are needed together: the result would be wrong without an error."""
    buffer = torch.empty_like(Y0)

    def field(t, y):
        return torch.neg(y, out=buffer)

    with pytest.raises(FieldError, match="returned before, which is still needed"):
        solve(field, Y0, (0.0, 1.0), **WAYS[way])
    constant = torch.ones_like(Y0)  # the same tensor each time is fine as long as it is not written to
    torch.testing.assert_close(solve(lambda t, y: constant, Y0, (0.0, 1.0), **WAYS[way]).y1, Y0 + 1)


@pytest.mark.parametrize("way", WAYS)
def test_a_field_that_writes_into_its_argument_is_refused(way):
    with pytest.raises(FieldError, match="changes the state that it is given in place"):
        solve(lambda t, y: y.neg_(), Y0.clone(), (0.0, 1.0), **WAYS[way])
    with pytest.raises(FieldError, match="changes the state that it is given in place"):
        solve(lambda t, s: (s[0].neg_(), s[1]), (Y0.clone(), Y0.clone()), (0.0, 1.0), **WAYS[way])


@pytest.mark.parametrize(
    ("field", "y0", "text"),
    [
        (lambda t, y: y[:1], Y0, "shape (1, 2) for a state of shape (2, 2)"),
        (lambda t, y: y.sum(), Y0, "shape () for a state of shape (2, 2)"),
        (lambda t, y: (y,), Y0, "a tuple for a tensor state"),
        (lambda t, y: None, Y0, "a NoneType for a tensor state"),
        (lambda t, y: 0.0, Y0, "a float for a tensor state"),
        (lambda t, y: y.double(), Y0.float(), "torch.float64 for a state of torch.float32"),
        (lambda t, y: y * 1j, Y0, "torch.complex128 for a state of torch.float64"),
        (lambda t, s: s[0], (Y0, Y0), "a tuple of 2 tensors, but the field returned a tensor of shape (2, 2)"),
        (lambda t, s: s[:1], (Y0, Y0), "a tuple of 2 tensors, but the field returned a tuple of 1"),
        (lambda t, s: (s[0], s[1][:1]), (Y0, Y0), "shape (1, 2), torch.float64 on cpu for a state of shape (2, 2)"),
        (lambda t, s: (s[0], 0.0), (Y0, Y0), "a float for a state of shape (2, 2)"),
        (lambda t, y: y, Y0.long(), "must be floating point"),
        (lambda t, y: y, [Y0], "is a list of 1; it must be a tensor or a tuple of tensors"),
        (lambda t, y: y, (), "is a tuple of 0"),
        (lambda t, y: y, (Y0, 1.0), "is a tuple of 2; it must be"),
        (lambda t, y: y, (Y0, Y0.float()), "Bring them to one dtype and device"),
    ],
)
@pytest.mark.parametrize("gradient", ["direct", "anode", "step-checkpoint"])
def test_what_is_no_state_or_no_derivative_is_refused(field, y0, text, gradient):
    with pytest.raises(FieldError) as caught:
        solve(field, y0, (0.0, 1.0), solver="rk4", steps=2, gradient=gradient)
    assert text in str(caught.value)


def test_a_field_may_be_more_or_less_precise_than_its_state():
    """Under autocast a field of a float32 state returns bfloat16; a float64 state may have a float32 field."""
    ys = solve(lambda t, y: -y.float(), Y0, (0.0, 1.0), rtol=1e-5).ys
    assert ys.dtype == torch.float64
    torch.testing.assert_close(ys[-1], decayed(Y0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("shape", [(0, 2), (1, 2), (3,), (1,), (2, 1, 3, 1, 2), (2, 0)], ids=str)
def test_shapes(shape, way):
    y0 = torch.linspace(1, 2, math.prod(shape), dtype=torch.float64).reshape(shape)
    solution = solve(lambda t, y: -y, y0, (0.0, 0.5, 1.0), **WAYS[way])
    assert solution.ys.shape == (3, *shape) and solution.y1.shape == shape
    torch.testing.assert_close(solution.y1, decayed(y0), rtol=1e-6, atol=0)


def test_a_state_without_dimensions():
    y0 = torch.tensor(2.0, dtype=torch.float64)
    for way in ("steps", "tolerance"):
        torch.testing.assert_close(
            solve(lambda t, y: -y, y0, (0.0, 1.0), **WAYS[way]).y1, decayed(y0), rtol=1e-6, atol=0
        )
    with pytest.raises(FieldError, match="one batch size"):
        solve(lambda t, y: -y, y0, (0.0, 1.0), **WAYS["rows"])


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [("float32", 1e-3), ("float64", 1e-3), ("bfloat16", 5e-2), ("float16", 1e-2), ("complex128", 1e-3)],
)
def test_dtypes(dtype, tolerance, name):
    dtype = getattr(torch, dtype)
    rate = 1j - 0.5 if dtype.is_complex else -0.5
    y0 = Y0.to(dtype) * (1 + 1j if dtype.is_complex else 1)
    times = []

    def field(t, y):
        times.append((t.dtype, t.shape, t.device))
        return rate * y

    solver = build("solver", name)
    ways = [{"steps": 20}] + ([{"rtol": tolerance, "atol": tolerance}] if solver.adaptive else [])
    for way in ways if name != "kvaerno3" or dtype.itemsize > 2 else []:
        if way == {"steps": 20} and solver.adaptive:
            way["solver"] = {"name": name, "adaptive": False}
        ys = solve(field, y0, (0.0, 0.5, 1.0), **({"solver": name} | way)).ys
        assert ys.dtype == dtype
        bound = 0.1 if name in ("euler", "fehlberg21") else 10 * tolerance
        exact = Y0 * (1 + 1j if dtype.is_complex else 1) * torch.exp(torch.tensor(rate))
        assert (ys[-1].to(exact.dtype) - exact).abs().max() < bound
    real = {torch.complex128: torch.float64, torch.bfloat16: torch.float32, torch.float16: torch.float32}
    assert set(times) <= {(real.get(dtype, dtype), torch.Size([]), y0.device)}


def test_the_field_is_told_the_time():
    """In the order of the stages, at values that are those of the method in float64, rounded once."""
    seen = []
    solve(lambda t, y: (seen.append(t), -y)[1], Y0, (0.1, 1.3), solver="rk4", steps=3)
    h = (1.3 - 0.1) / 3
    expected = [0.1 + n * h + c * h for n in range(3) for c in (0.0, 0.5, 0.5, 1.0)]
    assert [t.item() for t in seen] == pytest.approx(expected, rel=1e-15)
    assert all(t.dtype == torch.float64 and t.shape == () for t in seen)
    seen.clear()
    solve(lambda t, y: (seen.append(t), -y)[1], Y0.float(), (0.1, 1.3), solver="rk4", steps=100)
    assert all(t.dtype == torch.float32 for t in seen)
    many = [0.1 + n * 0.012 + c * 0.012 for n in range(100) for c in (0.0, 0.5, 0.5, 1.0)]
    assert [t.item() for t in seen] == pytest.approx(many, rel=1.2e-7)


def test_a_time_that_was_not_announced_is_made():
    field = TimedField(lambda t, y: t * y, Y0)
    field.announce((0.25, 0.5))
    assert torch.equal(field(0.5, Y0), 0.5 * Y0) and torch.equal(field(0.75, Y0), 0.75 * Y0)
    rows = torch.tensor([[1.0], [2.0]], dtype=torch.float64)
    assert torch.equal(field(rows, Y0), rows * Y0)
    assert field.evaluations == 3


@pytest.mark.parametrize("by_row", [False, True])
def test_packing_and_unpacking(by_row):
    state = (torch.arange(6.0).reshape(2, 3), torch.arange(8.0).reshape(2, 1, 4) + 10, torch.arange(2.0) + 20)
    packing = Packing(state, by_row=by_row)
    packed = packing.pack(state)
    assert packed.shape == ((2, 8) if by_row else (16,))
    assert all(map(torch.equal, packing.unpack(packed), state))
    outputs = torch.stack((packed, 2 * packed, 3 * packed))
    leaves = packing.unpack_outputs(outputs)
    assert [leaf.shape for leaf in leaves] == [(3, 2, 3), (3, 2, 1, 4), (3, 2)]
    assert all(torch.equal(leaf[1], 2 * part) for leaf, part in zip(leaves, state, strict=True))
    assert torch.equal(packing.pack_outputs(leaves), outputs)
    if by_row:
        assert packed[1].tolist() == [3, 4, 5, 14, 15, 16, 17, 21], "row i is row i of the batch"


def test_a_solve_under_vmap():
    rates = torch.tensor([0.5, 2.0], dtype=torch.float64)
    ys = torch.func.vmap(lambda rate: solve(lambda t, y: -rate * y, Y0, (0.0, 1.0), solver="rk4", steps=30).y1)(rates)
    torch.testing.assert_close(ys, torch.stack([Y0 * math.exp(-r) for r in rates]), rtol=1e-5, atol=0)
    slope = torch.func.grad(lambda rate: solve(lambda t, y: -rate * y, Y0, (0.0, 1.0), solver="rk4", steps=30).y1.sum())
    assert slope(rates[0]).item() == pytest.approx(-Y0.sum().item() * math.exp(-0.5), rel=1e-5)
