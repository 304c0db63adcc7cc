"""Gradients through `odebench.odeint` against torchdiffeq's."""

from __future__ import annotations

import pytest
import torch
import torchdiffeq
from torch import nn

import odebench

TIMES = {
    "rising": torch.tensor([0.0, 0.4, 1.0], dtype=torch.float64),
    "falling": torch.tensor([1.0, 0.3, -0.2], dtype=torch.float64),
}


class Network(nn.Module):
    """A small field that depends on time."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        draw = lambda *shape: nn.Parameter(torch.randn(*shape, generator=generator, dtype=torch.float64))  # noqa: E731
        self.first, self.second, self.bias = draw(3, 8), draw(8, 3), draw(8)

    def forward(self, t, y):
        return torch.tanh(y @ self.first + t * self.bias) @ self.second


class Pair(Network):
    """The same on a tuple of tensors."""

    def forward(self, t, state):
        y, z = state
        return super().forward(t, y) * z, -z.sin() * y.mean()


def rms(tensor):
    """torchdiffeq's norm, which no gradient passes."""
    return tensor.detach().pow(2).mean().sqrt()


def largest_rms(state):
    """torchdiffeq's norm of a tuple, which no gradient passes."""
    return max(map(rms, state))


def gradients(odeint, t, *, field=Network, **arguments):
    """d loss / d y0 and all parameters, the loss being one of all outputs."""
    func = field()
    generator = torch.Generator().manual_seed(5)
    y0 = torch.randn(4, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    start, state = (y0,), y0
    if field is Pair:
        z0 = torch.rand(1, 1, generator=generator, dtype=torch.float64).requires_grad_()
        start = state = (y0, z0)
    ys = odeint(func, state, t, **arguments)
    ys = ys if isinstance(ys, tuple) else (ys,)
    weight = torch.linspace(1.0, 2.0, len(t), dtype=torch.float64)
    loss = sum((weight[:, None, None] * y.reshape(len(t), -1, 1).cos()).sum() for y in ys)
    wanted = (*start, *func.parameters())
    return torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss, wanted)])


def off(one, other):
    return ((one - other).norm() / other.norm()).item()


@pytest.mark.parametrize("field", [Network, Pair])
@pytest.mark.parametrize("direction", TIMES)
@pytest.mark.parametrize("method", ["euler", "midpoint", "heun2", "heun3", "rk4"])
@pytest.mark.parametrize("options", [{"step_size": 0.1}, {"step_size": 0.15, "interp": "cubic"}, {}])
def test_direct_through_fixed_steps(method, direction, field, options):
    ours = gradients(odebench.odeint, TIMES[direction], field=field, method=method, options=options)
    theirs = gradients(torchdiffeq.odeint, TIMES[direction], field=field, method=method, options=options)
    assert off(ours, theirs) < 1e-13


@pytest.mark.parametrize("field", [Network, Pair])
@pytest.mark.parametrize("direction", TIMES)
@pytest.mark.parametrize("method", ["fehlberg2", "adaptive_heun", "bosh3", "dopri5", "dopri8"])
def test_direct_through_adaptive_steps(method, direction, field):
    """With a first step that is given, no step size of torchdiffeq's is differentiated either."""
    arguments = {"method": method, "rtol": 1e-4, "atol": 1e-5, "options": {"first_step": 0.1}}
    ours = gradients(odebench.odeint, TIMES[direction], field=field, **arguments)
    theirs = gradients(torchdiffeq.odeint, TIMES[direction], field=field, **arguments)
    assert off(ours, theirs) < (1e-8 if method == "dopri8" else 1e-12)


@pytest.mark.parametrize("field", [Network, Pair])
def test_the_only_difference_is_that_torchdiffeq_differentiates_its_first_step(field):
    """A norm that no gradient passes makes its first step a constant, and both gradients equal to rounding."""
    arguments = {"method": "dopri5", "rtol": 1e-3, "atol": 1e-3}
    ours = gradients(odebench.odeint, TIMES["rising"], field=field, **arguments)
    theirs = gradients(torchdiffeq.odeint, TIMES["rising"], field=field, **arguments)
    constant = {"norm": rms if field is Network else largest_rms}
    theirs_constant = gradients(torchdiffeq.odeint, TIMES["rising"], field=field, **arguments, options=constant)
    assert off(ours, theirs_constant) < 1e-12
    assert 1e-6 < off(ours, theirs) < 1e-2


@pytest.mark.parametrize("gradient", ["anode", "step-checkpoint", "revolve", "sqrt-checkpoint"])
@pytest.mark.parametrize("field", [Network, Pair])
@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("rk4", {"step_size": 0.15}),
        ("heun2", {"step_size": 0.15, "interp": "cubic", "perturb": True}),
        ("dopri5", {}),
        ("adaptive_heun", {}),
        ("dopri5", {"jump_t": torch.tensor([0.2, 0.5], dtype=torch.float64)}),
    ],
)
def test_exact_methods_repeat_the_steps(gradient, method, options, field):
    arguments = {"field": field, "method": method, "options": options, "rtol": 1e-4, "atol": 1e-4}
    expected = gradients(odebench.odeint, TIMES["rising"], **arguments)
    got = gradients(odebench.odeint, TIMES["rising"], gradient=gradient, **arguments)
    assert off(got, expected) < 1e-12


@pytest.mark.parametrize("field", [Network, Pair])
@pytest.mark.parametrize("direction", TIMES)
@pytest.mark.parametrize(("method", "options"), [("rk4", {"step_size": 0.1}), ("dopri5", {}), ("bosh3", {})])
def test_the_continuous_adjoint_is_that_of_torchdiffeq(method, options, direction, field):
    """Both are the adjoint's solution up to the error of their steps; with equal steps, to rounding."""
    arguments = {"method": method, "options": options, "rtol": 1e-7, "atol": 1e-9}
    ours = gradients(odebench.odeint, TIMES[direction], field=field, gradient="continuous-adjoint", **arguments)
    theirs = gradients(torchdiffeq.odeint_adjoint, TIMES[direction], field=field, **arguments)
    assert off(ours, theirs) < (1e-13 if method == "rk4" else 2e-5)
    exact = gradients(odebench.odeint, TIMES[direction], field=field, rtol=1e-11, atol=1e-11)
    assert off(ours, exact) < 1e-3


def test_a_gradient_method_may_be_a_table():
    table = {"name": "continuous-adjoint", "rtol": 1e-3, "atol": 1e-3}
    loose = gradients(odebench.odeint, TIMES["rising"], gradient=table)
    exact = gradients(odebench.odeint, TIMES["rising"])
    assert 1e-8 < off(loose, exact) < 1e-2
