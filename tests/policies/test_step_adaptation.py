"""The schedule of steps, against traces worked out by hand from the published algorithm."""

from __future__ import annotations

import json
import math
import warnings

import pytest
import torch

from odebench.api import build
from odebench.contract import StepSize, Tolerance, Trial
from odebench.errors import DivergedError, IncompatibleError, PluginError
from tests.policies.scripted import Batch, begun, no_attempt

NAN = math.nan


def watched(grid: StepSize, solver="euler", ts=(0.0, 1.0), **parameters):
    """A policy that checks in every iteration, after `begin`."""
    policy, first = begun(
        build("step_policy", {"name": "step-adaptation", "check_every": 1} | parameters), solver, grid, ts
    )
    assert first.step_size == pytest.approx(abs(ts[1] - ts[0]) / grid.steps if grid.steps else grid.step_size)
    return policy


def step_after(policy, own: float, *answers) -> float:
    """The step that follows when the attempts give these metrics, all of which must be asked for."""
    batch = Batch(answers)
    step = policy.after(Trial(metric=own), batch).step_size
    assert batch.answers == []
    return step


def test_the_published_schedule_in_every_fiftieth_iteration():
    """h = 1/10; a violation, an agreement, a refused growth, two violations; the test step is √(h/50) until 1/h > 50."""
    policy, _ = begun(build("step_policy", "step-adaptation"), "euler", StepSize(steps=10))
    script = {
        50: (0.9, [0.5], 0.05, [("midpoint", math.sqrt(0.1 / 50))]),
        100: (0.9, [0.85, 0.84], 0.055, [("midpoint", math.sqrt(0.05 / 50)), ("euler", 0.055)]),
        150: (0.9, [0.9, 0.75], 0.055, [("midpoint", math.sqrt(0.055 / 50)), ("euler", 0.0605)]),
        200: (0.9, [0.7], 0.0275, [("midpoint", math.sqrt(0.055 / 50))]),
        250: (0.6, [0.9], 0.01375, [("midpoint", math.sqrt(0.0275 / 50))]),
        300: (0.6, [0.6, 0.65], 0.015125, [("midpoint", 0.01375), ("euler", 0.015125)]),
        350: (0.6, [0.6, 0.72], 0.015125, [("midpoint", 0.015125), ("euler", 0.0166375)]),
    }
    step = 0.1
    for iteration in range(1, 351):
        own, answers, expected, asked = script.get(iteration, (NAN, [], step, []))
        assert policy.due is (iteration in script)
        batch = Batch(answers)
        grid = policy.after(Trial(metric=own), batch if iteration in script else no_attempt)
        assert grid.step_size == pytest.approx(expected, rel=1e-12), iteration
        assert [name for name, _ in batch.asked] == [name for name, _ in asked]
        assert [g.step_size for _, g in batch.asked] == pytest.approx([h for _, h in asked], rel=1e-12)
        step = expected


def test_the_trial_of_a_longer_step_is_compared_with_the_test_and_not_with_the_iteration():
    assert step_after(watched(StepSize(steps=10)), 0.9, 0.82, 0.75) == pytest.approx(
        0.11
    )  # 0.15 from its own, 0.07 from the test
    assert step_after(watched(StepSize(steps=10)), 0.9, 0.98, 0.85) == 0.1


def test_a_difference_of_just_the_threshold_agrees():
    assert step_after(watched(StepSize(steps=10), threshold=0.25), 0.5, 0.75, 0.5) == pytest.approx(0.11)
    assert step_after(watched(StepSize(steps=10), threshold=0.25), 0.5, 0.7500001) == 0.05


def test_near_the_most_steps_their_number_becomes_the_mean_of_both():
    """From 300 steps, doubling passes 500: 400, 450, 475 … of published h := 2h / (500h + 1)."""
    policy = watched(StepSize(steps=300))
    counts = [1.0 / step_after(policy, 0.9, 0.5) for _ in range(3)]
    assert counts == pytest.approx([400.0, 450.0, 475.0], rel=1e-12)
    # Doubling that just reaches the most is still doubling, also where the span makes it round.
    for span in (1.0, 1.7, 3.3):
        policy = watched(StepSize(steps=250), ts=(0.0, span))
        assert span / step_after(policy, 0.9, 0.5) == pytest.approx(500.0, rel=1e-12)


def test_at_the_most_steps_the_step_stays_with_a_warning():
    policy = watched(StepSize(steps=500))
    with pytest.warns(
        RuntimeWarning, match="still depends on the solver with 500 steps, and `max_steps` allows no more"
    ):
        assert step_after(policy, 0.9, 0.5) == 1.0 / 500
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert step_after(policy, 0.9, 0.9, 0.9) == pytest.approx(1.1 / 500)


def test_a_step_whose_solve_takes_the_most_steps_already_is_warned_of():
    policy = watched(StepSize(step_size=1.0 / 499.5))
    with pytest.warns(RuntimeWarning, match="500 steps"):
        assert 1.0 / step_after(policy, 0.9, 0.5) == pytest.approx(499.75)


def test_a_step_grows_to_the_span_and_no_longer_step_is_tried_there():
    policy = watched(StepSize(step_size=0.95))
    assert step_after(policy, 0.9, 0.9, 0.9) == 1.0
    assert step_after(policy, 0.9, 0.9) == 1.0
    policy = watched(StepSize(step_size=0.19), largest_step=0.2)
    assert step_after(policy, 0.9, 0.9, 0.9) == 0.2
    assert step_after(policy, 0.9, 0.9) == 0.2


def test_every_constant_is_a_parameter():
    policy = watched(StepSize(steps=8), shrink=0.25, grow=1.5, accuracy_factor=2.0, max_steps=100, threshold=0.01)
    batch = Batch([0.9, 0.9])
    assert policy.after(Trial(metric=0.9), batch).step_size == pytest.approx(1.5 / 8)
    assert batch.asked[0][1].step_size == 0.125  # 1/64 is below (1/8)/2 already
    assert step_after(policy, 0.9, 0.92) == pytest.approx(1.5 / 32)
    assert 1.0 / step_after(policy, 0.9, 0.92) == pytest.approx(32 / 1.5 * 4)
    assert 1.0 / step_after(policy, 0.9, 0.92) == pytest.approx((32 / 1.5 * 4 + 100) / 2)


def test_the_step_is_a_share_of_the_span_in_either_direction():
    """On a span of 3 the same decisions give steps three times as long."""
    for ts in ((0.0, 3.0), (2.0, -1.0)):
        policy = watched(StepSize(steps=10), ts=ts)
        batch = Batch([0.9, 0.9])
        assert policy.after(Trial(metric=0.9), batch).step_size == pytest.approx(0.33)
        assert [grid.step_size for _, grid in batch.asked] == pytest.approx([3 * math.sqrt(0.1 / 50), 0.33])
        assert step_after(policy, 0.9, 0.5) == pytest.approx(0.165)


def test_the_step_swings_about_the_critical_one():
    """A learner whose weights have adapted to the step: a longer one always looks well, and past 0.2 the test differs.

    0.1 · 1.1^8 = 0.214 is the first step past 0.2; half of it needs seven growths to pass 0.2 again, at 0.10718 · 1.1^7 = 0.20886,
    and half of that seven more.
    """
    policy = watched(StepSize(steps=10))
    step, trace = 0.1, []
    for _ in range(25):
        batch = Batch(lambda name, grid, step=step: 0.5 if name == "midpoint" and step > 0.2 else 0.95)
        step = policy.after(Trial(metric=0.95), batch).step_size
        trace.append(step)
    expected = [0.1 * 1.1**n for n in range(1, 9)]
    for length in (7, 7):
        bottom = expected[-1] / 2
        expected += [bottom * 1.1**n for n in range(length + 1)]
    expected.append(expected[-1] / 2)
    assert trace == pytest.approx(expected, rel=1e-12)
    assert [value > 0.2 for value in trace].count(True) == 3


@pytest.mark.parametrize("test", [NAN, math.inf, -math.inf, DivergedError("too stiff")], ids=str)
def test_a_test_that_goes_astray_is_a_violation(test):
    assert step_after(watched(StepSize(steps=10)), 0.9, test) == 0.05
    assert step_after(watched(StepSize(steps=10), comparison="relative"), 0.9, test) == 0.05


@pytest.mark.parametrize("trial", [NAN, math.inf, DivergedError("too long")], ids=str)
def test_a_longer_step_that_goes_astray_is_refused(trial):
    assert step_after(watched(StepSize(steps=10)), 0.9, 0.9, trial) == 0.1


@pytest.mark.parametrize("own", [NAN, math.inf, -math.inf])
def test_an_iteration_that_went_astray_is_a_violation_that_needs_no_test(own):
    assert step_after(watched(StepSize(steps=10)), own) == 0.05


def test_a_regression_is_judged_by_its_loss():
    """Mean square errors of 1e-3 never differ by 0.1; as a share of the larger they do."""
    assert step_after(watched(StepSize(steps=10)), 1e-3, 5e-3, 1e-3) == pytest.approx(0.11)
    relative = {"comparison": "relative", "threshold": 0.2}
    assert step_after(watched(StepSize(steps=10), **relative), 1e-3, 5e-3) == 0.05
    assert step_after(watched(StepSize(steps=10), **relative), 1.0e-3, 1.1e-3, 1.2e-3) == pytest.approx(0.11)
    assert step_after(watched(StepSize(steps=10), **relative), 1.0e-3, 1.1e-3, 1.5e-3) == 0.1
    assert step_after(watched(StepSize(steps=10), **relative), 0.0, 0.0, 0.0) == pytest.approx(0.11)
    # A score that is better when higher, and negative, as minus a squared error is.
    assert step_after(watched(StepSize(steps=10), **relative), -1.0, -1.5) == 0.05
    assert step_after(watched(StepSize(steps=10), threshold=2.0), -10.0, -11.0, -12.0) == pytest.approx(0.11)


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"check_every": 0}, "`check_every` is 0; it must be a whole number of at least 1"),
        ({"check_every": 2.5}, "`check_every` is 2.5"),
        ({"threshold": -0.1}, "`threshold` is -0.1; it must be finite and at least 0"),
        ({"threshold": NAN}, "`threshold` is nan"),
        ({"comparison": "relativ"}, "`comparison` is 'relativ'; it must be 'absolute' or 'relative'"),
        ({"shrink": 1.0}, "`shrink` is 1.0; it must be finite and above 0 and below 1"),
        ({"grow": 1.0}, "`grow` is 1.0; it must be finite and above 1"),
        ({"accuracy_factor": 0.5}, "`accuracy_factor` is 0.5"),
        ({"max_steps": 0}, "`max_steps` is 0"),
        ({"largest_step": 1.5}, "`largest_step` is 1.5; it must be finite and above 0 and at most 1"),
        ({"largest_step": 0.1, "max_steps": 5}, "do not reach the end"),
        ({"norm": "max"}, "`norm` is 'max'; it must be 'plain' or 'weighted'"),
        ({"norm_atol": 0.0}, "`norm_atol` is 0.0; it must be finite and above 0"),
    ],
)
def test_parameters_that_mean_nothing_are_refused(parameters, said):
    with pytest.raises(IncompatibleError) as caught:
        build("step_policy", {"name": "step-adaptation"} | parameters)
    assert said in str(caught.value)


def test_a_misspelt_parameter_is_no_training_without_adaptation():
    with pytest.raises(PluginError, match="step policy 'step-adaptation' has no parameter 'treshold'.*'threshold'"):
        build("step_policy", {"name": "step-adaptation", "treshold": 0.2})


@pytest.mark.parametrize(
    ("grid", "parameters", "said"),
    [
        (Tolerance(rtol=1e-3, atol=1e-3), {}, "adapts a uniform step and was given a Tolerance"),
        (StepSize(steps=501), {}, "`max_steps` = 500"),
        (StepSize(steps=2), {"largest_step": 0.25}, "`largest_step` = 0.25"),
        (StepSize(steps=4), {"test_solver": "rk5"}, "did you mean 'rk4'"),
    ],
)
def test_what_cannot_begin_is_refused(grid, parameters, said):
    with pytest.raises((IncompatibleError, PluginError)) as caught:
        watched(grid, **parameters)
    assert said in str(caught.value)


def test_a_step_beyond_the_span_is_one_step_over_all_of_it():
    _, first = begun(build("step_policy", "step-adaptation"), "euler", StepSize(step_size=5.0), (0.0, 2.0))
    assert first.step_size == 2.0


def test_a_policy_goes_on_from_what_it_remembers():
    """Interrupted between any two iterations, it decides as if it had not been."""
    generator = torch.Generator().manual_seed(0)
    metrics = torch.rand(3, 60, generator=generator, dtype=torch.float64).mul(0.3).tolist()

    def run(policy, first, last):
        return [
            policy.after(Trial(metric=metrics[0][n]), Batch([metrics[1][n], metrics[2][n]])).step_size
            for n in range(first, last)
        ]

    table = {"name": "step-adaptation", "check_every": 3}
    whole, _ = begun(build("step_policy", table), "euler", StepSize(steps=7))
    expected = run(whole, 0, 60)
    assert len(set(expected)) > 5
    for cut in (1, 2, 3, 20, 47):
        before, _ = begun(build("step_policy", table), "euler", StepSize(steps=7))
        run(before, 0, cut)
        text = json.dumps(before.state_dict(), allow_nan=False)
        after, _ = begun(build("step_policy", table), "euler", StepSize(steps=3))
        after.load_state_dict(json.loads(text))
        assert run(after, cut, 60) == expected[cut:]
