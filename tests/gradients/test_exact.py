"""Gradients of the discrete solution, against autograd through an oracle that shares no code with the library."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import odebench
from odebench.api import build
from odebench.plugins import build_registry
from tests.gradients.fields import ALL, EXACT, INEXACT, AdamsBashforth2, Network, PlainHeun, loss_of, off, start
from tests.oracles import explicit_rk

SOLVERS = sorted(entry.name for entry in build_registry(prefixes=()).entries("solver"))
ADAPTIVE = [name for name in SOLVERS if build("solver", name).adaptive]
EPS = torch.finfo(torch.float64).eps


def gradients(method, field=None, y0=None, ts=(0.0, 0.4, 1.0), wanted=(), **arguments):
    """Gradients of y0, of the field's parameters and of `wanted`; and the solution."""
    field, y0 = field or Network(), start() if y0 is None else y0
    solution = odebench.solve(field, y0, ts, gradient=method, **arguments)
    parameters = tuple(field.parameters()) if isinstance(field, nn.Module) else ()
    leaves = y0 if isinstance(y0, tuple) else (y0,)
    return torch.autograd.grad(loss_of(solution.ys), (*leaves, *parameters, *wanted)), solution


def oracle(name, grid, ts):
    """The same by autograd through the oracle; output times at the ends of steps."""
    field, y0 = Network(), start()
    steps = list(zip(grid.t.tolist(), grid.dt.tolist(), strict=True))
    states = explicit_rk.integrate(field, y0, steps, name)
    times = [t for t, _ in steps] + [ts[-1]]
    ys = torch.stack([states[min(range(len(times)), key=lambda n, t=t: abs(times[n] - t))] for t in ts])
    return torch.autograd.grad(loss_of(ys), (y0, *field.parameters()))


@pytest.mark.parametrize("ts", [(0.0, 0.4, 1.0), (1.0, 0.6, 0.0)])
@pytest.mark.parametrize("method", ("direct", *EXACT))
@pytest.mark.parametrize("name", sorted(explicit_rk.METHODS))
def test_fixed_steps(name, method, ts):
    solver = build("solver", {"name": name, "adaptive": False} if name in ADAPTIVE else name)
    got, solution = gradients(method, ts=ts, solver=solver, steps=10)
    expected = oracle(name, solution.grid, ts)
    bound = 100 * EPS * math.sqrt(solution.stats.evaluations_forward)
    assert off(got[:1], expected[:1]) < bound, "y0"
    assert off(got[1:], expected[1:]) < bound, "parameters"


@pytest.mark.parametrize("method", ("direct", *EXACT))
@pytest.mark.parametrize("name", [name for name in ADAPTIVE if name in explicit_rk.METHODS])
def test_accepted_steps(name, method):
    ts = (0.0, 1.5)
    got, solution = gradients(method, ts=ts, solver=name, grid=odebench.Tolerance(rtol=1e-4, atol=1e-6, first_step=1.0))
    expected = oracle(name, solution.grid, ts)
    assert off(got, expected) < 100 * EPS * math.sqrt(solution.stats.evaluations_forward)
    if name != "dopri8":
        assert solution.stats.rejected > 0, "a rejected step must leave no trace"


@pytest.mark.parametrize("method", EXACT)
@pytest.mark.parametrize("solver", [*SOLVERS, AdamsBashforth2(), PlainHeun()])
def test_outputs_between_steps(solver, method):
    """No oracle knows the interpolants: their derivative is held against finite differences."""
    interpolates = solver in ADAPTIVE and solver != "dopri8"
    ts = (0.0, 0.123, 0.4, 0.47, 1.0) if interpolates else (0.0, 0.5, 1.0)
    arguments = {"ts": ts, "solver": solver} | ({"rtol": 1e-3} if interpolates else {"steps": 8})
    if isinstance(solver, PlainHeun):
        arguments = {"ts": (0.0, 0.123, 1.0), "solver": solver, "rtol": 1e-3}
    expected, solution = gradients("direct", **arguments)
    got, _ = gradients(method, **arguments)
    assert off(got, expected) < 100 * EPS * math.sqrt(solution.stats.evaluations_forward)
    y0, field = start().detach(), Network()
    direction = torch.linspace(-1, 1, y0.numel(), dtype=y0.dtype).reshape(y0.shape)
    values = []
    for h in (1e-5, -1e-5):
        ys = odebench.solve(field, y0 + h * direction, arguments["ts"], solver=solver, grid=solution.grid).ys
        values.append(loss_of(ys).item())
    assert (got[0] * direction).sum().item() == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-7)


@pytest.mark.parametrize("method", ALL)
def test_a_strangers_solvers(method):
    """Plain expressions, a carry that belongs to the state: what is written in ten lines works with every method."""
    for solver in (AdamsBashforth2(), PlainHeun()):
        expected, _ = gradients("direct", solver=solver, steps=80, ts=(0.0, 0.5, 1.0))
        got, solution = gradients(method, solver=solver, steps=80, ts=(0.0, 0.5, 1.0))
        assert off(got, expected) < (1e-3 if method in INEXACT else 1e-13)
        assert solution.stats.evaluations_forward == (81 if solver.carry_is == "state" else 160)


def test_adams_bashforth_against_a_loop():
    field, y0 = Network(), start()
    ys, before = [y0], field(0.0, y0)
    for n in range(10):
        slope = field(n / 10, ys[-1])
        ys.append(ys[-1] + 0.1 * (1.5 * slope - 0.5 * before))
        before = slope
    expected = torch.autograd.grad(loss_of(torch.stack((ys[0], ys[5], ys[10]))), (y0, *field.parameters()))
    for method in ("direct", *EXACT):
        got, _ = gradients(method, solver=AdamsBashforth2(), steps=10, ts=(0.0, 0.5, 1.0))
        assert off(got, expected) < 1e-13


def test_a_carried_state_that_needs_no_gradient():
    """The derivative of the step before may depend on nothing but the time."""
    y0 = start()
    field = lambda t, y: t * torch.ones_like(y)  # noqa: E731
    for method in ALL:
        ys = odebench.solve(field, y0, (0.0, 1.0), solver=AdamsBashforth2(), steps=4, gradient=method).ys
        (got,) = torch.autograd.grad(ys[-1].sum(), y0)
        torch.testing.assert_close(got, torch.ones_like(y0), rtol=1e-14, atol=0)


@pytest.mark.parametrize("method", ALL)
def test_a_grid_that_goes_on_beyond_the_last_output(method):
    grid = odebench.solve(Network(), start().detach(), (0.0, 2.0), solver="rk4", steps=20).grid
    got, _ = gradients(method, ts=(0.0, 0.5, 1.0), solver="rk4", grid=grid)
    expected, _ = gradients(method, ts=(0.0, 0.5, 1.0), solver="rk4", steps=10)
    assert off(got, expected) < 1e-12


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize(
    "shapes", [((2, 3), (2, 1, 4), (2,)), ((), (5,)), ((0, 3), (0,)), ((1, 2, 1, 2, 1),), ((3,), (3,))], ids=str
)
def test_tuple_states(method, shapes):
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.tensor(0.7, dtype=torch.float64))

        def forward(self, t, state):
            total = sum(leaf.sum() for leaf in state)
            return tuple(torch.sin(self.scale * leaf + 0.1 * total + t) for leaf in state)

    def run(method):
        generator = torch.Generator().manual_seed(3)
        y0 = tuple(torch.randn(s, generator=generator, dtype=torch.float64).requires_grad_() for s in shapes)
        return gradients(method, field=Mixed(), y0=y0, steps=40, solver="rk4")

    (expected, _), (got, solution) = run("direct"), run(method)
    assert [tuple(y.shape) for y in solution.ys] == [(3, *shape) for shape in shapes]
    for g, e in zip(got, expected, strict=True):
        torch.testing.assert_close(g, e, rtol=1e-5 if method in INEXACT else 1e-12, atol=1e-13)


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize("shape", [(0, 3), (1, 3), (3,), (2, 1, 2, 1, 3)], ids=str)
def test_batch_sizes_and_dimensions(method, shape):
    def run(method):
        generator = torch.Generator().manual_seed(3)
        y0 = torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()
        return gradients(method, y0=y0, steps=40, solver="rk4")

    (expected, _), (got, solution) = run("direct"), run(method)
    assert solution.ys.shape == (3, *shape)
    for g, e in zip(got, expected, strict=True):
        torch.testing.assert_close(g, e, rtol=1e-4 if method in INEXACT else 1e-12, atol=1e-13)


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.complex128])
def test_other_dtypes(method, dtype):
    weight = torch.tensor([[0.3, -0.8], [0.8, 0.1]], dtype=torch.float64).to(dtype)
    if dtype.is_complex:
        weight = weight * (1 + 0.5j)
    weight.requires_grad_()
    y0 = (torch.tensor([[1.0, 0.5], [0.2, -0.4]]).to(dtype) * (1 + (1j if dtype.is_complex else 0))).requires_grad_()
    times = []

    def field(t, y):
        times.append(t)
        return y @ weight

    solution = odebench.solve(field, y0, (0.0, 1.0), solver="rk4", steps=8, gradient=method, inputs=(weight,))
    real = {torch.complex128: torch.float64, torch.bfloat16: torch.float32}.get(dtype, dtype)
    assert solution.ys.dtype == dtype and {(t.dtype, t.shape) for t in times} == {(real, ())}
    got = torch.autograd.grad(solution.ys[-1].abs().square().sum(), (y0, weight))
    wide = torch.complex128 if dtype.is_complex else torch.float64
    y_exact, w_exact = (x.detach().to(wide).requires_grad_() for x in (y0, weight))
    flow = (y_exact @ torch.linalg.matrix_exp(w_exact)).abs().square().sum()
    expected = torch.autograd.grad(flow, (y_exact, w_exact))
    assert all(g.dtype == dtype for g in got)
    assert off([g.to(wide) for g in got], expected) < {torch.float32: 1e-5, torch.bfloat16: 0.05}.get(dtype, 1e-4)


@pytest.mark.parametrize("method", ALL)
def test_unused_frozen_and_shared_parameters(method):
    class Awkward(Network):
        def __init__(self):
            super().__init__()
            self.unused = nn.Parameter(torch.ones(2, dtype=torch.float64))
            self.frozen = nn.Parameter(torch.full((3,), 0.5, dtype=torch.float64), requires_grad=False)
            self.again = self.bias

        def forward(self, t, y):
            return super().forward(t, y) * self.frozen + self.again.sum() * y

    def run(method):
        field, y0 = Awkward(), start()
        ys = odebench.solve(field, y0, (0.0, 1.0), solver="rk4", steps=40, gradient=method).ys
        ys.square().sum().backward()
        return field, y0

    (expected, expected_y0), (field, y0) = run("direct"), run(method)
    assert field.frozen.grad is None
    assert field.unused.grad is None or not field.unused.grad.any()
    names = ("first", "second", "bias")
    got = [y0.grad, *(getattr(field, name).grad for name in names)]
    assert off(got, [expected_y0.grad, *(getattr(expected, name).grad for name in names)]) < (
        1e-5 if method in INEXACT else 1e-13
    )


@pytest.mark.parametrize("method", ALL)
def test_what_requires_no_gradient_gets_none(method):
    field, y0 = Network(), start().detach()
    odebench.solve(field, y0, (0.0, 1.0), steps=5, gradient=method).ys.sum().backward()
    assert y0.grad is None and all(p.grad is not None for p in field.parameters())
    frozen = Network().requires_grad_(False)
    y0 = start()
    odebench.solve(frozen, y0, (0.0, 1.0), steps=5, gradient=method).ys.sum().backward()
    assert y0.grad is not None and all(p.grad is None for p in frozen.parameters())
    ys = odebench.solve(frozen, y0.detach(), (0.0, 1.0), steps=5, gradient=method).ys
    assert not ys.requires_grad
    with torch.no_grad():
        assert not odebench.solve(field, y0, (0.0, 1.0), steps=5, gradient=method).ys.requires_grad
    with torch.inference_mode():
        assert odebench.solve(field, start().detach(), (0.0, 1.0), steps=5, gradient=method).ys.isfinite().all()


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize(
    ("state", "parameter"), [("complex128", "float64"), ("bfloat16", "float32"), ("float64", "float32")]
)
def test_parameters_of_another_dtype(state, parameter, method):
    """Each gradient has the dtype of its tensor."""
    state, parameter = getattr(torch, state), getattr(torch, parameter)

    def run(method):
        angle = torch.tensor([0.5, 1.5], dtype=parameter, requires_grad=True)
        y0 = torch.tensor([[1.0, 0.5], [0.2, -0.4]]).to(state).requires_grad_()

        def field(t, y):
            turned = 1j * y if state.is_complex else -y
            return (turned * angle).to(state)

        ys = odebench.solve(field, y0, (0.0, 1.0), solver="rk4", steps=16, gradient=method, inputs=(angle,)).ys
        weight = torch.tensor([[1.0, 2.0], [3.0, 1.0]], dtype=ys.real.dtype)
        return torch.autograd.grad((ys[-1].real * weight).sum(), (y0, angle))

    got, expected = run(method), run("direct")
    assert [g.dtype for g in got] == [state, parameter]
    assert off(got, expected) < (0.03 if state == torch.bfloat16 else 2e-6)


@pytest.mark.parametrize("method", ALL)
def test_parameters_whose_gradients_share_memory(method):
    """Autograd gives one tensor for both terms of a sum; adding to the one must not add to the other."""

    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.one = nn.Parameter(torch.full((4, 3), 0.3, dtype=torch.float64))
            self.other = nn.Parameter(torch.full((4, 3), -0.1, dtype=torch.float64))

        def forward(self, t, y):
            return self.one + self.other + y

    expected, _ = gradients("direct", field=Sum(), solver="euler", steps=10, ts=(0.0, 0.5, 1.0))
    got, _ = gradients(method, field=Sum(), solver="euler", steps=10, ts=(0.0, 0.5, 1.0))
    if method in INEXACT:
        assert torch.equal(got[1], got[2]) and off(got, expected) < 0.2
    else:
        assert off(got, expected) < 1e-13
