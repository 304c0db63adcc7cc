"""Each check of a solver lets an honest one pass, and catches one that breaks the promise; the built-in ones pass all."""

from __future__ import annotations

import pytest

from odebench.conformance import Failure, parametrize_with_checks, solver_checks
from odebench.conformance.solvers import convergence
from odebench.plugins import build_registry
from tests.conformance import broken_solvers as broken

# Check, a solver that it must catch, and words of what it then says.
CAUGHT = [
    ("check_order_conditions", broken.WrongWeight, "all conditions of order 3.*`b`, `a` and `c`"),
    ("check_embedded_order_conditions", broken.WrongEstimate, "the embedded method.*order 2"),
    ("check_dense_order_conditions", broken.WrongExtension, "the continuous extension.*order 2"),
    ("check_observed_order", broken.WrongWeight, r"order 3, as declared.*Measured (2|1\.9)"),
    ("check_observed_order", broken.WrongStageTime, "Measured [12]"),
    ("check_tolerance_proportionality", broken.OptimisticControl, "slope [12]"),
    ("check_error_estimate_order", broken.WrongExponent, "power 4.*Measured 3"),
    ("check_error_estimate_order", broken.WrongEstimate, "power 3.*Measured 2"),
    ("check_rejected_attempts_leave_no_trace", broken.SnapsOutputs, "accepted steps, bit for bit"),
    ("check_rejected_attempts_leave_no_trace", broken.KeepsRejectedStage, "bit for bit|a solution of"),
    ("check_few_attempts_are_rejected", broken.PlansTooLong, "rejected and"),
    ("check_interpolant_order", broken.WrongInterpolant, "power 4"),
    ("check_evaluations_are_counted", broken.CountsLess, "24 evaluations.*Measured 23"),
    ("check_declared_stages", broken.MoreStages, "`stages` is 4.*Measured 3"),
    ("check_rows_do_not_interact", broken.MixesRows, "bit for bit"),
    ("check_rows_with_steps_of_their_own_do_not_interact", broken.SharesEstimates, "bit for bit"),
    ("check_gradient_mode_changes_nothing", broken.OtherWithGraph, "with a graph and without"),
    ("check_steps_are_recomputed", broken.OtherWithGraph, "with a graph"),
    ("check_steps_are_recomputed", broken.OtherWithEstimate, "tolerance"),
    ("check_steps_are_recomputed", broken.WrongCarry, "without the carry"),
    ("check_grid_is_repeated", broken.RoundsGrid, "on its (own )?grid"),
    ("check_grid_is_repeated", broken.LosesGrid, "takes_grids"),
    ("check_determinism", broken.Remembers, "a new solver"),
    ("check_determinism", broken.Drifts, "is repeated"),
    ("check_dtypes", broken.Promotes, "bfloat16|float32"),
    ("check_devices", broken.OtherDevice, "on meta"),
    ("check_shapes", broken.Squeezes, r"shape \(3, 1, 2\)"),
    ("check_noncontiguous_states", broken.Views, "transposed.*view"),
    ("check_empty_states", broken.NeedsElements, r"\(0, 2\)"),
    ("check_tuple_states", broken.Unpacks, "a tuple"),
    ("check_reversed_time", broken.ForwardOnly, "mirrored"),
    ("check_reversed_time", broken.ForwardStep, "mirrored"),
    ("check_shifted_time", broken.OwnClock, "three units of time later"),
    ("check_output_times", broken.MixesOutputs, "ends there"),
    ("check_uneven_last_step", broken.StretchesSteps, "0.3, 0.3, 0.3 and 0.1"),
    ("check_inputs_are_not_changed", broken.WritesIntoState, "the initial state changed"),
    ("check_inputs_are_not_changed", broken.GivesView, "the initial state changed"),
    ("check_global_state", broken.Seeds, "torch's random state"),
    ("check_global_state", broken.ChangesDtypeOnErrors, "torch's default dtype"),
    ("check_exceptions_are_passed_on", broken.Swallows, "RuntimeError.*DivergedError"),
    ("check_nan_is_passed_on", broken.IgnoresNan, "finite numbers"),
    ("check_nan_is_passed_on", broken.Loops, "more than 5000 evaluations"),
    ("check_max_steps", broken.Patient, "a solution, after"),
]
BY_NAME = {check.__name__: check for make in (broken.Honest, broken.HonestMidpoint) for check in solver_checks(make())}


@pytest.mark.parametrize(
    ("name", "make", "words"), CAUGHT, ids=lambda value: getattr(value, "__name__", str(value)[:40])
)
def test_a_broken_solver_is_caught(name, make, words):
    solver = make()
    assert BY_NAME[name] in solver_checks(solver), "the check would not even be chosen"
    with pytest.raises(Failure, match=f"(?s){words}") as caught:
        BY_NAME[name](solver)
    assert all((caught.value.expected, caught.value.measured, caught.value.cause, caught.value.look))


def test_every_check_has_a_solver_that_it_catches():
    assert {name for name, _, _ in CAUGHT} == set(BY_NAME)


def test_an_order_that_shows_late_is_said_to(monkeypatch):
    monkeypatch.setattr(convergence, "_MOST_HALVINGS", 11)
    with pytest.raises(Failure, match="(?s)no three halvings.*large, and come down late.*defaults of its parameters"):
        convergence.check_observed_order(broken.HonestLinearPart(rate=-1.0))


@parametrize_with_checks([broken.Honest(), broken.HonestMidpoint(), broken.HonestLinearPart()])
def test_honest_solvers_pass(plugin, check):
    check(plugin)


@pytest.mark.slow
@parametrize_with_checks([entry.build() for entry in build_registry(prefixes=()).entries("solver")])
def test_built_in_solvers_pass(plugin, check):
    check(plugin)


def test_checks_are_chosen_by_what_is_declared():
    chosen = lambda solver: {check.__name__ for check in solver_checks(solver)}  # noqa: E731
    adaptive, fixed = broken.Honest(), broken.Honest(adaptive=False)
    assert chosen(adaptive) - chosen(fixed) == {
        "check_tolerance_proportionality",
        "check_error_estimate_order",
        "check_max_steps",
        "check_few_attempts_are_rejected",
        "check_rejected_attempts_leave_no_trace",
        "check_rows_with_steps_of_their_own_do_not_interact",
    }
    fixed.takes_grids = False
    assert chosen(fixed).isdisjoint({"check_observed_order", "check_grid_is_repeated", "check_uneven_last_step"})
    assert "check_dense_order_conditions" in chosen(broken.HonestMidpoint())
