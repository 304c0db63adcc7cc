"""The policy that does nothing."""

from __future__ import annotations

import pytest

from odebench.api import build
from odebench.contract import StepSize, Tolerance, Trial
from odebench.errors import IncompatibleError
from tests.policies.scripted import begun, no_attempt


@pytest.mark.parametrize("grid", [StepSize(steps=8), StepSize(step_size=0.3), Tolerance(rtol=1e-3, atol=1e-6)])
def test_the_grid_stays_whatever_happens(grid):
    policy, first = begun(build("step_policy", "fixed"), "dopri5", grid)
    assert first is grid and not policy.due
    for metric in (0.5, 0.9, float("nan")):
        assert policy.after(Trial(metric=metric), no_attempt) is grid
    policy.load_state_dict(policy.state_dict())
    assert policy.after(Trial(metric=0.0), no_attempt) is grid


def test_it_needs_a_grid():
    with pytest.raises(IncompatibleError, match="keeps the grid that it is given, and none was given"):
        begun(build("step_policy", "fixed"), "euler")
