"""The solvers: torchdiffeq's own results, on the steps that odebench asks for."""

from __future__ import annotations

import functools
import itertools
import math

import pytest
import torch
import torchdiffeq

import odebench
import odebench_torchdiffeq
from odebench.errors import DivergedError, GridError, IncompatibleError

SOLVERS: list[type] = []
odebench_torchdiffeq.odebench_register_solvers(SOLVERS.append)
ADAPTIVE = [s for s in SOLVERS if s.adaptive and s.differentiable]
FIXED = [s for s in SOLVERS if not s.adaptive]
(SCIPY,) = [s for s in SOLVERS if not s.differentiable]
ADAMS = [s for s in FIXED if s.stages is None]

TIMES = {"rising": [0.0, 0.5, 2.0], "falling": [2.0, 1.0, 0.5]}
STATE = torch.tensor([[1.2, 0.0], [0.6, -0.8], [0.1, 0.4]], dtype=torch.float64)

by_name = lambda solver: solver.name.partition("/")[2]  # noqa: E731
each = lambda solvers: pytest.mark.parametrize("solver", solvers, ids=by_name)  # noqa: E731
both_directions = pytest.mark.parametrize("ts", TIMES.values(), ids=TIMES)


class Pendulum:
    """A forced pendulum whose evaluations are remembered by their times."""

    def __init__(self):
        self.times = []

    def __call__(self, t, y):
        assert t.dim() == 0
        self.times.append(t.item())
        return torch.stack([y[..., 1], torch.cos(2.0 * t) - 2.0 * torch.sin(y[..., 0])], dim=-1)


def off(got, expected):
    return ((got - expected).norm() / expected.norm()).item()


@functools.cache
def exact_at(*ts):
    return odebench.solve(Pendulum(), STATE, ts, rtol=1e-12, atol=1e-13).ys


def exact(ts):
    return exact_at(*ts)


def observed_orders(solver, counts, request):
    errors = [off(solver.solve(Pendulum(), STATE, [0.0, 2.0], request(n)).y1, exact([0.0, 2.0])[-1]) for n in counts]
    return [math.log2(one / other) for one, other in itertools.pairwise(errors)]


@both_directions
@each([s for s in SOLVERS if s.adaptive])
def test_a_tolerance_gives_what_torchdiffeq_gives(solver, ts):
    """Bit for bit, step for step."""
    ours, theirs = Pendulum(), Pendulum()
    tolerance = 1e-3 if solver().order == 2 else 1e-7
    got = solver().solve(ours, STATE, ts, odebench.Tolerance(rtol=tolerance, atol=tolerance))
    t = torch.tensor(ts, dtype=torch.float64)
    expected = torchdiffeq.odeint(theirs, STATE, t, rtol=tolerance, atol=tolerance, method=solver.method)
    assert torch.equal(got.ys, expected)
    assert ours.times == theirs.times
    assert got.stats.evaluations_forward == len(theirs.times)
    assert got.stats.evaluations_backward == 0


@both_directions
@each(ADAPTIVE)
def test_the_accepted_steps_are_told_and_can_be_repeated(solver, ts):
    field = Pendulum()
    got = solver().solve(field, STATE, ts, odebench.Tolerance(rtol=1e-4, atol=1e-4))
    grid, stats = got.grid, got.stats
    assert grid.t[0] == ts[0]
    torch.testing.assert_close(grid.t[:-1] + grid.dt[:-1], grid.t[1:], rtol=0, atol=1e-15)
    # The last step passes the end, and no other does.
    assert (grid.end - ts[-1]) * (ts[-1] - ts[0]) > 0
    assert (grid.t[-1].item() - ts[-1]) * (ts[-1] - ts[0]) < 0
    assert stats.accepted == grid.steps
    stages = (len(field.times) - 2) / (stats.accepted + stats.rejected)
    assert stages == int(stages)

    again = Pendulum()
    repeated = solver().solve(again, STATE, ts, grid)
    assert off(repeated.ys, got.ys) < 1e-14
    assert repeated.grid is grid
    assert len(again.times) == 1 + stages * grid.steps


@both_directions
@each([s for s in SOLVERS if s not in ADAMS and s is not SCIPY])
@pytest.mark.parametrize("step", [{"steps": 12}, {"step_size": 0.25}, {"step_size": 0.1}, {"step_size": 0.13}])
def test_uniform_steps_are_taken_exactly(solver, ts, step):
    """No sliver where a step size nearly divides the span, a shorter last step where it does not."""
    field = Pendulum()
    request = odebench.StepSize(**step)
    got = solver().solve(field, STATE, ts, request)
    span = abs(ts[-1] - ts[0])
    count = step.get("steps") or math.ceil(span / step["step_size"] - 1e-9)
    assert got.grid.steps == got.stats.accepted == count
    assert got.grid.end == ts[-1]
    starts = [ts[0] + (ts[-1] - ts[0]) / span * n * step.get("step_size", span / count) for n in range(count)]
    assert got.grid.t.tolist() == pytest.approx(starts)
    # Each start has been evaluated at; after the first one by an adaptive method one unit in the last place before it.
    for start in starts:
        assert min(abs(start - time) for time in field.times) < 1e-12
    errors = off(got.ys, exact(ts))
    assert errors < {1: 0.5, 2: 0.1, 3: 0.02}.get(solver.order, 5e-3)


@each([s for s in FIXED if s not in ADAMS])
def test_fixed_steps_are_those_of_torchdiffeq(solver):
    t = torch.tensor([0.0, 0.5, 2.0], dtype=torch.float64)
    got = solver().solve(Pendulum(), STATE, t.tolist(), odebench.StepSize(steps=8))
    expected = torchdiffeq.odeint(Pendulum(), STATE, t, method=solver.method, options={"step_size": 0.25})
    assert torch.equal(got.ys, expected)


@each(ADAMS)
def test_adams_methods_are_those_of_torchdiffeq(solver):
    t = torch.tensor([0.0, 0.5, 2.0], dtype=torch.float64)
    got = solver(max_order=6).solve(Pendulum(), STATE, t.tolist(), odebench.StepSize(steps=128))
    options = {"step_size": 1 / 64, "max_order": 6}
    expected = torchdiffeq.odeint(Pendulum(), STATE, t, method=solver.method, options=options)
    assert torch.equal(got.ys, expected)


@pytest.mark.parametrize(
    ("solver", "counts"),
    [(s, (5, 10, 20) if s.order == 8 else (20, 40, 80, 160)) for s in SOLVERS if s not in ADAMS and s is not SCIPY],
    ids=lambda value: by_name(value) if isinstance(value, type) else "",
)
def test_the_order_is_observed(solver, counts):
    """On given steps, which the adaptive ones take too."""
    orders = observed_orders(solver(), counts, lambda n: odebench.StepSize(steps=n))
    claimed = solver.order
    assert orders[-1] == pytest.approx(claimed, abs=0.6 if claimed >= 5 else 0.1), orders


@pytest.mark.parametrize(
    ("solver", "max_order", "order"),
    [(s, m, (min(4, m - 1) if s.method == "explicit_adams" else min(5, m))) for s in ADAMS for m in (4, 5, 8)],
)
def test_the_order_of_adams_methods_is_observed(solver, max_order, order):
    built = solver(max_order=max_order)
    assert built.order == order
    # The iterations' tolerance ends the order of the implicit ones soon, instability that of the explicit ones begins late.
    counts = (40, 80, 160, 320) if built.implicit else (160, 320, 640, 1280)
    orders = observed_orders(built, counts, lambda n: odebench.StepSize(steps=n))
    assert sorted(orders)[1] == pytest.approx(order, abs=0.4), orders


def test_explicit_adams_of_high_order_is_unstable():
    """torchdiffeq's default: the docstring says so."""
    (explicit,) = [s for s in ADAMS if s.method == "explicit_adams"]
    request = odebench.StepSize(steps=160)
    expected = exact([0.0, 2.0])
    assert off(explicit().solve(Pendulum(), STATE, [0.0, 2.0], request).ys, expected) > 0.1
    assert off(explicit(max_order=6).solve(Pendulum(), STATE, [0.0, 2.0], request).ys, expected) < 1e-6


def test_tuples_and_float32():
    tuple_state = (STATE.float(), torch.rand(3, 1))
    field = lambda t, s: (torch.roll(s[0], 1, dims=1) * s[1], -s[1] * t)  # noqa: E731
    tolerance = odebench.Tolerance(rtol=1e-4, atol=1e-5)
    for solver in (*ADAPTIVE, SCIPY):
        got = solver().solve(field, tuple_state, [0.0, 1.0], tolerance)
        theirs = torchdiffeq.odeint(
            field,
            tuple_state,
            torch.tensor([0.0, 1.0], dtype=torch.float64),
            rtol=1e-4,
            atol=1e-5,
            method=solver.method,
        )
        assert isinstance(got.ys, tuple)
        for one, other in zip(got.ys, theirs, strict=True):
            assert one.dtype == torch.float32
            assert torch.equal(one, other)


def test_a_field_of_half_precision_gets_its_time_in_float32():
    seen = set()

    def field(t, y):
        seen.add((t.dtype, y.dtype))
        return -y

    for solver, request in (
        (ADAPTIVE[0], odebench.Tolerance(rtol=1e-2, atol=1e-2)),
        (FIXED[0], odebench.StepSize(steps=4)),
    ):
        ys = solver().solve(field, STATE.bfloat16(), [0.0, 1.0], request).ys
        assert ys.dtype == torch.bfloat16
    assert seen == {(torch.float32, torch.bfloat16)}


def test_what_a_tolerance_wishes_is_handed_on():
    t = torch.tensor([0.0, 2.0], dtype=torch.float64)
    ours, theirs = Pendulum(), Pendulum()
    tolerance = odebench.Tolerance(rtol=1e-4, atol=1e-5, first_step=0.3, safety=0.7, min_factor=0.4, max_factor=3.0)
    ADAPTIVE[-1]().solve(ours, STATE, t.tolist(), tolerance)
    options = {"first_step": 0.3, "safety": 0.7, "dfactor": 0.4, "ifactor": 3.0}
    torchdiffeq.odeint(theirs, STATE, t, rtol=1e-4, atol=1e-5, method=ADAPTIVE[-1].method, options=options)
    assert ours.times == theirs.times


def test_the_norm_may_be_that_of_the_first_elements():
    """As odebench's continuous adjoint wishes: what follows does not count."""
    still = lambda t, y: torch.cat([-y[:1], 50.0 * torch.cos(50.0 * t) + 0.0 * y[1:]])  # noqa: E731
    y0 = torch.tensor([1.0, 0.0], dtype=torch.float64)
    all_count = ADAPTIVE[-1]().solve(still, y0, [0.0, 1.0], odebench.Tolerance(rtol=1e-6, atol=1e-6))
    first = ADAPTIVE[-1]().solve(still, y0, [0.0, 1.0], odebench.Tolerance(rtol=1e-6, atol=1e-6, norm_elements=1))
    assert first.grid.steps < all_count.grid.steps / 2
    assert first.y1[0].item() == pytest.approx(math.exp(-1.0), abs=1e-3)


@both_directions
@each([s for s in FIXED if s not in ADAMS])
def test_a_grid_that_passes_the_end_is_repeated_by_fixed_steps(solver, ts):
    """An adaptive solve of torchdiffeq gives such a grid."""
    grid = ADAPTIVE[-1]().solve(Pendulum(), STATE, ts, odebench.Tolerance(rtol=1e-6, atol=1e-6)).grid
    field = Pendulum()
    got = solver().solve(field, STATE, ts, grid)
    assert got.ys.shape == (len(ts), *STATE.shape)
    assert len(field.times) >= solver.stages * grid.steps
    assert max(abs(time) for time in field.times) <= max(abs(grid.end), abs(ts[0])) + 1e-12


@each(SOLVERS)
def test_steps_by_row_are_refused(solver):
    rows = odebench.Grid(t=torch.zeros(2, 3, dtype=torch.float64), dt=torch.ones(2, 3, dtype=torch.float64), end=2.0)
    with pytest.raises(IncompatibleError):
        solver().solve(Pendulum(), STATE, [0.0, 2.0], rows)
    with pytest.raises(IncompatibleError, match="joint|tolerance"):
        solver().solve(Pendulum(), STATE, [0.0, 2.0], odebench.Tolerance(rtol=1e-3, atol=1e-3, batch="per-sample"))


@pytest.mark.parametrize("wish", [{"proportional": 0.1}, {"integral": 0.5}], ids=str)
@each([s for s in SOLVERS if s.adaptive])
def test_a_controller_that_torchdiffeq_does_not_have_is_refused(solver, wish):
    with pytest.raises(IncompatibleError, match=next(iter(wish))):
        solver().solve(Pendulum(), STATE, [0.0, 2.0], odebench.Tolerance(rtol=1e-3, atol=1e-3, **wish))


def test_what_scipy_cannot_do_is_refused():
    with pytest.raises(IncompatibleError, match="chooses its steps itself"):
        SCIPY().solve(Pendulum(), STATE, [0.0, 2.0], odebench.StepSize(steps=10))
    with pytest.raises(IncompatibleError, match="first_step"):
        SCIPY().solve(Pendulum(), STATE, [0.0, 2.0], odebench.Tolerance(rtol=1e-3, atol=1e-3, first_step=0.1))
    with pytest.raises(IncompatibleError, match="RK23"):
        SCIPY(scipy_method="RK54")


@pytest.mark.parametrize("scipy_method", ["RK23", "RK45", "DOP853", "Radau", "BDF", "LSODA"])
def test_every_method_of_scipy(scipy_method):
    solver = SCIPY(scipy_method=scipy_method)
    got = solver.solve(Pendulum(), STATE, [0.0, 0.5, 2.0], odebench.Tolerance(rtol=1e-6, atol=1e-6))
    assert off(got.ys, exact([0.0, 0.5, 2.0])) < 1e-4
    assert got.grid is None
    assert got.stats.evaluations_forward > 10


@each(FIXED)
def test_a_tolerance_for_fixed_steps_is_refused(solver):
    with pytest.raises(IncompatibleError, match="fixed steps"):
        solver().solve(Pendulum(), STATE, [0.0, 2.0], odebench.Tolerance(rtol=1e-3, atol=1e-3))


@each(ADAMS)
def test_adams_methods_refuse_what_they_would_get_wrong(solver):
    with pytest.raises(GridError, match="equal steps"):
        solver().solve(Pendulum(), STATE, [0.0, 2.0], odebench.StepSize(step_size=0.03))
    with pytest.raises(IncompatibleError, match="max_order is 3"):
        solver(max_order=3)


def test_output_times_off_the_grid_of_a_method_of_high_order_are_refused():
    (implicit,) = [s for s in ADAMS if s.implicit]
    with pytest.raises(GridError, match="is 40"):
        implicit().solve(Pendulum(), STATE, [0.0, 0.5, 2.0], odebench.StepSize(steps=39))


@each(ADAPTIVE)
@pytest.mark.parametrize(
    ("field", "tolerance", "hint"),
    [
        (lambda t, y: y**2, {}, "underflow in dt"),
        (lambda t, y: y * math.nan, {}, "underflow in dt"),
        (lambda t, y: -y, {"max_steps": 3}, "3 steps"),
        (lambda t, y: y**2, {"min_step": 1e-4}, "step size fell"),
    ],
    ids=["blow-up", "nan", "max_steps", "min_step"],
)
def test_torchdiffeqs_assertions_are_divergence(solver, field, tolerance, hint):
    loose = {"rtol": 1e-3, "atol": 1e-3, "first_step": 0.01} | tolerance
    with pytest.raises(DivergedError, match=hint):
        solver().solve(field, torch.ones(2, dtype=torch.float64), [0.0, 2.0], odebench.Tolerance(**loose))


def test_scipy_that_ends_early_is_divergence():
    solver = SCIPY(scipy_method="RK45")
    tolerance, ts, y0 = odebench.Tolerance(rtol=1e-6, atol=1e-6), [0.0, 0.5, 2.0], torch.ones(2, dtype=torch.float64)
    with pytest.raises(DivergedError, match="ended early"):
        solver.solve(lambda t, y: y**2, y0, ts, tolerance)
    with pytest.raises(DivergedError, match="ended early"):
        solver.solve(lambda t, y: (y[0] ** 2, y[1]), (y0, y0), ts, tolerance)


def test_an_assertion_of_the_field_stays_one():
    def field(t, y):
        raise AssertionError("mine")

    with pytest.raises(AssertionError, match="mine"):
        ADAPTIVE[0]().solve(field, STATE, [0.0, 1.0], odebench.Tolerance(rtol=1e-3, atol=1e-3))
