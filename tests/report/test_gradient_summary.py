"""Exactness, bytes per step and time of gradient methods."""

import pytest

from odebench.report.frame import frame_of
from odebench.report.gradient_summary import baseline, bytes_per_step, summarise
from odebench.report.labels import with_labels
from tests.report.synthetic import GRADIENTS, failed, record


def cells(name, solver="rk4", model="mlp-field", steps=(32, 64, 128)):
    return [record("gradient", model, solver, name, {"steps": number}) for number in steps]


def table(*groups):
    return with_labels(frame_of([one for group in groups for one in group]))


def overall(frame):
    return {one.gradient: one for one in summarise(frame) if not one.model}


def test_the_methods_that_are_exact_are_called_exact(labelled):
    found = overall(labelled)
    assert {name: one.is_exact for name, one in found.items()} == {name: GRADIENTS[name][0] for name in GRADIENTS}


def test_one_cell_above_rounding_makes_a_method_inexact():
    made = cells("direct")
    made[1]["parts"]["quality"]["values"]["grad_error_discrete"] = 1e-9
    one = overall(table(made))["direct"]
    assert one.is_exact is False
    assert (one.exact, one.judged) == (2, 3)
    assert one.worst_discrete == 1e-9


def test_what_was_not_judged_is_neither_exact_nor_inexact():
    made = cells("direct")
    for one in made:
        one["parts"]["quality"]["values"]["grad_error_discrete"] = None
    assert overall(table(made))["direct"].is_exact is None


def test_bytes_per_step_are_fitted_for_each_method():
    found = bytes_per_step(table(cells("direct"), cells("continuous-adjoint"))).set_index("gradient")
    assert found.loc["direct", "bytes_per_step"] == pytest.approx(4 * 4096)
    assert found.loc["continuous-adjoint", "bytes_per_step"] == pytest.approx(16)
    assert (found["points"] == 3).all()
    assert found["base_bytes"].tolist() == pytest.approx([20_000, 20_000])


def adaptive(name, tolerances, slope):
    """Cells of an adaptive solver whose memory grows by so many bytes a step beyond the grid's record."""
    made = []
    for rtol in tolerances:
        one = record("gradient", "mlp-field", "dopri5", name, {"rtol": rtol, "atol": rtol, "batch": "joint"})
        steps = one["parts"]["quality"]["values"]["steps_accepted"]
        one["parts"]["memory"]["values"]["memory_peak_bytes"] = 1000 + slope * steps
        made.append(one)
    return made


def test_a_range_of_bytes_is_told_from_fixed_grids_of_three_sizes_where_there_are_any():
    fixed = cells("direct")
    two = cells("direct", solver="euler", steps=(32, 64))
    pair, triple = adaptive("direct", (1e-3, 1e-5), 7), adaptive("direct", (1e-3, 1e-5, 1e-7), 9)

    def told(*groups):
        one = overall(table(*groups))["direct"]
        return one.bytes_low, one.bytes_high

    assert told(fixed, two, triple) == pytest.approx((4 * 4096, 4 * 4096))
    assert told(two, triple) == pytest.approx((9, 9))
    assert told(two, pair) == pytest.approx((7, 4096))


def test_the_baseline_is_the_method_that_evaluates_nothing_in_its_backward_pass():
    assert baseline(table(cells("anode"), cells("direct"), cells("step-checkpoint"))) == "direct"
    assert baseline(table(cells("anode"))) is None


def test_times_are_compared_on_the_same_grid_only():
    # `anode` ran on grids of its own as well; only the one that both finished counts.
    frame = table(cells("direct", steps=(32,)), cells("anode", steps=(32, 4096)))
    assert 1.2 < overall(frame)["anode"].time_ratio < 1.5
    assert overall(frame)["direct"].time_ratio == pytest.approx(1)
    assert overall(table(cells("anode")))["anode"].time_ratio is None


def test_failures_are_counted_and_what_is_not_offered_is_not():
    made = cells("direct")
    made[0] = failed(made[0], "timeout", "too slow")
    made[1] = failed(made[1], "unsupported", "no")
    one = overall(table(made))["direct"]
    assert (one.ok, one.cells) == (1, 2)


def test_every_model_has_a_summary_of_its_own(labelled):
    assert {one.model for one in summarise(labelled)} == {"", "mlp-field", "van-der-pol"}
