"""Any comparison from the columns: right scales, clear refusals."""

import pytest

from odebench.report.frame import frame_of
from odebench.report.plot import PlotError, comparison, plot
from odebench.report.where import WhereError
from tests.report.synthetic import failed, record


def integrations(solver="rk4", model="mlp-field", steps=(32, 64, 128)):
    return [record("integrate", model, solver, None, {"steps": n}) for n in steps]


@pytest.mark.parametrize(
    ("suffix", "start"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF"), (".PNG", b"\x89PNG")]
)
def test_the_suffix_is_the_format(frame, tmp_path, suffix, start):
    target = tmp_path / f"a{suffix}"
    assert plot(frame, "nfe_forward", "error_final", hue="solver", output=target) == target
    assert target.read_bytes().startswith(start)


def test_a_line_joins_the_grids_of_one_method():
    chart, looks = comparison(
        frame_of(integrations() + integrations("euler")), "nfe_forward", "error_final", hue="solver"
    )
    assert [series.label for series in chart.panels[0].series] == ["euler", "rk4"]
    assert all(series.joined for series in chart.panels[0].series)
    assert looks["rk4"] != looks["euler"]


def test_points_of_different_questions_are_not_joined_and_a_note_says_which():
    mixed = frame_of(integrations() + integrations(model="van-der-pol"))
    chart, _ = comparison(mixed, "nfe_forward", "error_final", hue="solver")
    assert not chart.panels[0].series[0].joined
    assert any("model vary" in note for note in chart.notes)
    chart, _ = comparison(mixed, "nfe_forward", "error_final", hue="solver", facet="model")
    assert all(series.joined for panel in chart.panels for series in panel.series)


def gradients(name, solver="rk4", model="mlp-field", steps=(16, 512)):
    return [record("gradient", model, solver, name, {"steps": n}) for n in steps]


def test_figures_of_the_solve_are_joined_whatever_task_and_gradient_method_it_was_done_for():
    mixed = integrations(steps=(32, 128)) + gradients("direct") + gradients("anode")
    for one in mixed:
        one["parts"]["quality"]["values"]["error_final"] = one["cell"]["grid"]["steps"] ** -4.0
    chart, _ = comparison(frame_of(mixed), "nfe_forward", "error_final", hue="solver")
    (series,) = chart.panels[0].series
    assert series.joined and not any("vary" in note for note in chart.notes)
    assert [point.x for point in series.points] == [64, 64, 128, 512, 2048, 2048]
    chart, _ = comparison(frame_of(mixed), "steps_accepted", "memory_peak_bytes", hue="solver")
    assert not chart.panels[0].series[0].joined
    assert any("where gradient, task vary" in note for note in chart.notes)


def test_figures_of_a_solve_that_differ_on_one_grid_are_not_joined():
    mixed = integrations(steps=(16, 32)) + gradients("direct")
    mixed[-2]["parts"]["quality"]["values"]["nfe_forward"] *= 2
    chart, _ = comparison(frame_of(mixed), "nfe_forward", "error_final", hue="solver")
    assert not chart.panels[0].series[0].joined


def test_models_of_one_name_are_told_apart_by_their_parameters():
    made = [
        record("integrate", "van-der-pol", "rk4", None, {"steps": n}, parameters={"model": {"mu": mu}})
        for mu in (2.0, 100.0)
        for n in (32, 64)
    ]
    chart, _ = comparison(frame_of(made), "nfe_forward", "error_final", hue="solver", facet="model")
    assert [panel.title for panel in chart.panels] == ["model = van-der-pol (mu=100)", "model = van-der-pol (mu=2)"]
    assert all(series.joined for panel in chart.panels for series in panel.series)
    chart, _ = comparison(frame_of(made), "nfe_forward", "error_final", hue="solver")
    assert any("where model.mu vary" in note for note in chart.notes)


def test_a_facet_gives_a_panel_a_value(frame):
    chart, _ = comparison(frame, "nfe_forward", "error_final", hue="solver", facet="model")
    assert [panel.title for panel in chart.panels] == ["model = mlp-field", "model = van-der-pol"]


def test_style_gives_markers_and_hue_gives_colours(frame):
    chart, looks = comparison(
        frame, "steps", "memory_peak_bytes", hue="gradient", style="solver", where="steps != None and gradient != None"
    )
    assert looks["direct · rk4"].colour == looks["direct · euler"].colour
    assert looks["direct · rk4"].marker == looks["anode · rk4"].marker
    assert looks["direct · rk4"].marker != looks["direct · euler"].marker
    assert len(chart.panels[0].series) == 8


def test_a_hue_that_is_missing_has_a_name(frame):
    chart, _ = comparison(frame, "steps", "memory_peak_bytes", hue="gradient")
    assert "no gradient method" in [series.label for series in chart.panels[0].series]


def test_text_makes_a_categorical_axis_and_its_marks_stand_apart(frame, tmp_path):
    chart, _ = comparison(frame, "gradient", "time_total_s", hue="solver", where="gradient != None")
    panel = chart.panels[0]
    assert panel.columns == ("anode", "continuous-adjoint", "direct", "step-checkpoint")
    assert not any("joined" in note for note in chart.notes)
    assert len({round(point.x % 1, 6) for series in panel.series for point in series.points}) == 4
    for x, y in (("outcome", "model"), ("model", "outcome"), ("timing_valid", "model"), ("error_final", "solver")):
        assert plot(frame, x, y, output=tmp_path / "a.png").exists()


def test_a_parameter_is_a_column_like_any_other(tmp_path):
    made = [
        record("integrate", "mlp-field", "rk4", None, {"steps": 8}, parameters={"model": {"width": width}})
        for width in (8, 16, 32)
    ]
    chart, _ = comparison(frame_of(made), "model.width", "error_final", hue="solver", where="model.width > 8")
    assert [point.x for point in chart.panels[0].series[0].points] == [16, 32]
    assert chart.panels[0].series[0].joined


def test_what_is_not_drawn_is_counted():
    made = integrations()
    made[0] = failed(made[0], "diverged", "not finite")
    made[1]["parts"]["quality"]["values"]["error_final"] = None
    chart, _ = comparison(frame_of(made), "nfe_forward", "error_final")
    assert "Not drawn: 1 that did not end ok, 1 without nfe_forward or error_final." in chart.notes


@pytest.mark.parametrize("axis", ["x", "y", "hue", "facet", "style"])
def test_an_unknown_column_is_refused_with_the_nearest(frame, axis):
    arguments = {"x": "nfe_forward", "y": "error_final"} | {axis: "eror_final"}
    with pytest.raises(WhereError, match=f"--{axis} names the column 'eror_final'.*did you mean 'error_final'"):
        comparison(frame, **arguments)


def test_an_empty_selection_says_which_values_there_are(frame):
    with pytest.raises(PlotError, match=r"None of the \d+ rows.*solver is one of bosh3, dopri5, euler, rk4"):
        comparison(frame, "nfe_forward", "error_final", where="solver == 'rk5'")
    with pytest.raises(PlotError, match=r"nfe_forward lies between \d+ and \d+"):
        comparison(frame, "nfe_forward", "error_final", where="nfe_forward > 1000000")


def test_only_failures_or_only_nulls_are_refused_with_the_reason(frame):
    with pytest.raises(PlotError, match="ended ok: 1 crashed"):
        comparison(frame, "nfe_forward", "error_final", where="outcome == 'crashed'")
    with pytest.raises(PlotError, match="grad_error_params.*the model has no parameters"):
        comparison(frame, "steps", "grad_error_params", where="model == 'van-der-pol'")
    with pytest.raises(PlotError, match="holds accuracy_test"):
        comparison(frame, "nfe_forward", "accuracy_test")


def test_a_place_that_cannot_be_written_is_refused(frame, tmp_path):
    with pytest.raises(PlotError, match=r"'\.gif'"):
        plot(frame, "nfe_forward", "error_final", output=tmp_path / "a.gif")
    with pytest.raises(PlotError, match="is no folder"):
        plot(frame, "nfe_forward", "error_final", output=tmp_path / "missing" / "a.png")


def test_a_facet_of_too_many_values_is_refused(frame):
    with pytest.raises(PlotError, match="panels are the most"):
        comparison(frame, "nfe_forward", "error_final", facet="cell_id")
