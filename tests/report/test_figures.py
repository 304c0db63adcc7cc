"""Which rows each family of figures draws, what it says about the others, and when there is nothing to draw."""

import pytest

from odebench.report import draw
from odebench.report.chart import Chart, Extents, Skipped
from odebench.report.figures import FAMILIES, gradient_error, memory, overview, roundtrip, times, work_precision
from odebench.report.frame import frame_of
from odebench.report.labels import with_labels
from tests.report.synthetic import GRADIENTS, failed, record


def integrations(solver="rk4", steps=(32, 64, 128), **options):
    return [record("integrate", "mlp-field", solver, None, {"steps": n}, **options) for n in steps]


def gradients(name="direct", solver="rk4", steps=(32, 64, 128), **options):
    return [record("gradient", "mlp-field", solver, name, {"steps": n}, **options) for n in steps]


def charts(family, records):
    return family(with_labels(frame_of(records)))


def points(chart):
    return {(series.label, point.x, point.y) for p in chart.panels for series in p.series for point in series.points}


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_each_family_has_a_chart_a_model_with_a_caption(family, labelled):
    made = family(labelled)
    assert {one.model for one in made} == {"mlp-field", "van-der-pol"}
    for one in made:
        assert isinstance(one, Chart)
        assert one.caption.endswith(".")
        assert one.model in one.title


def test_keys_are_unique(labelled):
    keys = [one.key for family in FAMILIES for one in family(labelled)]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_where_everything_failed_the_figure_is_skipped_with_a_reason(family):
    made = integrations() + gradients() + [record("reversibility", "mlp-field", "rk4", None, {"steps": 32})]
    skipped = charts(family, [failed(one, "crashed", "signal 11") for one in made])
    assert all(isinstance(one, Skipped) and one.reason.endswith(".") for one in skipped)


def test_work_precision_holds_error_and_evaluations_of_each_grid():
    made = integrations()
    (chart,) = charts(work_precision.against_evaluations, made)
    expected = {
        ("rk4", 4.0 * one["cell"]["grid"]["steps"], one["parts"]["quality"]["values"]["error_final"]) for one in made
    }
    assert points(chart) == expected


def test_work_precision_prefers_solves_without_a_gradient_method_and_takes_others_where_there_are_none():
    (chart,) = charts(work_precision.against_evaluations, integrations(steps=(32,)) + gradients(steps=(64,)))
    assert len(points(chart)) == 1
    (chart,) = charts(work_precision.against_evaluations, gradients(steps=(32, 64)))
    assert len(points(chart)) == 2


def test_work_precision_leaves_round_trips_out():
    trips = [record("reversibility", "mlp-field", "rk4", None, {"steps": 512})]
    trips[0]["parts"]["quality"]["values"]["error_final"] = 0.5
    (chart,) = charts(work_precision.against_evaluations, integrations() + trips)
    assert len(points(chart)) == 3


def test_failures_are_counted_in_a_note_and_what_is_not_offered_is_not():
    made = integrations()
    made[0] = failed(made[0], "diverged", "not finite")
    made[1] = failed(made[1], "unsupported", "no")
    (chart,) = charts(work_precision.against_evaluations, made)
    assert chart.notes == ("Not drawn: 1 failed, see failures.",)
    assert len(points(chart)) == 1


def test_times_say_indicative_unless_three_processes_measured_them():
    (one,) = charts(work_precision.against_time, integrations(processes=1))
    (three,) = charts(work_precision.against_time, integrations(processes=3))
    assert "indicative" in one.title and any("indicative" in note for note in one.notes)
    assert "indicative" not in three.title + "".join(three.notes)


def test_disturbed_timings_are_hollow():
    made = integrations()
    made[0]["parts"]["timing"]["rounds"][0]["valid"] = False
    (chart,) = charts(work_precision.against_time, made)
    assert sorted(point.hollow for point in chart.panels[0].series[0].points) == [False, False, True]
    assert any("hollow" in note for note in chart.notes)


def test_number_formats_are_never_joined():
    (chart,) = charts(work_precision.against_evaluations, integrations() + integrations(dtype="float32"))
    assert [series.label for series in chart.panels[0].series] == ["rk4 · float32", "rk4 · float64"]
    assert {series.name for series in chart.panels[0].series} == {"rk4"}


def test_seeds_become_one_point():
    made = integrations(steps=(32,)) * 2
    made[1] = made[1] | {"cell": made[1]["cell"] | {"seed": 1}}
    (chart,) = charts(work_precision.against_evaluations, made)
    assert len(chart.panels[0].series[0].points) == 1


def test_gradient_errors_have_a_panel_a_solver_with_tolerances_falling_to_the_right(labelled):
    chart = next(one for one in gradient_error.discrete(labelled) if one.model == "mlp-field")
    assert [(panel.title, panel.x.column, panel.x.falling) for panel in chart.panels] == [
        ("euler", "steps_accepted", False),
        ("rk4", "steps_accepted", False),
        ("bosh3", "rtol", True),
        ("dopri5", "rtol", True),
    ]
    assert {series.name for series in chart.panels[0].series} == set(GRADIENTS)


def test_continuous_and_discrete_gradient_errors_are_never_mixed():
    made = gradients(steps=(32,))
    quality = made[0]["parts"]["quality"]["values"]
    quality |= {"grad_error_y0": 0.25, "grad_error_params": 0.125, "grad_error_discrete": 0.5}
    assert {point[2] for one in charts(gradient_error.discrete, made) for point in points(one)} == {0.5}
    assert [{point[2] for point in points(one)} for one in charts(gradient_error.continuous, made)] == [{0.25}, {0.125}]


def test_a_solver_on_fixed_steps_and_on_tolerances_gets_two_panels():
    both = gradients(solver="dopri5") + [
        record("gradient", "mlp-field", "dopri5", "direct", {"rtol": 1e-3, "atol": 1e-3, "batch": "joint"})
    ]
    (chart,) = charts(gradient_error.discrete, both)
    assert [panel.x.column for panel in chart.panels] == ["steps_accepted", "rtol"]


def test_memory_has_the_fitted_bytes_per_step_in_its_legend():
    (chart,) = charts(memory.against_steps, gradients("direct") + gradients("continuous-adjoint"))
    assert [series.label for series in chart.panels[0].series] == [
        "continuous-adjoint · 16 bytes a step",
        "direct · 16 KiB a step",
    ]
    assert all(series.fit is not None for series in chart.panels[0].series)


def test_the_overview_shows_solvers_and_the_gradient_methods_of_one_solver():
    made = integrations("euler") + integrations("rk4") + integrations("dopri5", steps=(32,))
    made += gradients("direct") + gradients("continuous-adjoint") + gradients("direct", solver="euler", steps=(32, 64))
    (chart,) = charts(overview.overview, made)
    work, errors, sizes = chart.panels
    assert [series.label for series in work.series] == ["dopri5", "euler", "rk4"]
    assert (work.palette, errors.palette, chart.palette) == ("solver", "", "gradient")
    assert [series.label for series in errors.series] == ["continuous-adjoint", "direct"]
    # Names stand in the middle, and what they cost beside them; the methods are in the same order.
    assert [series.label for series in sizes.series] == ["16 bytes a step", "16 KiB a step"]
    assert [series.name for series in sizes.series] == ["continuous-adjoint", "direct"]
    assert errors.title.endswith("(rk4)") and sizes.title.endswith("(rk4)")
    assert {point.x for series in errors.series for point in series.points} == {32, 64, 128}


def test_of_many_solvers_the_overview_shows_those_that_need_the_fewest_evaluations():
    made = gradients("direct")
    for one in made:
        one["parts"]["quality"]["values"] |= {"nfe_forward": 10**6, "error_final": 1e3}
    costs = {f"solver-{n:02}": (64 * (n + 1), 10.0 ** -(n % 5)) for n in range(20)}
    for name, (evaluations, error) in costs.items():
        (one,) = integrations(steps=(64,))
        one["cell"]["solver"]["name"], one["cell_id"] = name, f"{name:0>16}"
        one["parts"]["quality"]["values"] |= {"nfe_forward": evaluations, "error_final": error}
        made.append(one)
    (chart,) = charts(overview.overview, made)
    shown = [series.label for series in chart.panels[0].series]
    # Ahead are 0 to 4, which reach the five errors first; without them 5 to 9, and then 10 and 11.
    assert shown == [f"solver-{n:02}" for n in range(12)]
    assert "9 more solvers below." in chart.notes


def test_the_overview_prefers_fixed_grids_and_takes_tolerances_where_there_are_none():
    tolerances = [
        record("gradient", "mlp-field", "dopri5", name, {"rtol": rtol, "atol": rtol, "batch": "joint"})
        for name in ("direct", "anode")
        for rtol in (1e-3, 1e-5, 1e-7)
    ]
    (chart,) = charts(overview.overview, gradients(steps=(32,)) + tolerances)
    assert chart.panels[1].title.endswith("(rk4)")
    (chart,) = charts(overview.overview, tolerances)
    assert chart.panels[1].title.endswith("(dopri5)")


def test_a_gradient_method_that_the_overview_lacks_is_named():
    unknown = gradients("anode")
    for one in unknown:
        one["parts"]["quality"]["values"]["grad_error_discrete"] = None
    (chart,) = charts(overview.overview, gradients() + unknown)
    assert chart.notes == ("Not in this figure: anode; see those below.",)


def test_a_model_without_gradients_or_without_solver_errors_has_no_overview():
    assert charts(overview.overview, integrations()) == []
    unknown = gradients()
    for one in unknown:
        one["parts"]["quality"]["values"]["error_final"] = None
    assert charts(overview.overview, unknown) == []


def test_many_solvers_are_spread_over_several_memory_figures():
    made = []
    for number in range(14):
        for one in gradients():
            made.append(one | {"cell": one["cell"] | {"solver": {"name": f"s{number:02}", "parameters": {}}}})
    sizes = [len(chart.panels) for chart in charts(memory.against_steps, made)]
    assert sizes == [7, 7]


def test_times_compare_methods_on_the_grid_that_most_of_them_finished():
    made = gradients("direct", steps=(32, 64)) + gradients("anode", steps=(32,))
    (chart,) = charts(times.forward_and_backward, made)
    assert chart.panels[0].rows == ("rk4, 32 steps",)
    assert [panel.title for panel in chart.panels] == ["forward", "backward"]


def test_rows_of_times_have_room_for_the_methods_that_stand_in_them_and_no_more():
    made = gradients("direct") + gradients("anode") + gradients("step-checkpoint", solver="euler")
    (chart,) = charts(times.forward_and_backward, made)
    assert chart.panels[0].rows == ("euler, 128 steps", "rk4, 128 steps")
    ys = {series.label: [point.y for point in series.points] for series in chart.panels[0].series}
    assert ys["step-checkpoint"] == [0.0]
    assert ys["anode"] == [pytest.approx(1 - 0.155)] and ys["direct"] == [pytest.approx(1 + 0.155)]
    assert [draw._most_in_a_row(panel) for panel in chart.panels] == [2, 2]


def test_a_round_trip_without_error_stands_at_the_rounding_unit():
    made = [record("reversibility", "mlp-field", "midpoint", None, {"steps": n}, dtype="float32") for n in (32, 64)]
    (chart,) = charts(roundtrip.roundtrip, made)
    assert chart.panels[0].floor == 2.0**-23
    assert any("exactly 0" in note for note in chart.notes)


def test_charts_side_by_side_share_their_extents():
    slow, fast = (charts(work_precision.against_time, integrations(slowdown=s))[0] for s in (1, 100))
    shared = Extents([slow, fast]).values("time_forward_s")
    assert shared[0] == Extents([slow]).values("time_forward_s")[0]
    assert shared[-1] == Extents([fast]).values("time_forward_s")[-1]
