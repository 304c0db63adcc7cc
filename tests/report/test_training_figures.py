"""Figures of trainings: which points they hold, what they say, and why one is not there."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.collections import LineCollection, PathCollection

from odebench.report.chart import Chart, Skipped
from odebench.report.draw import draw
from odebench.report.figures import FAMILIES, TRAINING_FAMILIES, dots, phase, refinement, sawtooth
from odebench.report.frame import frame_of
from odebench.report.labels import with_labels
from odebench.report.palette import Palette, ordered
from tests.report.classroom import OWN, adapted, crossing, lesson, long_frame, paths, rule, swapped, trace, training
from tests.report.synthetic import failed

NOTHING = long_frame({})


def rows_of(records):
    return with_labels(frame_of(records))


def points(series):
    return [(point.x, point.y) for point in series.points]


def figure_of(chart):
    return draw(chart, {"solver": Palette(["euler", "midpoint", "rk4"])})


@pytest.fixture(scope="module")
def table():
    return rows_of(lesson())


@pytest.fixture(scope="module")
def refined():
    """Models that were trained with 2 and 16 steps, tested with 1 to 64."""
    made = []
    for count in (2, 16):
        for seed in (0, 1):
            origin = training(count, seed)
            made.append(origin)
            for solver in ("euler", "midpoint"):
                made += [
                    swapped(origin, solver, 0.9 - 0.01 * steps / count - 0.1 * seed, steps=steps)
                    for steps in (1, 2, 4, 16, 64)
                ]
    return rows_of(made)


def test_the_dots_hold_the_mean_over_the_seeds_and_every_seed_faintly(table):
    (chart,) = dots.training_step_and_test_solver(table)
    (panel,) = chart.panels
    bold = [one for one in panel.series if not one.faint and not one.label and one.points]
    faint = [one for one in panel.series if one.faint]
    assert len(bold) == len(faint) == 9
    # Midpoint at half the step: 0.98 - 0.4 / steps times 1.1, the mean over the seeds.
    chosen = next(one for one in bold if (one.name, one.marker) == ("midpoint", "<"))
    assert [y for _, y in points(chosen)] == pytest.approx([OWN - 0.44 / steps for steps in (256, 64, 16, 2)])
    seeds = next(one for one in faint if (one.name, one.marker) == ("midpoint", "<"))
    assert sorted(y for _, y in points(seeds)) == pytest.approx(
        sorted(rule(steps, seed, "midpoint", 0.5) for steps in (2, 16, 64, 256) for seed in (0, 1, 2))
    )
    # Marks stand near the step of the training, and nearer to it than to the next power of two.
    for one in bold:
        assert np.abs(np.log2([x for x, _ in points(one)]) - np.log2([1 / 256, 1 / 64, 1 / 16, 1 / 2])).max() < 0.45


def test_colours_of_the_dots_are_solvers_and_marks_are_multiples(table):
    (chart,) = dots.training_step_and_test_solver(table)
    legend = [one for one in chart.panels[0].series if one.label]
    assert [one.label for one in legend] == [
        "own solver and step", "tested with euler", "tested with midpoint", "tested with rk4", "step × 0.5", "step × 1", "step × 2",
    ]  # fmt: skip
    assert [one.marker for one in legend[4:]] == ["<", "o", ">"]
    line = legend[0]
    assert points(line) == [(1 / steps, pytest.approx(OWN)) for steps in (256, 64, 16, 2)]
    assert "Critical step: 1/64" in chart.notes[1] and chart.notes[0] == "3 seeds for each training step."


def test_many_multiples_are_thinned_to_those_near_the_trained_step():
    origin = training(16)
    made = [origin] + [swapped(origin, "euler", 0.9, factor=2.0**power) for power in range(-5, 6)]
    (chart,) = dots.training_step_and_test_solver(rows_of(made))
    assert [one.label for one in chart.panels[0].series if one.label.startswith("step")] == [
        "step × 0.5",
        "step × 1",
        "step × 2",
    ]


def test_accuracy_against_steps_has_a_panel_a_solver_and_a_line_a_training_step(refined):
    (chart,) = refinement.against_test_steps(refined)
    assert [panel.title for panel in chart.panels] == ["tested with euler", "tested with midpoint"]
    bold = [one for one in chart.panels[0].series if not one.faint]
    assert [one.label for one in bold] == ["trained with step 1/16", "trained with step 1/2"]
    # Seeds differ by 0.1.
    assert points(bold[0]) == [(steps, pytest.approx(0.85 - 0.01 * steps / 16)) for steps in (1, 2, 4, 16, 64)]
    assert [point.x for one in bold for point in one.points if point.ringed] == [16, 2]
    assert len([one for one in chart.panels[0].series if one.faint and len(one.points) == 10]) == 2
    assert bold[0].colour != bold[1].colour


def test_colours_in_order_differ_in_lightness():
    def lightness(colour):
        return sum(
            weight * int(colour[place : place + 2], 16) for weight, place in ((0.299, 1), (0.587, 3), (0.114, 5))
        )

    shades = [lightness(colour) for colour in ordered(8)]
    assert shades == sorted(shades) and min(np.diff(shades)) > 8
    assert ordered(1) == ordered(8)[:1]


def test_too_many_lines_are_thinned_and_the_note_says_so():
    made = []
    for count in range(2, 34, 2):
        origin = training(count)
        made += [origin, swapped(origin, "euler", 0.9, steps=4), swapped(origin, "euler", 0.9, steps=8)]
    (chart,) = refinement.against_test_steps(rows_of(made))
    labels = [one.label for one in chart.panels[0].series if one.label]
    assert len(labels) == 12 and labels[0] == "trained with step 1/32" and labels[-1] == "trained with step 1/2"
    assert "4 training steps between are not drawn" in chart.notes[0]


def test_the_saw_tooth_holds_stairs_above_and_means_below():
    records = [adapted(seed, 0.02) for seed in (0, 1)]
    series = long_frame({records[0]["cell_id"]: trace(), records[1]["cell_id"]: trace(shrink=(150,))})
    (chart,) = sawtooth.sawtooth(rows_of(records), series)
    above, below = chart.panels
    assert [one.label for one in above.series] == ["seed 0", "seed 1"]
    assert points(above.series[0])[:6] == [
        (1, 0.125), (51, 0.125), (51, pytest.approx(0.1375)), (101, pytest.approx(0.1375)),
        (101, pytest.approx(0.06875)), (151, pytest.approx(0.06875)),
    ]  # fmt: skip
    assert points(above.series[0])[-1][0] == 400
    expected = 1 - 1 / (1 + np.arange(1, 401))
    assert points(below.series[0])[0] == (2.0, pytest.approx(expected[:3].mean()))
    assert len(below.series[0].points) <= 140
    assert chart.notes == ("Below: means of 3 iterations.",)
    assert {(one.name, one.colour) for one in above.series} == {(one.name, one.colour) for one in below.series}


def test_a_saw_tooth_of_tolerances_and_of_losses():
    record = adapted(0, 0.02)
    record["parts"]["quality"]["values"] = {
        "accuracy_test": 0.9,
        "iterations": 60,
        "tolerance_final": 1e-4,
        "nfe_mean": 9.0,
        "nfe_checks": 9,
    }
    columns = trace(60)
    columns = {"iteration": columns["iteration"], "loss": columns["loss"], "tolerance": columns["step_size"] * 1e-3}
    (chart,) = sawtooth.sawtooth(rows_of([record]), long_frame({record["cell_id"]: columns}))
    assert [panel.y.column for panel in chart.panels] == ["rtol", "loss_train"]
    figure_of(chart)


@pytest.fixture(scope="module")
def crossed():
    """Models of three training steps, two seeds each, and the long columns of the first seeds."""
    origins = [training(steps, seed) for steps in (2, 16, 64, 256) for seed in (1, 0)]
    cells = [crossing(origin, 100 * (8 - place)) for place, origin in enumerate(origins)]
    return rows_of(origins + cells), long_frame({cell["cell_id"]: paths() for cell in cells})


def test_trajectories_are_drawn_on_both_grids_for_three_training_steps(crossed):
    (chart,) = phase.trajectories(*crossed)
    assert (chart.across, chart.equal, len(chart.panels)) == (3, True, 6)
    assert [panel.title for panel in chart.panels] == [
        "trained with 1/2: 700 crossings", "trained with 1/64: 300 crossings", "trained with 1/256: 100 crossings",
        "1/2, fine grid: 0 crossings", "1/64, fine grid: 0 crossings", "1/256, fine grid: 0 crossings",
    ]  # fmt: skip
    own, fine = chart.panels[0], chart.panels[3]
    lines = [one for one in own.series if one.joined]
    assert len(lines) == 24 and {len(one.points) for one in lines} == {3}
    assert {len(one.points) for one in fine.series if one.joined} == {9}
    (marks,) = [one for one in own.series if one.name == "crossing"]
    assert points(marks) == [(0.5, 0.25)]
    assert [points(one) for one in fine.series if one.name == "crossing"] == [[]]
    assert own.x.limits == fine.x.limits


def test_one_far_corner_does_not_spoil_the_view(crossed):
    table, series = crossed
    series = series.copy()
    far = (series["on_grid"] == "own") & (series["time"] == 1) & (series["index"] == 3)
    series.loc[far, "x"] = 1e6
    (chart,) = phase.trajectories(table, series)
    low, high = chart.panels[0].x.limits
    assert high - low < 10


def test_crossings_that_are_unknown_are_told():
    origin = training(2)
    record = crossing(origin, 5)
    record["parts"]["quality"]["values"]["crossings_fine"] = None
    (chart,) = phase.trajectories(rows_of([origin, record]), long_frame({record["cell_id"]: paths()}))
    assert [panel.title for panel in chart.panels] == [
        "trained with 1/2: 5 crossings",
        "1/2, fine grid: crossings unknown",
    ]


def reasons(found):
    assert all(isinstance(one, Skipped) for one in found)
    return [one.reason for one in found]


def test_a_figure_that_is_not_there_says_why(table, refined):
    origin, free = training(2), adapted(0, 0.1)
    alone = rows_of([origin])
    for family in TRAINING_FAMILIES:
        assert len(reasons(family(alone, NOTHING))) == 1
    assert reasons(dots.training_step_and_test_solver(alone)) == [
        "No trained model was tested with a multiple of its own step."
    ]
    swaps = rows_of([free, swapped(free, "rk4", 0.9, factor=1.0)])
    for figure in (dots.training_step_and_test_solver, refinement.against_test_steps):
        assert reasons(figure(swaps))[0].startswith("The step policy changed the step of every training")
    once = rows_of([origin, swapped(origin, "rk4", 0.9, factor=1.0)])
    assert reasons(refinement.against_test_steps(once)) == ["Each model was tested with one step only."]
    assert reasons(sawtooth.sawtooth(table, NOTHING)) == ["No step policy changed the step of a training."]
    assert reasons(sawtooth.sawtooth(rows_of([free]), NOTHING)) == ["The folder holds no series of these trainings."]
    assert reasons(phase.trajectories(table, NOTHING)) == ["No cell counted crossings."]
    crossed = rows_of([origin, crossing(origin, 3)])
    assert reasons(phase.trajectories(crossed, NOTHING)) == ["The folder holds no series with trajectories."]
    assert reasons(phase.trajectories(crossed, long_frame({"b" * 16: paths()}))) == [
        "The folder holds no series of these cells."
    ]
    lost = rows_of([failed(origin, "diverged", "x"), failed(crossing(origin, 3), "blocked", "x")])
    assert reasons(phase.trajectories(lost, NOTHING)) == ["No cell counted crossings."]


def test_every_figure_is_drawn(table, refined, crossed):
    free = adapted(0, 0.02)
    charts = [
        *dots.training_step_and_test_solver(table), *refinement.against_test_steps(refined), *phase.trajectories(*crossed),
        *sawtooth.sawtooth(rows_of([free]), long_frame({free["cell_id"]: trace()})),
    ]  # fmt: skip
    assert len(charts) == 4
    for chart in charts:
        assert isinstance(chart, Chart) and chart.caption.endswith(".")
        figure = figure_of(chart)
        for axes, panel in zip(figure.axes, chart.panels, strict=True):
            assert axes.get_ylabel() or len(chart.panels) > 1
            assert not axes.get_xlabel().startswith("x")
            drawn = [one for one in axes.collections if isinstance(one, PathCollection | LineCollection)]
            assert drawn or axes.lines, panel.title


def test_ticks_of_training_steps_are_fractions_and_accuracies_per_cent(table):
    (chart,) = dots.training_step_and_test_solver(table)
    (axes,) = figure_of(chart).axes
    figure = axes.figure
    figure.canvas.draw()
    assert [tick.get_text() for tick in axes.get_xticklabels()] == [
        "1/256",
        "1/128",
        "1/64",
        "1/32",
        "1/16",
        "1/8",
        "1/4",
        "1/2",
    ]
    assert axes.get_xscale() == "log" and axes.get_ylabel() == "accuracy, test [%]"
    assert axes.get_ylim()[1] > 98


def test_faint_seeds_are_pale_and_rings_are_drawn(refined):
    (chart,) = refinement.against_test_steps(refined)
    axes = figure_of(chart).axes[0]
    marks, rings = [one for one in axes.collections if isinstance(one, PathCollection)]
    alphas = marks.get_facecolors()[:, 3]
    assert (alphas[:20] < 0.5).all() and (alphas[20:] == 1).all() and len(alphas) == 30
    assert len(rings.get_offsets()) == 2 and not len(rings.get_facecolors())


def test_suites_without_trainings_are_not_asked_for_them(labelled):
    assert FAMILIES and all(family not in TRAINING_FAMILIES for family in FAMILIES)
    assert all(len(reasons(family(labelled, NOTHING))) == 1 for family in TRAINING_FAMILIES)
