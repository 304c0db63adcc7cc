"""The first step against the textbook's formula, computed with numpy, and against what it should not depend on."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from odebench.api import build
from odebench.contract import StepSize
from tests.policies.scripted import begun

RANDOM = np.random.default_rng(5)
W1, W2 = RANDOM.normal(size=(3, 16)), RANDOM.normal(size=(16, 3))
Y0 = RANDOM.normal(size=(7, 3))


def numpy_field(t, y):
    return np.tanh(y @ W1 + np.sin(t)) @ W2


class Net(nn.Module):
    """The same with torch, counting its calls."""

    def __init__(self, dtype=torch.float64):
        super().__init__()
        self.w1, self.w2 = nn.Parameter(torch.tensor(W1, dtype=dtype)), nn.Parameter(torch.tensor(W2, dtype=dtype))
        self.calls = []

    def forward(self, t, y):
        self.calls.append((t.item(), t.dtype, torch.is_grad_enabled()))
        return torch.tanh(y @ self.w1 + torch.sin(t)) @ self.w2


def first(field, y0, solver="euler", ts=(0.0, 1.0), **parameters) -> float:
    """The first step, with room for any."""
    table = {"name": "step-adaptation", "max_steps": 10**9} | parameters
    return begun(build("step_policy", table), solver, None, ts, field, y0)[1].step_size


def by_numpy(field, y0, p, ts=(0.0, 1.0), weights=None) -> float:
    """Hairer, Nørsett, Wanner I, page 169, in the time s = (t - t0) / span, with the mean over rows of the norm of a row."""
    span = ts[1] - ts[0]
    scaled = lambda s, y: span * field(ts[0] + s * span, y)  # noqa: E731

    def norm(v):
        if weights is None:
            return np.mean([math.sqrt(sum(x * x for x in row)) for row in v])
        rtol, atol = weights
        sizes = atol + rtol * np.abs(y0)
        return np.mean([math.sqrt(np.mean((row / size) ** 2)) for row, size in zip(v, sizes, strict=True)])

    d0, d1 = norm(y0), norm(scaled(0.0, y0))
    h0 = 1e-6 if d0 < 1e-5 or d1 < 1e-5 else 0.01 * d0 / d1
    d2 = norm(scaled(h0, y0 + h0 * scaled(0.0, y0)) - scaled(0.0, y0)) / h0
    h1 = max(1e-6, h0 * 1e-3) if max(d1, d2) < 1e-15 else (0.01 / max(d1, d2)) ** (1 / (p + 1))
    return abs(span) * min(100 * h0, h1, 1.0)


@pytest.mark.parametrize("ts", [(0.0, 1.0), (0.5, 3.5), (2.0, -1.0)])
@pytest.mark.parametrize(("solver", "p"), [("euler", 1), ("midpoint", 2), ("rk4", 4)])
def test_it_is_the_textbooks(ts, solver, p):
    y0 = torch.tensor(Y0)
    assert first(Net(), y0, solver, ts) == pytest.approx(by_numpy(numpy_field, Y0, p, ts), rel=1e-12)
    weighted = first(Net(), y0, solver, ts, norm="weighted", norm_rtol=1e-2, norm_atol=1e-4)
    assert weighted == pytest.approx(by_numpy(numpy_field, Y0, p, ts, (1e-2, 1e-4)), rel=1e-12)
    assert weighted < first(Net(), y0, solver, ts)


def test_it_is_known_in_closed_form_for_a_decay():
    """y' = -4y, |y| = 1: d1 = 4, d2 = 16, so h1 = √(0.01 / 16) = 0.025 for Euler, and 100 h0 = 1/4."""
    y0 = torch.tensor([[0.6, 0.8], [1.0, 0.0]], dtype=torch.float64)
    assert first(lambda t, y: -4.0 * y, y0) == pytest.approx(0.025, rel=1e-6)
    # A fast, small field: 100 h0 = |y| / |f| decides.
    assert first(lambda t, y: -4.0 * y, 1e-4 * y0, "rk4") == pytest.approx(0.25, rel=1e-6)


def test_it_looks_at_all_axes_of_the_state_and_not_at_the_last_alone():
    """The same numbers as an image or as a vector are the same state."""
    images = torch.tensor(RANDOM.normal(size=(5, 3, 4, 4)))
    field = lambda t, y: -3.0 * y.square()  # noqa: E731
    vectors = first(field, images.flatten(1))
    assert vectors == pytest.approx(by_numpy(lambda t, y: -3.0 * y**2, images.flatten(1).numpy(), 1), rel=1e-12)
    for shape in ((3, 4, 4), (48, 1), (1, 48)):
        assert first(field, images.reshape(5, *shape)) == pytest.approx(vectors, rel=1e-12)
    pair = lambda t, y: tuple(field(t, leaf) for leaf in y)  # noqa: E731
    assert first(pair, (images[:, :1], images[:, 1:].flatten(1))) == pytest.approx(vectors, rel=1e-12)
    scalars = images[:, 0, 0, 0]
    assert first(field, scalars) == pytest.approx(by_numpy(lambda t, y: -3.0 * y**2, scalars[:, None].numpy(), 1))


def test_states_of_zeros_have_a_first_step():
    """The heuristic then begins with h0 = 1e-6, of which 100 h0 = 1e-4 and the fallback 1e-6 are ordinary numbers."""
    zeros = torch.zeros(4, 3, dtype=torch.float64)
    assert first(lambda t, y: torch.ones_like(y), zeros) == pytest.approx(1e-4)
    assert first(lambda t, y: torch.zeros_like(y), zeros) == pytest.approx(1e-6)
    assert first(lambda t, y: torch.zeros_like(y), torch.ones(4, 3)) == pytest.approx(1e-6)
    assert first(lambda t, y: y, torch.zeros(0, 3)) == pytest.approx(1e-6)


def test_it_takes_neither_more_than_the_most_steps_nor_more_than_the_span():
    zeros, slow = torch.zeros(4, 3), lambda t, y: 1e-3 * y
    assert first(lambda t, y: torch.ones_like(y), zeros, max_steps=500, ts=(0.0, 2.0)) == 2.0 / 500
    assert first(slow, torch.ones(4, 3), ts=(0.0, 2.0)) == 2.0
    assert first(slow, torch.ones(4, 3), ts=(0.0, 2.0), largest_step=0.25) == 0.5


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_field_that_is_not_finite_gets_the_finest_steps(bad):
    y0 = torch.ones(2, 2)
    assert first(lambda t, y: y * bad, y0, max_steps=500) == 1.0 / 500
    assert first(lambda t, y: y if t == 0 else y * bad, y0, max_steps=500) == 1.0 / 500


def test_it_costs_two_evaluations_inside_the_span_and_none_where_a_step_is_given():
    net = Net(torch.float32)
    first(net, torch.tensor(Y0, dtype=torch.bfloat16).float(), ts=(3.0, 1.0))
    (start, dtype, recorded), (ahead, _, _) = net.calls
    assert start == 3.0 and 1.0 <= ahead < 3.0 and dtype == torch.float32 and not recorded
    net = Net()
    begun(build("step_policy", "step-adaptation"), "euler", StepSize(steps=4), (0.0, 1.0), net, torch.tensor(Y0))
    assert net.calls == []
    slow = []
    first(lambda t, y: (slow.append(t.item()), 1e-6 * y)[1], 1e3 * torch.ones(2, 2))
    assert max(slow) <= 1.0


def test_it_leaves_no_trace_in_running_statistics_and_random_numbers():
    class Noisy(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.drop = nn.BatchNorm1d(3), nn.Dropout(0.5)

        def forward(self, t, y):
            return self.drop(self.norm(y))

    field, y0 = Noisy(), torch.randn(8, 3)
    before = torch.get_rng_state(), field.norm.running_mean.clone(), field.norm.num_batches_tracked.clone()
    y0.requires_grad_()
    first(field, y0)
    after = torch.get_rng_state(), field.norm.running_mean, field.norm.num_batches_tracked
    assert all(torch.equal(x, y) for x, y in zip(before, after, strict=True))
