"""The oracle itself, against exact solutions and against torchdiffeq's fixed-step solvers."""

import math

import pytest
import torch

from tests.oracles import explicit_rk

# measured order of the error at t1 = 2 of y' = y cos(t); steps chosen so that errors stay above rounding
ORDERS = {
    "euler": 1,
    "midpoint": 2,
    "heun": 2,
    "adaptive-heun": 2,
    "ralston": 2,
    "fehlberg21": 2,
    "heun3": 3,
    "ssprk3": 3,
    "bosh3": 3,
    "rk4": 4,
    "rk38": 4,
    "dopri5": 5,
    "tsit5": 5,
    "dopri8": 8,
}


def test_every_method_of_the_oracle_has_a_known_order():
    assert set(ORDERS) == set(explicit_rk.METHODS)


@pytest.mark.parametrize(("method", "order"), list(ORDERS.items()))
def test_halving_the_step_divides_the_error_by_two_to_the_order(method, order):
    y0 = torch.tensor([1.0, -0.5], dtype=torch.float64)
    exact = y0 * math.exp(math.sin(2.0))
    steps = 4 if order == 8 else 40

    def error(n):
        grid = explicit_rk.uniform_grid(0.0, 2.0, n)
        return float((explicit_rk.integrate(lambda t, y: y * math.cos(t), y0, grid, method)[-1] - exact).abs().max())

    assert math.log2(error(steps) / error(2 * steps)) == pytest.approx(order, abs=0.45)


@pytest.mark.parametrize(
    ("method", "theirs"),
    [("euler", "euler"), ("midpoint", "midpoint"), ("heun", "heun2"), ("heun3", "heun3"), ("rk38", "rk4")],
)
def test_torchdiffeq_takes_the_same_fixed_steps(method, theirs):
    torchdiffeq = pytest.importorskip("torchdiffeq")

    def field(t, y):
        return torch.stack((y[1] * math.cos(float(t)), -y[0] + float(t) * y[1] ** 2))

    y0 = torch.tensor([1.0, 0.25], dtype=torch.float64)
    times = torch.linspace(0.0, 1.0, 9, dtype=torch.float64)
    expected = torchdiffeq.odeint(field, y0, times, method=theirs)
    got = explicit_rk.integrate(field, y0, explicit_rk.uniform_grid(0.0, 1.0, 8), method)
    torch.testing.assert_close(got, expected, rtol=1e-14, atol=1e-15)
