"""The schedule of tolerances, against traces worked out by hand."""

from __future__ import annotations

import json
import math
import warnings

import pytest
import torch

from odebench.api import build
from odebench.contract import StepSize, Tolerance, Trial
from odebench.errors import DivergedError, IncompatibleError
from tests.policies.scripted import Batch, begun, no_attempt

NAN = math.nan


def asked(tolerance: float, **more) -> Tolerance:
    return Tolerance(rtol=tolerance, atol=tolerance, **more)


def watched(grid: Tolerance | None = None, solver="fehlberg21", **parameters):
    """A policy that checks in every iteration, after `begin`."""
    table = {"name": "tolerance-adaptation", "check_every": 1} | parameters
    return begun(build("step_policy", table), solver, grid)[0]


def trial(metric: float, evaluations: int) -> Trial:
    return Trial(metric=metric, evaluations=evaluations)


def after(policy, own: tuple[float, int], *answers) -> tuple[float, list[tuple[str, float]]]:
    """The tolerance that follows, and what was attempted."""
    batch = Batch([answer if isinstance(answer, Exception) else trial(*answer) for answer in answers])
    grid = policy.after(trial(*own), batch)
    assert batch.answers == []
    assert grid.atol == grid.rtol
    return grid.rtol, [(name, grid.rtol) for name, grid in batch.asked]


def test_the_published_schedule_in_every_fiftieth_iteration():
    policy, first = begun(build("step_policy", "tolerance-adaptation"), "fehlberg21")
    assert first == asked(1e-6)
    script = {
        # an agreement; dopri5 at a fifth of the tolerance takes more evaluations than the own solve
        50: ((0.9, 30), [(0.85, 40), (0.88, 27)], 1.1e-6, [("dopri5", 2e-7), ("fehlberg21", 1.1e-6)]),
        # a violation
        100: ((0.9, 30), [(0.75, 40)], 0.55e-6, [("dopri5", 2.2e-7)]),
        # a looser tolerance that gives another metric
        150: ((0.9, 30), [(0.9, 40), (0.7, 27)], 0.55e-6, [("dopri5", 1.1e-7), ("fehlberg21", 0.605e-6)]),
        # the test takes no more evaluations, so it is tightened twice
        200: (
            (0.9, 30), [(0.9, 20), (0.9, 30), (0.9, 31), (0.9, 27)], 0.605e-6,
            [("dopri5", 1.1e-7), ("dopri5", 1.1e-8), ("dopri5", 1.1e-9), ("fehlberg21", 0.605e-6)],
        ),
        # only the last test counts
        250: ((0.9, 30), [(0.9, 20), (0.5, 31)], 0.3025e-6, [("dopri5", 1.21e-7), ("dopri5", 1.21e-8)]),
    }  # fmt: skip
    tolerance = 1e-6
    for iteration in range(1, 251):
        assert policy.due is (iteration in script)
        if iteration not in script:
            grid = policy.after(Trial(metric=NAN, evaluations=30), no_attempt)
            assert grid.rtol == pytest.approx(tolerance)
            continue
        own, answers, tolerance, attempts = script[iteration]
        found, made = after(policy, own, *answers)
        assert found == pytest.approx(tolerance, rel=1e-12), iteration
        assert [name for name, _ in made] == [name for name, _ in attempts]
        assert [level for _, level in made] == pytest.approx([level for _, level in attempts], rel=1e-12)


@pytest.mark.parametrize(
    ("solver", "test", "name", "factor"),
    [
        ("fehlberg21", None, "dopri5", 5.0),
        ("bosh3", None, "dopri5", 5.0),
        ("dopri5", None, "dopri5", 10.0),
        ("tsit5", None, "tsit5", 10.0),
        ("dopri8", None, "dopri8", 10.0),
        ("kvaerno3", None, "kvaerno3", 10.0),
        ("dopri5", "dopri8", "dopri8", 5.0),
        ("fehlberg21", {"name": "fehlberg21"}, "fehlberg21", 10.0),
    ],
)
def test_each_solver_is_checked_by_a_tighter_one(solver, test, name, factor):
    _, made = after(watched(solver=solver, test_solver=test), (0.9, 30), (0.5, 40))
    assert made == [(name, pytest.approx(1e-6 / factor))]
    _, made = after(watched(solver=solver, test_solver=test, test_factor=3.0), (0.9, 30), (0.5, 40))
    assert made == [(name, pytest.approx(1e-6 / 3.0))]


def test_the_costs_of_this_iteration_count_and_not_those_of_another():
    """Earlier iterations, with other batches and weights, took 100: the test takes more than this one's 20, and that is enough."""
    policy = watched(asked(1e-4), check_every=4)
    for _ in range(3):
        policy.after(trial(NAN, 100), no_attempt)
    tolerance, made = after(policy, (0.9, 20), (0.9, 30), (0.9, 18))
    assert made == [("dopri5", pytest.approx(2e-5)), ("fehlberg21", pytest.approx(1.1e-4))]
    assert tolerance == pytest.approx(1.1e-4)
    # And where it took more than the test, earlier cheap ones change nothing.
    for _ in range(3):
        policy.after(trial(NAN, 5), no_attempt)
    _, made = after(policy, (0.9, 40), (0.9, 30), (0.9, 50), (0.2, 18))
    assert [level for name, level in made if name == "dopri5"] == pytest.approx([2.2e-5, 2.2e-6])


def test_a_tolerance_grows_to_its_cap_and_no_further():
    policy = watched(asked(0.08))
    levels = [after(policy, (0.9, 30 + n), (0.9, 40 + n), (0.9, 20))[0] for n in range(3)]
    assert levels == [pytest.approx(0.088), pytest.approx(0.0968), 0.1]
    # There, nothing is tried that could not be taken.
    for _ in range(3):
        assert after(policy, (0.9, 30), (0.9, 40)) == (0.1, [("dopri5", 0.02)])
    policy = watched(asked(1e-3), largest_tolerance=1e-3)
    assert after(policy, (0.9, 30), (0.9, 40)) == (1e-3, [("dopri5", 2e-4)])


def test_a_tolerance_shrinks_to_its_least_and_says_so_there():
    policy = watched(asked(3e-9))
    assert after(policy, (0.9, 30), (0.5, 40))[0] == 1.5e-9
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert after(policy, (0.9, 30), (0.5, 40))[0] == 1e-9
    with pytest.warns(RuntimeWarning, match="at a tolerance of 1e-09, and `smallest_tolerance` allows no less"):
        assert after(policy, (0.9, 30), (0.5, 40))[0] == 1e-9


def test_a_looser_tolerance_that_saves_nothing_is_not_taken():
    """It takes 30 evaluations, as each of the last five iterations did."""
    policy = watched(asked(1e-4), check_every=6)
    for cost in (99, 30, 30, 30, 30):
        policy.after(trial(NAN, cost), no_attempt)
    assert after(policy, (0.9, 30), (0.9, 40), (0.9, 30))[0] == 1e-4
    # One of the last five took something else.
    for cost in (30, 30, 30, 31, 30):
        policy.after(trial(NAN, cost), no_attempt)
    assert after(policy, (0.9, 30), (0.9, 40), (0.9, 30))[0] == pytest.approx(1.1e-4)
    # It takes less.
    for cost in (30, 30, 30, 30, 30):
        policy.after(trial(NAN, cost), no_attempt)
    assert after(policy, (0.9, 30), (0.9, 40), (0.9, 29))[0] == pytest.approx(1.21e-4)
    # Too few iterations say nothing, and the rule can be left out.
    assert after(watched(asked(1e-4)), (0.9, 30), (0.9, 40), (0.9, 30))[0] == pytest.approx(1.1e-4)
    policy = watched(asked(1e-4), unchanged=0)
    for n in range(1, 8):
        assert after(policy, (0.9, 30), (0.9, 40), (0.9, 30))[0] == pytest.approx(1e-4 * 1.1**n)


def test_a_test_that_never_costs_more_ends_at_the_least_tolerance():
    """On a field that is solved exactly in few steps, every tolerance costs the same: the tightest test decides."""
    policy = watched(asked(1e-6))
    levels = [2e-7, 2e-8, 2e-9, 2e-10]
    tolerance, made = after(policy, (0.9, 30), *[(0.9, 8)] * 4, (0.9, 20))
    assert [level for name, level in made if name == "dopri5"] == pytest.approx(levels)
    assert tolerance == pytest.approx(1.1e-6)


@pytest.mark.parametrize("refined", [DivergedError("rounding"), (NAN, 10**6)], ids=["raises", "nan"])
def test_a_refined_test_that_goes_astray_leaves_the_one_before(refined):
    assert after(watched(asked(1e-6)), (0.9, 30), (0.9, 20), refined, (0.9, 20))[0] == pytest.approx(1.1e-6)
    assert after(watched(asked(1e-6)), (0.9, 30), (0.5, 20), refined)[0] == 0.5e-6


def test_solves_that_go_astray():
    assert after(watched(), (0.9, 30), DivergedError("no step is small enough"))[0] == 0.5e-6
    assert after(watched(), (0.9, 30), (NAN, 40))[0] == 0.5e-6
    assert after(watched(), (0.9, 30), (0.9, 40), DivergedError("too loose"))[0] == 1e-6
    assert after(watched(), (0.9, 30), (0.9, 40), (NAN, 20))[0] == 1e-6
    assert after(watched(), (NAN, 30)) == (0.5e-6, [])


def test_a_regression_is_judged_by_its_loss():
    relative = {"comparison": "relative", "threshold": 0.2}
    assert after(watched(**relative), (1e-3, 30), (5e-3, 40))[0] == 0.5e-6
    assert after(watched(**relative), (1e-3, 30), (1.1e-3, 40), (1e-3, 20))[0] == pytest.approx(1.1e-6)


def test_two_tolerances_keep_their_ratio_and_everything_else_that_was_asked_for():
    policy, first = begun(
        build("step_policy", {"name": "tolerance-adaptation", "check_every": 1}),
        "fehlberg21",
        Tolerance(rtol=1e-3, atol=1e-6, batch="per-sample", max_steps=77),
    )
    assert first == Tolerance(rtol=1e-3, atol=1e-6, batch="per-sample", max_steps=77)
    batch = Batch([trial(0.9, 40), trial(0.9, 20)])
    grid = policy.after(trial(0.9, 30), batch)
    assert (grid.rtol, grid.atol) == (pytest.approx(1.1e-3), pytest.approx(1.1e-6))
    assert {(one.batch, one.max_steps) for _, one in batch.asked} == {("per-sample", 77)}
    assert (batch.asked[0][1].rtol, batch.asked[0][1].atol) == (pytest.approx(2e-4), pytest.approx(2e-7))


@pytest.mark.parametrize(
    ("solver", "grid", "parameters", "said"),
    [
        ("rk4", None, {}, "'rk4' takes no tolerance that could be adapted. Use 'step-adaptation'"),
        ("dopri5", StepSize(steps=4), {}, "adapts a tolerance and was given a StepSize"),
        ("dopri5", asked(0.5), {}, "the first tolerance is 0.5; it must lie between"),
        ("dopri5", None, {"first_tolerance": 1e-12}, "the first tolerance is 1e-12"),
        ("dopri5", None, {"test_solver": "bosh3"}, "test solver 'bosh3' is of order 3, below order 5 of 'dopri5'"),
        ("fehlberg21", None, {"test_solver": "rk4"}, "test solver 'rk4' takes no tolerance"),
        ("dopri5", None, {"shrink": 0.0}, "`shrink` is 0.0"),
        ("dopri5", None, {"largest_tolerance": 1e-10}, "`smallest_tolerance` is 1e-09; it must be finite and above 0 and at most"),
        ("dopri5", None, {"test_factor": 0.1}, "`test_factor` is 0.1"),
        ("dopri5", None, {"unchanged": -1}, "`unchanged` is -1"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused(solver, grid, parameters, said):
    with pytest.raises(IncompatibleError) as caught:
        watched(grid, solver, **parameters)
    assert said in str(caught.value)


def test_what_a_solve_took_must_be_told():
    with pytest.raises(IncompatibleError, match="was not told how many evaluations"):
        watched(check_every=50).after(Trial(metric=NAN), no_attempt)
    with pytest.raises(IncompatibleError, match="was not told how many evaluations"):
        watched().after(trial(0.9, 30), Batch([0.9]))


def test_a_policy_goes_on_from_what_it_remembers():
    generator = torch.Generator().manual_seed(0)
    metrics = torch.rand(3, 60, generator=generator, dtype=torch.float64).mul(0.3).tolist()
    costs = torch.randint(30, 32, (60,), generator=generator).tolist()

    def run(policy, first, last):
        found = []
        for n in range(first, last):
            batch = Batch(
                lambda name, grid, n=n: trial(metrics[1 + (name != "dopri5")][n], 40 if name == "dopri5" else 30)
            )
            found.append(policy.after(trial(metrics[0][n], costs[n]), batch).rtol)
        return found

    expected = run(watched(check_every=3, unchanged=2), 0, 60)
    assert len(set(expected)) > 5
    for cut in (1, 2, 3, 20, 47):
        before, after_cut = watched(check_every=3, unchanged=2), watched(check_every=3, unchanged=2)
        run(before, 0, cut)
        after_cut.load_state_dict(json.loads(json.dumps(before.state_dict(), allow_nan=False)))
        assert run(after_cut, cut, 60) == expected[cut:]
