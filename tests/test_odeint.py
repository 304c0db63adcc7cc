"""`odebench.odeint` against `torchdiffeq.odeint`: same arguments, same results, same evaluations."""

from __future__ import annotations

import math
import re

import pytest
import torch
import torchdiffeq

import odebench
from odebench.drop_in import ADAPTIVE_OPTIONS, FIXED_OPTIONS, OdeintError
from odebench.errors import DivergedError, FieldError, GridError

FIXED = ["euler", "midpoint", "heun2", "heun3", "rk4"]
ADAPTIVE = ["fehlberg2", "adaptive_heun", "bosh3", "dopri5", "dopri8"]
TIMES = {
    "rising": torch.tensor([0.0, 0.3, 0.35, 1.1, 2.0], dtype=torch.float64),
    "falling": torch.tensor([1.5, 1.0, 0.93, 0.2], dtype=torch.float64),
}
STATE = torch.tensor([[1.2, 0.0], [0.6, -0.8], [0.1, 0.4]], dtype=torch.float64)
# The estimate of a small error is a difference of large numbers, and its rounding changes the next step by a share of up to
# 1e-6: times agree to that only, and solutions to that share of the error of a step.
TIMES_AGREE = 1e-5
ROUNDING = {"dopri8": 1e-8}
# The first step that is chosen for dopri8 is so short that its error estimate is nothing but rounding. Here it has a better one.
FIRST = {"dopri8": {"first_step": 0.2}}


class Pendulum:
    """A forced pendulum for every row, whose evaluations are counted and remembered by their times."""

    def __init__(self):
        self.times = []

    def __call__(self, t, y):
        assert t.dim() == 0
        self.times.append(t.item())
        return torch.stack([y[..., 1], torch.cos(2.0 * t) - 2.0 * torch.sin(y[..., 0])], dim=-1)


class Jumping(Pendulum):
    """As before, with a force that is switched at t = 0.5 and at t = 1."""

    def __call__(self, t, y):
        return super().__call__(t, y) + (10.0 if 0.5 < t.item() <= 1.0 else 0.0)


def both(t, *, field=Pendulum, y0=STATE, **arguments):
    """Ours, theirs, and the fields that each has asked; the fields must have been asked at the same times."""
    ours, theirs = field(), field()
    got = odebench.odeint(ours, y0, t, **arguments)
    expected = torchdiffeq.odeint(theirs, y0, t, **arguments)
    return got, expected, ours, theirs


def agree(got, expected, tolerance=1e-12):
    if isinstance(expected, tuple):
        assert isinstance(got, tuple)
        assert len(got) == len(expected)
        for one, other in zip(got, expected, strict=True):
            agree(one, other, tolerance)
        return
    assert got.shape == expected.shape
    assert got.dtype == expected.dtype
    difference = (got - expected).norm() / expected.norm()
    assert difference <= tolerance, f"off by {difference:.1e}"


@pytest.mark.parametrize("direction", TIMES)
@pytest.mark.parametrize("method", FIXED)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"step_size": 0.07},
        {"step_size": 0.07, "interp": "cubic"},
        {"step_size": 0.1, "perturb": True},
        {"grid_constructor": lambda func, y0, t: torch.cat([t[:1], t[:1] + (t[-1:] - t[:1]) * 0.4, t[-1:]])},
        {"step_size": 5.0},
    ],
    ids=["grid is t", "step_size", "cubic", "perturb", "grid_constructor", "one long step"],
)
def test_fixed_steps(method, options, direction):
    got, expected, ours, theirs = both(TIMES[direction], method=method, options=options)
    agree(got, expected)
    if options.get("interp") != "cubic":  # torchdiffeq evaluates for its cubic also where it does not need it
        assert ours.times == pytest.approx(theirs.times, abs=1e-14)


@pytest.mark.parametrize("direction", TIMES)
@pytest.mark.parametrize("tolerance", [1e-2, 1e-5, 1e-8])
@pytest.mark.parametrize("method", ADAPTIVE)
def test_adaptive_steps(method, tolerance, direction):
    if method in ("fehlberg2", "adaptive_heun"):
        tolerance = max(tolerance, 1e-6)
    got, expected, ours, theirs = both(
        TIMES[direction], method=method, rtol=tolerance, atol=tolerance * 0.1, options=FIRST.get(method)
    )
    agree(got, expected, ROUNDING.get(method, 1e-12))
    # Evaluation by evaluation, rejected steps included: the steps are the same.
    assert ours.times == pytest.approx(theirs.times, abs=TIMES_AGREE)


@pytest.mark.parametrize("method", ADAPTIVE)
def test_adaptive_methods_are_the_same_to_rounding_on_steps_that_are_given(method):
    """Without a controller that feeds on rounding, also dopri8 agrees to rounding."""
    points = torch.linspace(0.0, 2.2, 12, dtype=torch.float64)[1:]
    options = {"step_t": points, "first_step": 0.2, "max_step": 0.2, "min_step": 0.2 * (1 - 1e-9)}
    got, expected, _, _ = both(TIMES["rising"], method=method, options=options)
    agree(got, expected, 1e-14)


@pytest.mark.parametrize(
    "options",
    [
        {"first_step": 0.01},
        {"first_step": torch.tensor(5.0)},
        {"safety": 0.5, "ifactor": 3.0, "dfactor": 0.5},
        {"max_step": 0.05},
        {"min_step": 0.3},
        {"step_t": torch.tensor([0.25, 0.5, 1.7], dtype=torch.float64)},
        {"norm": lambda y: y.abs().max()},
        {"dtype": torch.float64},
    ],
    ids=["first_step", "long first_step", "controller", "max_step", "min_step", "step_t", "norm", "dtype"],
)
@pytest.mark.parametrize("direction", TIMES)
@pytest.mark.parametrize("method", ["dopri5", "adaptive_heun"])
def test_options_of_adaptive_methods(method, direction, options):
    got, expected, ours, theirs = both(TIMES[direction], method=method, rtol=1e-4, atol=1e-5, options=options)
    agree(got, expected)
    assert ours.times == pytest.approx(theirs.times, abs=TIMES_AGREE)


@pytest.mark.parametrize("method", ADAPTIVE)
@pytest.mark.parametrize("direction", TIMES)
@pytest.mark.parametrize("name", ["jump_t", "step_t"])
def test_jumps_of_the_field(method, direction, name):
    options = {name: torch.tensor([0.5, 1.0], dtype=torch.float64), **FIRST.get(method, {})}
    got, expected, ours, theirs = both(
        TIMES[direction], field=Jumping, method=method, rtol=1e-4, atol=1e-5, options=options
    )
    agree(got, expected, ROUNDING.get(method, 1e-11))
    assert ours.times == pytest.approx(theirs.times, abs=TIMES_AGREE)


@pytest.mark.parametrize("method", ["rk4", "euler"])
def test_perturb_sees_a_jump_from_the_right_side(method):
    """Grid points fall on the jumps; without `perturb` the result is another one."""
    t = torch.linspace(0.0, 2.0, 5, dtype=torch.float64)
    got, expected, _, _ = both(t, field=Jumping, method=method, options={"perturb": True})
    agree(got, expected)
    plain = odebench.odeint(Jumping(), STATE, t, method=method)
    assert (plain - got).norm() > 1e-3


def test_defaults():
    got, expected, ours, theirs = both(TIMES["rising"])
    agree(got, expected)
    assert len(ours.times) == len(theirs.times)


TUPLE = (STATE, torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64), torch.tensor(2.0, dtype=torch.float64))


class Three:
    """Three tensors of different shapes and sizes, which need different steps."""

    def __init__(self):
        self.times = []

    def __call__(self, t, state):
        self.times.append(t.item())
        a, b, c = state
        return torch.stack([a[:, 1], -a[:, 0] * c], dim=1), torch.sin(5.0 * t) - 30.0 * b, -0.5 * c * a.mean()


@pytest.mark.parametrize("direction", TIMES)
@pytest.mark.parametrize("method", ["rk4", "dopri5", "bosh3"])
def test_tuple_states(method, direction):
    """The norm of a tuple is the largest of its tensors', not the mean over all elements."""
    options = {"step_size": 0.05} if method == "rk4" else {}
    got, expected, ours, theirs = both(
        TIMES[direction], field=Three, y0=TUPLE, method=method, rtol=1e-5, atol=1e-5, options=options
    )
    agree(got, expected)
    assert ours.times == pytest.approx(theirs.times, abs=TIMES_AGREE)


def test_a_norm_of_a_tuple_gets_a_tuple():
    options = {"norm": lambda state: state[1].abs().max()}
    got, expected, ours, theirs = both(TIMES["rising"], field=Three, y0=TUPLE, options=options, rtol=1e-3, atol=1e-3)
    agree(got, expected)
    assert len(ours.times) == len(theirs.times)


@pytest.mark.parametrize(
    ("y0", "field", "rtol", "atol"),
    [
        (STATE, Pendulum, torch.tensor([1e-3, 1e-6], dtype=torch.float64), 1e-6),
        (STATE, Pendulum, torch.tensor(1e-4), torch.tensor([[1e-3], [1e-6], [1e-4]], dtype=torch.float64)),
        (TUPLE, Three, (1e-3, 1e-6, 1e-5), torch.tensor([1e-6, 1e-3, 1e-5])),
        (TUPLE, Three, 1e-4, (1e-6, torch.tensor([1e-3, 1e-4, 1e-5, 1e-6]), 1e-5)),
    ],
)
def test_tolerances_of_elements(y0, field, rtol, atol):
    got, expected, ours, theirs = both(TIMES["rising"], field=field, y0=y0, rtol=rtol, atol=atol)
    agree(got, expected)
    assert ours.times == pytest.approx(theirs.times, abs=TIMES_AGREE)


@pytest.mark.parametrize("times_dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("method", [*FIXED, *ADAPTIVE[:-1]])
def test_float32(method, times_dtype):
    options = {"step_size": 0.1} if method in FIXED else {}
    got, expected, ours, theirs = both(
        TIMES["rising"].to(times_dtype), y0=STATE.float(), method=method, rtol=1e-3, atol=1e-4, options=options
    )
    agree(got, expected, 1e-4 if method in ADAPTIVE else 1e-6)
    assert len(ours.times) == len(theirs.times)


def test_dopri8_with_a_first_step_that_is_too_short_for_its_error_estimate():
    """The second step is then as long as the rounding says: both are right, but not the same."""
    got, expected, _, _ = both(TIMES["rising"], method="dopri8", rtol=1e-8, atol=1e-9)
    agree(got, expected, 1e-5)
    truth = odebench.odeint(Pendulum(), STATE, TIMES["rising"], rtol=1e-12, atol=1e-12)
    agree(got, truth, 1e-5)
    agree(expected, truth, 1e-5)


@pytest.mark.parametrize("step_size", [0.1, 0.05, 0.2, 0.3, 1 / 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("end", [1.0, 1.5, 3.0, -1.0])
def test_slivers_of_a_step_size_are_taken_as_they_fall(step_size, dtype, end):
    """Whether 1 / 0.1 leaves a rounding at the end depends on the dtype of t."""
    t = torch.tensor([0.0, end], dtype=dtype)
    got, expected, ours, theirs = both(t, method="midpoint", options={"step_size": step_size})
    agree(got, expected, 1e-7 if dtype == torch.float32 else 1e-12)
    zero_length = len(theirs.times) - len(ours.times)
    assert zero_length in (0, 2)


@pytest.mark.parametrize(("end", "step_size"), [(0.9, 0.06), (9.3, 0.3)])
def test_torchdiffeq_rounds_after_it_has_added_one(end, step_size):
    """The division leaves a rounding above a whole number, which the one that is added swallows: there is no sliver."""
    t = torch.tensor([0.0, end], dtype=torch.float64)
    _, _, ours, theirs = both(t, method="midpoint", options={"step_size": step_size})
    assert len(ours.times) == len(theirs.times)


def test_one_time_gives_the_initial_state():
    t = torch.tensor([0.7], dtype=torch.float64)
    got, expected, _, _ = both(t)
    agree(got, expected)
    assert [y.shape for y in odebench.odeint(Three(), TUPLE, t)] == [(1, *y.shape) for y in TUPLE]


def test_times_may_be_a_list_and_the_function_stays_a_function():
    """A module of the same name would take the function's place in the package once it is imported."""
    got = odebench.odeint(Pendulum(), STATE, [0, 1])
    agree(got, odebench.odeint(Pendulum(), STATE, torch.tensor([0.0, 1.0], dtype=torch.float64)))
    assert callable(odebench.odeint)


@pytest.mark.parametrize("method", ADAPTIVE)
def test_an_empty_batch(method):
    assert odebench.odeint(Pendulum(), STATE[:0], TIMES["rising"], method=method).shape == (5, 0, 2)


def test_every_method_of_torchdiffeq_that_is_not_offered_is_refused_with_what_is():
    for method in ("explicit_adams", "implicit_adams", "scipy_solver", "tsit5"):
        with pytest.raises(OdeintError, match="dopri5, dopri8, euler"):
            odebench.odeint(Pendulum(), STATE, TIMES["rising"], method=method)
    with pytest.raises(ValueError, match="Did you mean 'dopri5'"):
        odebench.odeint(Pendulum(), STATE, TIMES["rising"], method="dopri_5")


def test_the_methods_are_those_of_torchdiffeq():
    from torchdiffeq._impl.odeint import SOLVERS

    from odebench.drop_in import _methods

    theirs = set(SOLVERS)
    assert theirs - set(_methods()) == {"explicit_adams", "implicit_adams", "fixed_adams", "scipy_solver"}
    assert set(_methods()) - theirs == set()


@pytest.mark.parametrize(
    ("method", "options", "hint"),
    [
        ("rk4", {"step_sise": 0.1}, "Did you mean 'step_size'"),
        ("rk4", {"safety": 0.9}, "step_size, grid_constructor"),
        ("dopri5", {"first_stp": 0.1}, "Did you mean 'first_step'"),
        ("dopri5", {"step_size": 0.1}, "method 'dopri5' has no option 'step_size'"),
        ("dopri5", {"dtype": torch.float32}, "float64"),
        ("rk4", {"interp": "quintic"}, "'linear' or 'cubic'"),
        ("rk4", {"step_size": 0.1, "grid_constructor": lambda f, y, t: t}, "both"),
        ("dopri5", {"step_t": torch.tensor([0.5]), "jump_t": torch.tensor([0.5])}, "both hold"),
        ("dopri5", {"step_t": torch.tensor([0.5, 0.5])}, "twice"),
    ],
)
def test_options_that_mean_nothing_are_refused(method, options, hint):
    y0 = STATE.float() if "dtype" in options else STATE
    with pytest.raises(OdeintError, match=re.escape(hint)):
        odebench.odeint(Pendulum(), y0, TIMES["rising"], method=method, options=options)


def test_every_option_of_torchdiffeq_is_known():
    import inspect

    from torchdiffeq._impl.rk_common import RKAdaptiveStepsizeODESolver
    from torchdiffeq._impl.solvers import FixedGridODESolver

    theirs = set(inspect.signature(RKAdaptiveStepsizeODESolver).parameters) - {"func", "y0", "rtol", "atol", "kwargs"}
    assert theirs | {"norm"} == set(ADAPTIVE_OPTIONS)
    theirs = set(inspect.signature(FixedGridODESolver).parameters) - {"func", "y0", "unused_kwargs"}
    assert theirs | {"norm"} == set(FIXED_OPTIONS)


@pytest.mark.parametrize(
    "constructor",
    [
        lambda f, y, t: t[:-1],
        lambda f, y, t: t.flip(0),
        lambda f, y, t: t[[0, 2, 1, 4]],
        lambda f, y, t: t.tolist(),
        lambda f, y, t: t[None],
    ],
)
def test_grids_that_are_none_are_refused(constructor):
    with pytest.raises(GridError, match="odeint"):
        odebench.odeint(Pendulum(), STATE, TIMES["rising"], method="rk4", options={"grid_constructor": constructor})


def test_arguments_that_are_refused_in_words():
    t = TIMES["rising"]
    with pytest.raises(OdeintError, match="events are not offered"):
        odebench.odeint(Pendulum(), STATE, t, event_fn=lambda t, y: y)
    with pytest.raises(GridError, match="require a gradient"):
        odebench.odeint(Pendulum(), STATE, t.clone().requires_grad_())
    with pytest.raises(GridError, match="strictly"):
        odebench.odeint(Pendulum(), STATE, t[[0, 2, 1]])
    with pytest.raises(GridError, match="positive"):
        odebench.odeint(Pendulum(), STATE, t, method="rk4", options={"step_size": -0.1})
    with pytest.raises(OdeintError, match="3 tensors"):
        odebench.odeint(Three(), TUPLE, t, rtol=(1e-3, 1e-3))
    with pytest.raises(OdeintError, match="does not expand"):
        odebench.odeint(Pendulum(), STATE, t, rtol=torch.full((5,), 1e-3))
    with pytest.raises(FieldError, match="list"):
        odebench.odeint(Pendulum(), [STATE], t)
    watched = Pendulum()
    watched.callback_accept_step = lambda *args: None
    with pytest.raises(OdeintError, match="callback_accept_step"):
        odebench.odeint(watched, STATE, t)


@pytest.mark.parametrize(
    ("field", "options", "hint"),
    [
        (lambda t, y: y**2, {}, "does not move the time"),
        (lambda t, y: y * math.nan, {}, "does not move the time"),
        (lambda t, y: -y, {"max_num_steps": 3}, "3 steps were not enough"),
        (lambda t, y: y * math.nan, {"min_step": 0.1}, "not finite"),
    ],
    ids=["blow-up", "nan", "max_num_steps", "nan with min_step"],
)
def test_solves_that_end_early_end_for_both(field, options, hint):
    y0, t = torch.ones(2, dtype=torch.float64), torch.tensor([0.0, 2.0], dtype=torch.float64)
    with pytest.raises(AssertionError):
        torchdiffeq.odeint(field, y0, t, options=options)
    with pytest.raises(DivergedError, match=hint):
        odebench.odeint(field, y0, t, options=options)


def test_max_num_steps_counts_between_output_times():
    t = torch.linspace(0.0, 2.0, 41, dtype=torch.float64)
    options = {"max_num_steps": 20, "max_step": 0.01}
    got, expected, ours, theirs = both(t, options=options)
    agree(got, expected)
    assert len(ours.times) == len(theirs.times)
