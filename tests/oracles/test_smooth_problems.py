"""The closed forms satisfy their equations."""

import pytest
import torch

from tests.oracles.smooth_problems import PROBLEMS, observed_order


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_closed_form_satisfies_the_equation(name):
    problem = PROBLEMS[name]
    torch.testing.assert_close(problem.exact(0.0), problem.y0)
    for t in (0.3, 1.1, 1.9):
        h = 1e-3  # the error of the difference is O(h⁴)
        values = [problem.exact(t + k * h) for k in (-2, -1, 1, 2)]
        slope = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * h)
        torch.testing.assert_close(slope, problem.field(t, problem.exact(t)), rtol=1e-9, atol=1e-9)


def test_the_order_is_the_median_slope_inside_the_window():
    assert observed_order([1e-1, 8e-3, 1e-3, 1.25e-4, 1.5625e-5, 1e-15], 1.0) == pytest.approx(3.0)
    assert observed_order([1e-1, 8e-3, 1e-3, 1e-15], 1.0) is None
