"""Solvers are ranked at one and the same error; failures cost infinity."""

import math

import pytest

from odebench.report.equal_error import cost_at, equal_error
from odebench.report.frame import frame_of
from odebench.report.labels import with_labels
from tests.report.synthetic import failed, record


def test_between_two_points_the_cost_is_interpolated_on_log_log_axes():
    # error = cost ** -2: at 1e-3 the cost is 10 ** 1.5.
    cost, bound = cost_at([1e-2, 1e-4], [10, 100], 1e-3)
    assert cost == pytest.approx(10**1.5)
    assert not bound


def test_a_grid_that_is_better_than_asked_gives_an_upper_bound():
    assert cost_at([1e-5, 1e-8], [40, 80], 1e-3) == (40, True)


def test_who_never_gets_there_costs_infinity():
    assert cost_at([1e-1, 1e-2], [10, 100], 1e-3) == (math.inf, False)
    assert cost_at([], [], 1e-3) == (math.inf, False)


def test_more_work_for_no_less_error_is_no_point_of_the_frontier():
    with_bump = cost_at([1e-2, 5e-2, 1e-4], [10, 50, 100], 1e-3)
    assert with_bump == cost_at([1e-2, 1e-4], [10, 100], 1e-3)


def test_order_of_points_does_not_matter():
    assert cost_at([1e-4, 1e-2], [100, 10], 1e-3) == cost_at([1e-2, 1e-4], [10, 100], 1e-3)


def cells(solver, steps=(32, 64, 128, 256), model="mlp-field"):
    return [record("integrate", model, solver, None, {"steps": number}) for number in steps]


def ranked(records, target=1e-4):
    table = equal_error(with_labels(frame_of(records)), (target,))
    return table.set_index("solver")


def test_the_solver_of_higher_order_wins_at_a_small_error():
    table = ranked(cells("euler") + cells("midpoint") + cells("rk4"), 5e-4)
    assert list(table.index) == ["rk4", "midpoint", "euler"]
    assert table.loc["euler", "nfe"] == math.inf
    assert table.loc["rk4", "nfe"] < 200 < table.loc["midpoint", "nfe"]


def test_a_solver_whose_fine_grids_failed_does_not_reach_a_small_error():
    good = cells("rk4")
    assert ranked(good, 1e-6).loc["rk4", "nfe"] < math.inf
    bad = good[:2] + [failed(one, "diverged", "not finite") for one in good[2:]]
    row = ranked(bad, 1e-6).loc["rk4"]
    assert row["nfe"] == math.inf
    assert (row["failed"], row["cells"]) == (2, 4)


def test_a_solver_all_of_whose_cells_failed_costs_infinity_and_is_listed():
    table = ranked(cells("rk4") + [failed(one, "crashed", "signal 11") for one in cells("midpoint")])
    assert table.loc["midpoint", "nfe"] == math.inf


def test_what_is_not_offered_is_not_ranked():
    table = ranked(cells("rk4") + [failed(one, "unsupported", "no") for one in cells("midpoint")])
    assert list(table.index) == ["rk4"]


def test_an_invalid_timing_is_never_ranked():
    made = cells("rk4")
    for one in made:
        one["parts"]["timing"]["rounds"][0]["valid"] = False
    table = ranked(made)
    assert table["time_s"].isna().all()
    assert (table["nfe"] < math.inf).all()


def test_round_trips_and_gradients_do_not_spoil_the_ranking():
    alone = ranked(cells("rk4"))
    trips = [record("reversibility", "mlp-field", "rk4", None, {"steps": 64})]
    gradients = [record("gradient", "mlp-field", "rk4", "anode", {"steps": n}) for n in (32, 64)]
    assert ranked(cells("rk4") + trips + gradients)["nfe"].tolist() == alone["nfe"].tolist()


def test_an_error_of_exactly_0_counts_as_the_rounding_unit():
    made = cells("rk4", steps=(32, 64))
    made[1]["parts"]["quality"]["values"]["error_final"] = 0.0
    assert ranked(made, 1e-12).loc["rk4", "nfe"] < math.inf
