"""The rule of the test solver and its step, for every pair of orders."""

from __future__ import annotations

import math

import pytest

from odebench.api import build
from odebench.contract import StepSize, Trial
from odebench.errors import IncompatibleError
from odebench.policies.checking import checking_step
from tests.policies.scripted import Batch, begun


def checked_with(solver: str, steps: float, ts=(0.0, 1.0), **parameters):
    """Name and step of the test, as a share of the span."""
    table = {"name": "step-adaptation", "check_every": 1} | parameters
    span = abs(ts[1] - ts[0])
    policy, _ = begun(build("step_policy", table), solver, StepSize(step_size=span / steps), ts)
    batch = Batch([0.5, 0.5])
    policy.after(Trial(metric=0.5), batch)
    name, grid = batch.asked[0]
    return name, grid.step_size / span


@pytest.mark.parametrize("ts", [(0.0, 1.0), (1.0, 4.0), (2.0, -5.0)])
@pytest.mark.parametrize(
    ("solver", "test", "name", "published"),
    [
        ("euler", None, "midpoint", lambda h: h if 1 / h > 50 else math.sqrt(h / 50)),
        ("euler", "rk4", "rk4", lambda h: h if 1 / h**3 > 50 else (h / 50) ** (1 / 4)),
        ("midpoint", None, "rk4", lambda h: h if 1 / h**2 > 50 else (h**2 / 50) ** (1 / 4)),
        ("rk4", None, "rk4", lambda h: h / 50 ** (1 / 4)),
        ("heun3", None, "rk4", lambda h: h if 1 / h > 50 else (h**3 / 50) ** (1 / 4)),
        ("rk38", None, "rk38", lambda h: h / 50 ** (1 / 4)),
        ("dopri5", None, "dopri5", lambda h: h / 50 ** (1 / 5)),
        ("kvaerno3", None, "kvaerno3", lambda h: h / 50 ** (1 / 3)),
        ("euler", {"name": "euler"}, "euler", lambda h: h / 50),
    ],
)  # fmt: skip
def test_each_solver_is_checked_by_its_own_rule(solver, test, name, published, ts):
    for steps in (1, 2, 3.5, 3.7, 7, 8, 49, 51, 300):
        found, share = checked_with(solver, steps, ts, test_solver=test)
        assert found == name
        assert share == pytest.approx(published(1 / steps), rel=1e-12), steps


@pytest.mark.parametrize("p", range(1, 9))
def test_the_test_is_so_many_times_more_accurate_and_no_finer_than_that(p):
    for q in range(p, 9):
        for factor in (1.0, 50.0, 1e4):
            for steps in (1, 2, 5, 17, 64, 500):
                h = 1 / steps
                tested = checking_step(h, p, q, factor)
                assert tested <= h
                assert tested**q <= h**p / factor * (1 + 1e-12)
                assert tested == h or tested**q >= h**p / factor * (1 - 1e-12)
                if q > p and h ** (q - p) < 1 / factor:
                    assert tested == h


def test_the_same_step_is_the_very_same():
    """Divided by the span and multiplied again, these steps are others: a sliver more would be one more step."""
    for span, steps in ((0.7, 51), (1.7, 56), (3.3, 53), (9.1, 51)):
        assert span / steps / span * span != span / steps
        table = {"name": "step-adaptation", "check_every": 1}
        policy, first = begun(build("step_policy", table), "euler", StepSize(steps=steps), (0.0, span))
        batch = Batch([0.5, 0.0])
        policy.after(Trial(metric=0.5), batch)
        assert batch.asked[0][1].step_size == first.step_size


def test_a_test_solver_of_lower_order_is_refused():
    with pytest.raises(IncompatibleError, match="test solver 'midpoint' is of order 2, below order 4 of 'rk4'"):
        checked_with("rk4", 8, test_solver="midpoint")
