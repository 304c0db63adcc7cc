"""Which times can be asked for, and where in the steps they lie."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from odebench.api import solve
from odebench.contract import Grid, StepSize
from odebench.errors import GridError
from odebench.numerics.outputs import checked_times, nearest_fitting_count, outputs_by_step
from odebench.numerics.uniform import uniform_grid

Y0 = torch.tensor([[1.0], [-0.5]], dtype=torch.float64)


def decay(t, y):
    return -y


@pytest.mark.parametrize(
    ("times", "text"),
    [
        ((0.0,), "at least a start and an end"),
        ((0.0, math.nan), "not finite"),
        ((0.0, math.inf), "not finite"),
        ((0.0, 1.0, 1.0), "rise or fall strictly; it goes from 1.0 to 1.0"),
        ((0.0, 1.0, 0.5), "rise or fall strictly; it goes from 1.0 to 0.5"),
        (torch.zeros(2, 2), "shape (2, 2)"),
        (1.0, "ts is 1.0; it must be a sequence of numbers"),
        (torch.tensor([0.0, 1.0], requires_grad=True), "Detach them"),
    ],
)
def test_times_that_describe_no_solve_are_refused(times, text):
    with pytest.raises(GridError) as caught:
        checked_times(times)
    assert text in str(caught.value)


def test_times_may_be_tensors_tuples_and_integers():
    assert checked_times(torch.tensor([0, 1])) == checked_times((0, 1)) == [0.0, 1.0]
    assert checked_times(torch.tensor([2.0, 0.5], dtype=torch.float64)) == [2.0, 0.5]


@settings(max_examples=60, deadline=None)
@given(
    start=st.floats(-5, 5),
    span=st.floats(0.01, 20),
    steps=st.integers(1, 400),
    sign=st.sampled_from([1, -1]),
    data=st.data(),
)
def test_a_uniform_grid_has_no_gaps_and_ends_at_the_end(start, span, steps, sign, data):
    end = start + sign * span
    grid = uniform_grid(StepSize(steps=steps), start, end)
    t, dt = grid.t.tolist(), grid.dt.tolist()
    assert len(t) == steps and t[0] == start and grid.end == end
    assert [a + h for a, h in zip(t[:-1], dt[:-1], strict=True)] == t[1:], "the end of a step is where the next starts"
    assert t[-1] + dt[-1] == pytest.approx(end, rel=1e-15, abs=1e-15)
    scale = max(abs(start), abs(end))
    for length in dt:
        assert length == pytest.approx(sign * span / steps, abs=4e-16 * scale)
    k = data.draw(st.integers(0, steps - 1))
    time = start + sign * span * k / steps
    if k > 0:
        (step, [(_, share)]), *_ = outputs_by_step((start, time, end), t, dt, end).items()
        assert (step, share) == (k - 1, 1.0), "a time on the grid is the end of a step"


@pytest.mark.parametrize("steps", [30_000, 100_000])
def test_output_times_fall_on_the_grid_however_many_steps_there_are(steps):
    """Adding up a rounded length 30 000 times moved the grid by more than a billionth of a step."""
    grid = uniform_grid(StepSize(steps=steps), 0.0, 1.0)
    for part in (0.25, 0.5, 0.3):
        placed = outputs_by_step((0.0, part, 1.0), grid.t.tolist(), grid.dt.tolist(), grid.end)
        assert placed == {round(part * steps) - 1: [(1, 1.0)], steps - 1: [(2, 1.0)]}


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("step_size", "count", "last"), [(0.3, 4, 0.1), (0.1, 10, 0.1), (0.4, 3, 0.2), (5.0, 1, 1.0), (1 / 3, 3, 1 / 3)]
)
def test_a_step_size_that_does_not_divide_the_span_ends_with_a_shorter_step(step_size, count, last, sign):
    solution = solve(decay, Y0, (0.0, sign * 1.0), solver="rk4", step_size=step_size)
    assert solution.grid.steps == count
    assert solution.grid.dt[:-1].tolist() == pytest.approx([sign * step_size] * (count - 1))
    assert solution.grid.dt[-1].item() == pytest.approx(sign * last)
    assert solution.grid.end == sign * 1.0
    polynomial = Y0.clone()  # rk4 on y' = -y multiplies by the Taylor polynomial of degree 4
    for h in solution.grid.dt.tolist():
        polynomial *= 1 - h + h**2 / 2 - h**3 / 6 + h**4 / 24
    torch.testing.assert_close(solution.y1, polynomial, rtol=1e-14, atol=0)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"steps": 0}, "whole number of at least 1"),
        ({"steps": 2.5}, "whole number of at least 1"),
        ({"step_size": 0.0}, "positive and finite"),
        ({"step_size": -0.1}, "positive and finite"),
        ({"step_size": math.inf}, "positive and finite"),
        ({"steps": 3, "step_size": 0.1}, "Give exactly one"),
    ],
)
def test_step_sizes_that_mean_nothing_are_refused(arguments, text):
    with pytest.raises(GridError, match=text):
        solve(decay, Y0, (0.0, 1.0), solver="rk4", **arguments)


def grid_of(t, dt, end):
    return Grid(t=torch.tensor(t, dtype=torch.float64), dt=torch.tensor(dt, dtype=torch.float64), end=end)


@pytest.mark.parametrize(
    ("ts", "grid", "text"),
    [
        ((0.5, 1.0), grid_of([0.0, 0.5], [0.5, 0.5], 1.0), "start at 0.5, the grid at 0.0"),
        ((0.0, -1.0), grid_of([0.0, 0.5], [0.5, 0.5], 1.0), "step 0 of the grid has dt = 0.5"),
        ((0.0, 1.0), grid_of([0.0, 0.5, 0.5], [0.5, 0.0, 0.5], 1.0), "step 1 of the grid has dt = 0.0"),
        ((0.0, 1.0), grid_of([0.0, 0.5], [0.5, math.nan], 1.0), "step 1 of the grid has dt = nan"),
        ((0.0, 1.0), grid_of([], [], 1.0), "no steps"),
        ((0.0, 1.5), grid_of([0.0, 0.5], [0.5, 0.5], 1.0), "1.5 lies beyond the end of the grid, 1.0"),
    ],
)
@pytest.mark.parametrize("gradient", ["direct", "step-checkpoint"])
def test_grids_that_do_not_fit_the_times_are_refused(ts, grid, text, gradient):
    y0 = Y0.clone().requires_grad_()
    with pytest.raises(GridError) as caught:
        solve(decay, y0, ts, solver="rk4", grid=grid, gradient=gradient)
    assert text in str(caught.value)


def test_a_solver_without_interpolant_names_the_nearest_count_that_fits():
    with pytest.raises(GridError, match="The nearest number of uniform steps that does is 20"):
        solve(decay, Y0, (0.0, 0.25, 0.4, 1.0), solver={"name": "dopri8", "adaptive": False}, steps=18)
    solution = solve(decay, Y0, (0.0, 0.25, 0.4, 1.0), solver={"name": "dopri8", "adaptive": False}, steps=20)
    exact = torch.stack([Y0 * math.exp(-t) for t in (0.0, 0.25, 0.4, 1.0)])
    torch.testing.assert_close(solution.ys, exact, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize(
    ("ts", "steps", "count"),
    [((0.0, 0.5, 1.0), 7, 8), ((0.0, 1 / 3, 1.0), 64, 63), ((0.0, math.pi / 4, 1.0), 64, None)],
)
def test_the_nearest_count(ts, steps, count):
    assert nearest_fitting_count(ts, steps) == count


@settings(max_examples=100, deadline=None)
@given(shares=st.lists(st.floats(0.001, 0.999), min_size=1, max_size=6, unique=True), sign=st.sampled_from([1, -1]))
def test_every_output_is_the_state_at_its_time(shares, sign):
    """Close together, on and between the ends of steps, forward and backward: y' = 1 + 2 t has only exact answers."""
    ts = [0.0, *(sign * share for share in sorted(shares)), sign * 1.0]
    if any(abs(b - a) < 1e-9 for a, b in itertools.pairwise(ts)):
        return
    zero = torch.zeros(1, 2, dtype=torch.float64)
    for arguments in (
        {"solver": "heun", "steps": 3},
        {"solver": "dopri5", "rtol": 1e-6},
        {"solver": "dopri8", "rtol": 1e-6},
    ):
        ys = solve(lambda t, y: torch.ones_like(y) + 2 * t, zero, ts, **arguments).ys
        expected = torch.tensor([t + t * t for t in ts], dtype=torch.float64)
        torch.testing.assert_close(ys[:, 0, 0], expected, rtol=1e-12, atol=1e-13)
