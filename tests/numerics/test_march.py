"""The loops: they end, at the end, with the states they promise, or they say why not."""

from __future__ import annotations

import math

import pytest
import torch

from odebench.api import build, solve
from odebench.contract import Tolerance
from odebench.errors import DivergedError, GridError, IncompatibleError
from odebench.plugins import build_registry
from tests.oracles import explicit_rk
from tests.oracles.smooth_problems import PROBLEMS

EXPLICIT = sorted(explicit_rk.METHODS)
SOLVERS = sorted(entry.name for entry in build_registry(prefixes=()).entries("solver"))
ADAPTIVE = [name for name in SOLVERS if build("solver", name).adaptive]
ROTATION = PROBLEMS["rotation"]


def limited(**changes):
    return Tolerance(**{"rtol": 1e-6, "atol": 1e-6, "max_steps": 3000, **changes})


@pytest.mark.parametrize("name", EXPLICIT)
@pytest.mark.parametrize("ts", [(0.0, 1.0), (0.3, -1.1)])
def test_fixed_steps_equal_the_oracles(name, ts):
    solution = solve(ROTATION.field, ROTATION.y0, ts, solver=name, steps=7)
    grid = list(zip(solution.grid.t.tolist(), solution.grid.dt.tolist(), strict=True))
    expected = explicit_rk.integrate(ROTATION.field, ROTATION.y0, grid, name)
    torch.testing.assert_close(solution.y1, expected[-1], rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("name", [name for name in ADAPTIVE if name in EXPLICIT])
def test_accepted_steps_equal_the_oracles(name):
    """The derivative that a step takes over from the one before is the one that it would compute."""
    solution = solve(ROTATION.field, ROTATION.y0, (0.0, 0.7, 2.0), solver=name, rtol=1e-5, atol=1e-7)
    grid = list(zip(solution.grid.t.tolist(), solution.grid.dt.tolist(), strict=True))
    expected = explicit_rk.integrate(ROTATION.field, ROTATION.y0, grid, name)
    torch.testing.assert_close(solution.y1, expected[-1], rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize(
    "ts", [(0.0, 2.0), (0.0, 0.1, 1.0 / 3.0, 1.9, 2.0), (2.0, 1.7, -0.3), (1e6, 1e6 + 1.0), (-0.1, 0.9)]
)
@pytest.mark.parametrize("name", ADAPTIVE)
def test_a_grid_repeats_its_solve_bit_for_bit(name, ts):
    first = solve(ROTATION.field, ROTATION.y0, ts, solver=name, rtol=1e-4, atol=1e-6)
    assert first.grid.t.dtype == torch.float64 and first.grid.t.device.type == "cpu"
    assert first.grid.t[0] == ts[0] and first.grid.end == ts[-1]
    gaps = (first.grid.t[:-1] + first.grid.dt[:-1] - first.grid.t[1:]).abs()
    assert bool((gaps <= 2.3e-16 * max(map(abs, ts))).all())
    again = solve(ROTATION.field, ROTATION.y0, ts, solver=name, grid=first.grid)
    assert torch.equal(first.ys, again.ys)
    assert again.grid is first.grid
    with_graph = solve(ROTATION.field, ROTATION.y0.clone().requires_grad_(), ts, solver=name, grid=first.grid)
    assert torch.equal(first.ys, with_graph.ys.detach()), "a graph must not change a bit"


@pytest.mark.parametrize("name", ADAPTIVE)
def test_steps_pass_output_times_only_where_there_is_an_interpolant(name):
    ts = (0.0, 0.33, 0.77, 1.5, 2.0)
    solver = build("solver", name)
    few = solve(ROTATION.field, ROTATION.y0, (0.0, 2.0), solver=name, rtol=1e-5)
    many = solve(ROTATION.field, ROTATION.y0, ts, solver=name, rtol=1e-5)
    if solver.interpolates:
        assert torch.equal(few.grid.t, many.grid.t), "output times do not change the steps"
        assert torch.equal(few.y1, many.y1)
    else:
        assert name == "dopri8"
        assert set(ts[1:-1]) <= set(many.grid.t.tolist()), "each output time starts a step"
    exact = torch.stack([ROTATION.exact(t) for t in ts])
    assert (many.ys - exact).abs().max() < (0.1 if name == "fehlberg21" else 1e-3)


def test_a_step_cut_short_for_an_output_does_not_shorten_the_next():
    free = solve(ROTATION.field, ROTATION.y0, (0.0, 20.0), solver="dopri8", rtol=1e-8).grid
    soon = free.t[5].item() + 1e-6
    cut = solve(ROTATION.field, ROTATION.y0, (0.0, soon, 20.0), solver="dopri8", rtol=1e-8).grid
    assert cut.t[6] == soon and cut.dt[5] < 1.1e-6
    assert cut.dt[6] > 0.8 * free.dt[5], "as long as was planned before"


def test_what_a_step_takes_over_is_computed_where_it_starts():
    """Where t + dt misses an output time by a rounding, a repeated step would not find the same derivative there."""
    field = lambda t, y: 1e-3 * torch.cos(1.45e8 * t) * torch.ones_like(y)  # noqa: E731
    ts = (0.0, 0.5978860651946428, 1.8040484098694443, 4.0)  # t + (t' - t) is not t' for the two in the middle
    first = solve(
        field, torch.zeros(1, 1, dtype=torch.float64), ts, solver="dopri8", grid=limited(atol=1.0, first_step=ts[-1])
    )
    starts, lengths = first.grid.t, first.grid.dt
    assert bool((starts[:-1] + lengths[:-1] != starts[1:]).any()), "or the test shows nothing"
    again = solve(field, torch.zeros(1, 1, dtype=torch.float64), ts, solver="dopri8", grid=first.grid)
    assert torch.equal(first.ys, again.ys)


FATAL = {
    "nan": (lambda t, y: y * math.nan, "not finite"),
    "inf": (lambda t, y: y * math.inf, "not finite"),
    "nan later": (lambda t, y: torch.where(t > 0.5, math.nan, -1.0) * y, "t = 0.49|t = 0.5"),
    "blow-up": (lambda t, y: y * y, "t = 0.99|t = 1.0"),
    "sliding": (lambda t, y: -torch.sign(y - 0.5), "not enough|minimum"),
}


@pytest.mark.parametrize("gradient", ["direct", "anode", "step-checkpoint"])
@pytest.mark.parametrize("fate", FATAL)
def test_what_cannot_be_solved_ends_in_diverged(fate, gradient):
    field, text = FATAL[fate]
    y0 = torch.ones(2, 1, dtype=torch.float64, requires_grad=True)
    with pytest.raises(DivergedError, match=text) as caught:
        solve(field, y0, (0.0, 2.0), grid=limited(rtol=1e-9, atol=1e-9), gradient=gradient)
    assert "on the way from 0.0 to 2.0" in str(caught.value)
    assert caught.value.solution is None or caught.value.solution.t.dtype == torch.float64


@pytest.mark.parametrize("name", ADAPTIVE)
def test_every_adaptive_solver_gives_up(name):
    y0 = torch.ones(1, 2, dtype=torch.float64)
    for fate in ("nan", "inf", "blow-up")[: 2 if build("solver", name).implicit else 3]:
        field = FATAL[fate][0]
        with pytest.raises(DivergedError):
            solve(field, y0, (0.0, 2.0), solver=name, grid=limited())
        with pytest.raises(DivergedError):
            solve(lambda t, y, field=field: -field(t, y), y0, (0.0, -2.0), solver=name, grid=limited())


def test_the_number_of_attempts_is_bounded():
    with pytest.raises(DivergedError, match="10 steps were not enough") as caught:
        solve(ROTATION.field, ROTATION.y0, (0.0, 50.0), grid=limited(max_steps=10))
    assert caught.value.solution.steps <= 10
    assert caught.value.solution.end < 50.0
    needed = solve(ROTATION.field, ROTATION.y0, (0.0, 50.0), grid=limited())
    attempts = needed.stats.accepted + needed.stats.rejected
    solve(ROTATION.field, ROTATION.y0, (0.0, 50.0), grid=limited(max_steps=attempts))


def test_the_smallest_step():
    stiff = lambda t, y: -1e4 * (y - torch.cos(t))  # noqa: E731
    y0 = torch.zeros(1, 1, dtype=torch.float64)
    with pytest.raises(DivergedError, match="fell below its minimum .*< 0.01"):
        solve(stiff, y0, (0.0, 1.0), grid=limited(min_step=0.01))
    # A minimum above the first guess is where to start, not a reason to give up; the last step may be shorter.
    calm = solve(lambda t, y: -y, y0 + 1, (0.0, 1.0), grid=limited(min_step=0.15))
    assert bool((calm.grid.dt[:-1] >= 0.15).all())
    torch.testing.assert_close(calm.y1, (y0 + 1) * math.exp(-1.0), rtol=1e-5, atol=0)


@pytest.mark.parametrize("name", ADAPTIVE)
def test_a_discontinuous_field_is_passed(name):
    y0 = torch.zeros(1, 1, dtype=torch.float64)
    kink = lambda t, y: torch.where(t < 0.5, 1.0, -3.0) * torch.ones_like(y)  # noqa: E731
    solution = solve(kink, y0, (0.0, 1.0), solver=name, rtol=1e-6, atol=1e-6)
    assert solution.y1.item() == pytest.approx(-1.0, abs=2e-3 if name == "fehlberg21" else 1e-4)
    assert solution.stats.rejected > 0


@pytest.mark.parametrize("batch", ["joint", "per-sample"])
def test_elements_that_are_zero_have_no_relative_error(batch):
    y0 = torch.tensor([[1.0, 0.0], [0.0, 0.0]], dtype=torch.float64)
    field = lambda t, y: -y  # noqa: E731
    ys = solve(field, y0, (0.0, 1.0), grid=limited(atol=0.0, batch=batch)).ys
    torch.testing.assert_close(ys[-1], y0 * math.exp(-1.0), rtol=1e-5, atol=0)
    # From zero with atol = 0 nothing but an exact step is good enough; where there is none it must end.
    ys = solve(lambda t, y: torch.ones_like(y), y0 * 0, (0.0, 1.0), grid=limited(atol=0.0, batch="joint")).ys
    torch.testing.assert_close(ys[-1], torch.ones_like(y0))


def test_a_first_step_that_is_given_is_taken():
    solution = solve(ROTATION.field, ROTATION.y0, (0.0, 2.0), grid=limited(first_step=1e-3))
    assert solution.grid.dt[0] == 1e-3
    back = solve(ROTATION.field, ROTATION.y0, (2.0, 0.0), grid=limited(first_step=1e-3))
    assert back.grid.dt[0] == -1e-3
    whole = solve(lambda t, y: 0 * y, ROTATION.y0, (0.0, 2.0), grid=limited(first_step=100.0))
    assert whole.grid.dt.tolist() == [2.0]


@pytest.mark.parametrize("span", [(0.0, 1e-12), (1e6, 1e6 + 1e-7), (0.0, 1e12), (-1.0, 1.0), (1.0, 1.0 - 1e-13)])
def test_spans_of_any_length_end_exactly_at_the_end(span):
    length = span[1] - span[0]
    y0 = torch.ones(1, 1, dtype=torch.float64)
    for arguments in ({"rtol": 1e-6}, {"solver": "dopri8", "rtol": 1e-6}, {"solver": "rk4", "steps": 3}):
        solution = solve(lambda t, y: -y / length, y0, span, **arguments)
        assert solution.grid.end == span[1]
        assert solution.y1.item() == pytest.approx(math.exp(-1.0), rel=1e-3)


def test_solvers_of_fixed_steps_take_no_tolerance():
    for solver in ("rk4", {"name": "dopri5", "adaptive": False}):
        with pytest.raises(IncompatibleError, match="Give steps or step_size instead"):
            solve(ROTATION.field, ROTATION.y0, (0.0, 1.0), solver=solver, grid=limited())
        with pytest.raises(GridError, match="give steps or step_size"):
            solve(ROTATION.field, ROTATION.y0, (0.0, 1.0), solver=solver, rtol=1e-3)
    with pytest.raises(IncompatibleError, match="no error estimate"):
        build("solver", {"name": "rk4", "adaptive": True})


def test_the_initial_state_is_not_touched():
    y0 = torch.linspace(-1, 1, 12, dtype=torch.float64).reshape(3, 4).t()
    kept, version = y0.clone(), y0._version
    assert not y0.is_contiguous()
    for arguments in ({"steps": 3}, {"rtol": 1e-3}, {"rtol": 1e-3, "batch": "per-sample"}):
        solution = solve(lambda t, y: -y, y0, (0.0, 0.4, 1.0), **arguments)
        assert torch.equal(solution.ys[0], kept) and y0._version == version
        solution.ys.zero_()
        assert torch.equal(y0, kept), "what a solve returns is not the state that it was given"
