"""Charts become pictures: scales, units, floors, legends, and no trace left in matplotlib."""

from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_hex
from matplotlib.markers import MarkerStyle
from PIL import Image

from odebench.report.axes import fraction, is_logarithmic, number, power, unit_of
from odebench.report.chart import Axis, Chart, Guide, Panel, Point, Series
from odebench.report.columns import DOCUMENTED, Kind, column
from odebench.report.draw import draw, save
from odebench.report.figures import FAMILIES
from odebench.report.palette import COLOURS, MARKERS, Palette
from odebench.report.statistics import fit_line
from tests.report.synthetic import HOSTILE


def chart(ys=(1e-2, 1e-4), xs=(10, 100), x="nfe_forward", y="error_final", names=("rk4",), **panel):
    series = tuple(
        Series(name=name, label=name, points=tuple(Point(x=a, y=b) for a, b in zip(xs, ys, strict=True)))
        for name in names
    )
    panels = (Panel(title="", x=Axis(x), y=Axis(y), series=series, **panel),)
    return Chart(key="k", family="f", title="t", caption="c", panels=panels, palette="solver")


def figure_of(one, names=("rk4",)):
    return draw(one, {one.palette: Palette(names)})


def axes_of(one):
    return figure_of(one).axes[0]


def marks_of(axes):
    """Places, paths and faces of the marks."""
    (marks,) = [one for one in axes.collections if isinstance(one, PathCollection)]
    return np.asarray(marks.get_offsets()), marks.get_paths(), marks.get_facecolors()


def test_errors_are_logarithmic_and_short_ranges_of_counts_are_not():
    axes = axes_of(chart(xs=(10, 20)))
    assert (axes.get_xscale(), axes.get_yscale()) == ("linear", "log")
    assert axes_of(chart(xs=(10, 1000))).get_xscale() == "log"


def test_axes_tell_their_units():
    assert axes_of(chart(xs=(2e-3, 4e-1), x="time_forward_s")).get_xlabel() == "time, forward [ms]"
    assert axes_of(chart(ys=(2**20, 2**24), y="memory_peak_bytes")).get_ylabel() == "peak memory [MiB]"
    assert axes_of(chart()).get_ylabel() == "relative error of the final state"


@pytest.mark.parametrize(
    ("name", "values", "unit"),
    [
        ("time_total_s", [3e-6, 9e-6], "µs"),
        ("time_total_s", [2.0, 8.0], "s"),
        ("memory_peak_bytes", [100, 900], "bytes"),
        ("memory_peak_bytes", [2**31], "GiB"),
        ("memory_peak_bytes", [], "bytes"),
        ("nfe_forward", [12], ""),
    ],
)
def test_units_fit_the_values(name, values, unit):
    assert unit_of(column(name), values)[1] == unit


def test_zero_has_no_place_on_a_log_axis_but_the_floor():
    axes = axes_of(chart(ys=(1e-2, 0.0), floor=2.0**-52))
    places, paths, faces = marks_of(axes)
    assert places[:, 1] == pytest.approx(np.array([1e-2, 2.0**-52]))
    assert axes.get_ylim()[0] < 2.0**-52
    down = MarkerStyle("v")
    assert (paths[1].vertices == down.get_path().transformed(down.get_transform()).vertices).all()
    assert faces[1] == pytest.approx([1, 1, 1, 1]) and faces[0].min() < 1


def test_an_error_of_0_has_a_place_on_a_horizontal_axis_too():
    places, _, _ = marks_of(axes_of(chart(xs=(1e-2, 0.0), ys=(10, 1000), x="error_final", y="nfe_forward")))
    assert places[:, 0] == pytest.approx(np.array([1e-2, 2.0**-52]))


def test_a_count_that_can_be_0_is_linear():
    assert not is_logarithmic(column("nfe_backward"), [0, 10, 1000])
    assert axes_of(chart(ys=(0, 4000), y="nfe_backward")).get_yscale() == "linear"


@pytest.mark.parametrize("ys", [(1e-3, 1e-3), (0.0, 0.0), (1e-300, 1e300), (5e-324, 1.7e308)])
def test_degenerate_ranges_are_drawn(ys, tmp_path):
    assert save(figure_of(chart(ys=ys)), tmp_path / "a.png").stat().st_size > 0


def test_single_points_and_equal_counts_are_drawn(tmp_path):
    for x in ("nfe_forward", "steps", "time_total_s", "grad_cosine"):
        one = chart(ys=(1e-3,), xs=(5,), x=x)
        assert save(figure_of(one), tmp_path / f"{x}.png").stat().st_size > 0


def test_ticks_of_few_chosen_values_are_those_values():
    axes = axes_of(chart(ys=(1e-1, 1e-2, 1e-3), xs=(32, 64, 256), x="steps"))
    assert list(axes.get_xticks()) == [32, 64, 256]


def test_ticks_of_chosen_tolerances_are_those_values():
    axes = axes_of(chart(ys=(1e-1, 1e-4), xs=(1e-3, 1e-6), x="rtol"))
    assert list(axes.get_xticks()) == [1e-6, 1e-3]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["10⁻⁶", "10⁻³"]
    assert not len(axes.get_xticks(minor=True))


@pytest.mark.parametrize("ys", [(0.88, 0.98), (2.1, 3.3), (1e-3, 2e-3), (3e-9, 4e-3), (0.4, 60.0)])
def test_every_axis_has_two_ticks_with_words_or_more_and_none_beyond_its_limits(ys):
    axes = axes_of(chart(ys=ys))
    low, high = axes.get_ylim()
    assert len(axes.get_yticks()) >= 2
    assert all(low <= tick <= high for tick in (*axes.get_yticks(), *axes.get_yticks(minor=True)))


def test_each_series_has_its_colour_its_marker_and_a_line_of_its_own():
    palette = Palette(["1", "rk4"])
    axes = figure_of(chart(names=("1", "rk4", "1")), ["1", "rk4"]).axes[0]
    _, paths, faces = marks_of(axes)
    assert [to_hex(face) for face in faces[::2]] == [palette[name].colour for name in ("1", "rk4", "1")]
    for path, name in zip(paths[::2], ("1", "rk4", "1"), strict=True):
        style = MarkerStyle(palette[name].marker)
        assert (path.vertices == style.get_path().transformed(style.get_transform()).vertices).all()
    assert sorted(to_hex(line.get_color()) for line in axes.lines) == sorted(
        palette[n].colour for n in ("1", "rk4", "1")
    )
    for line in axes.lines:
        assert line.get_xydata() == pytest.approx(np.array([[10, 1e-2], [100, 1e-4]]))


def test_points_that_are_not_to_be_trusted_are_hollow_and_intervals_stand_where_they_were_measured():
    points = (Point(x=1.0, y=1e-2, x_low=0.5, x_high=2.0, hollow=True), Point(x=4.0, y=1e-3, y_low=5e-4, y_high=4e-3))
    series = (Series(name="rk4", label="rk4", points=points, joined=False),)
    panels = (Panel(title="", x=Axis("time_forward_s"), y=Axis("error_final"), series=series),)
    axes = axes_of(Chart(key="k", family="f", title="t", caption="c", panels=panels, palette="solver"))
    _, _, faces = marks_of(axes)
    assert [tuple(face) == (1, 1, 1, 1) for face in faces] == [True, False]
    whiskers = [one.get_segments() for one in axes.collections if isinstance(one, LineCollection)]
    assert [segment for (segment,) in whiskers] == [
        pytest.approx(np.array([[0.5, 1e-2], [2.0, 1e-2]])),
        pytest.approx(np.array([[4.0, 5e-4], [4.0, 4e-3]])),
    ]
    assert not axes.lines


def test_a_fitted_line_is_drawn_in_shown_units_between_the_outermost_points():
    points = tuple(Point(x=x, y=1024.0 * (x + 4)) for x in (16, 64, 256))
    series = (Series(name="rk4", label="", points=points, joined=False, fit=fit_line([0, 1], [4096, 5120])),)
    panels = (Panel(title="", x=Axis("steps"), y=Axis("memory_peak_bytes"), series=series),)
    (line,) = axes_of(Chart(key="k", family="f", title="t", caption="c", panels=panels, palette="solver")).lines
    x, y = line.get_data()
    assert (x[0], x[-1]) == pytest.approx((16, 256))
    assert y == pytest.approx(x + 4)


def test_a_categorical_axis_has_no_label_of_its_own(labelled):
    one = next(family for family in FAMILIES if family.__name__ == "forward_and_backward")(labelled)[0]
    figure = draw(one, palettes(labelled))
    assert [axes.get_ylabel() for axes in figure.axes] == ["", ""]
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == list(one.panels[0].rows)


def test_a_panel_can_have_looks_of_its_own():
    one = chart(names=("rk4",))
    one = replace(one, panels=(*one.panels, replace(one.panels[0], palette="gradient")))
    figure = draw(one, {"solver": Palette(["rk4"]), "gradient": Palette(["anode", "rk4"])})
    colours = [to_hex(marks_of(axes)[2][0]) for axes in figure.axes]
    assert colours == list(COLOURS[:2])


@pytest.mark.parametrize(
    ("value", "words"), [(0, "0"), (1000, "1,000"), (0.05, "0.05"), (1e-6, "10⁻⁶"), (2.5e-7, "2.5·10⁻⁷"), (1e7, "10⁷")]
)
def test_numbers_of_ticks(value, words):
    assert number(value) == words


def test_powers_of_ticks():
    assert (power(1e-3), power(2e-3), power(1.0)) == ("10⁻³", "2·10⁻³", "10⁰")


def test_eighty_eight_methods_look_different_and_always_the_same():
    assert len(COLOURS) * len(MARKERS) == 88
    names = [f"m{place:02}" for place in range(88)]
    palette = Palette(names)
    assert len({palette[name] for name in names}) == 88
    assert [palette[name] for name in names] == [Palette(reversed(names))[name] for name in names]


def luminance(colour):
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("colour", COLOURS)
def test_colours_stand_out_from_white(colour):
    assert 1.05 / (luminance(colour) + 0.05) > 2


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_names_are_words_and_never_formulas(suffix, tmp_path):
    names = (HOSTILE, "$\\frac{1}$", "_hidden", "名前", "x" * 200)
    one = chart(names=names, guides=(Guide(1e-3, "$guide"),))
    assert save(figure_of(one, names), tmp_path / f"a{suffix}").stat().st_size > 0


def test_a_series_that_begins_with_an_underscore_is_in_the_legend():
    figure = figure_of(chart(names=("_hidden", "rk4")), ["_hidden", "rk4"])
    (legend,) = figure.legends
    assert [text.get_text().strip() for text in legend.get_texts()] == ["_hidden", "rk4"]


def palettes(labelled):
    return {owner: Palette(labelled[f"{owner}_label"].dropna()) for owner in ("solver", "gradient")}


def test_pictures_are_1600_pixels_wide_and_nothing_stays_in_matplotlib(labelled, tmp_path):
    before = dict(mpl.rcParams)
    for family in FAMILIES:
        made = family(labelled)[0]
        path = save(draw(made, palettes(labelled)), tmp_path / f"{made.family}.png")
        with Image.open(path) as picture:
            assert picture.size[0] in (1599, 1600)
    assert dict(mpl.rcParams) == before
    assert pyplot.get_fignums() == []


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_the_same_chart_gives_the_same_bytes(family, labelled, tmp_path):
    one = family(labelled)[0]
    paths = [save(draw(one, palettes(labelled)), tmp_path / f"{place}.svg") for place in range(2)]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def overlaps(figure):
    """Pairs of texts or legends of a drawn figure whose boxes cross."""
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    boxes = []
    for axes in (axes for axes in figure.axes if axes.get_visible()):
        legend = axes.get_legend()
        boxes += [legend.get_window_extent(renderer)] if legend else []
        boxes += [axes.xaxis.label.get_window_extent(renderer), axes.yaxis.label.get_window_extent(renderer)]
        boxes += [axes.get_window_extent(renderer), axes.title.get_window_extent(renderer)]
        boxes += [text.get_window_extent(renderer) for text in axes.get_xticklabels()]
    boxes += [one.get_window_extent(renderer) for one in (*figure.legends, *figure.texts)]
    boxes = [box for box in boxes if box.width > 1 and box.height > 1]
    return [
        (first, second)
        for place, first in enumerate(boxes)
        for second in boxes[place + 1 :]
        if first.x0 < second.x1 - 1
        and second.x0 < first.x1 - 1
        and first.y0 < second.y1 - 1
        and second.y0 < first.y1 - 1
    ]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_no_legend_covers_anything(family, labelled):
    one = family(labelled)[0]
    assert not overlaps(draw(one, palettes(labelled)))


NUMBERS = [one for one in DOCUMENTED if one.kind not in (Kind.IDENTITY, Kind.OUTCOME, Kind.TEXT)]


@pytest.mark.parametrize("name", [one.name for one in sorted(NUMBERS, key=lambda one: -len(one.label))[:6]])
def test_labels_of_axes_are_no_longer_than_the_axes(name):
    one = chart(xs=(2, 3), ys=(1, 2), x=name, y=name)
    figure = figure_of(replace(one, panels=one.panels * 6))
    renderer = figure.canvas.get_renderer()
    for axes in figure.axes:
        assert axes.yaxis.label.get_window_extent(renderer).height < axes.bbox.height
        assert axes.xaxis.label.get_window_extent(renderer).width < axes.bbox.width


def test_many_long_names_do_not_cover_anything_either():
    names = tuple(f"library-{place}/a-rather-long-method (order={place})" for place in range(24))
    assert not overlaps(figure_of(chart(names=names), names))


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.5, "1/2"), (1 / 1024, "1/1,024"), (1.0, "1"), (4096.0, "4,096"), (0.3, "0.3"), (1 / 3, "1/3"), (0.0, "0")],
)
def test_fractions_are_one_over_a_whole_number_or_plain(value, words):
    assert fraction(value) == words


def test_an_axis_of_powers_of_two_has_at_most_ten_ticks_and_1_among_them():
    axes = axes_of(_with_axes(chart(xs=(2**-9, 2**4), x="step_size"), x={"scale": "log2"}))
    axes.figure.canvas.draw()
    assert axes.get_xscale() == "log"
    ticks = [tick.get_text() for tick in axes.get_xticklabels()]
    assert ticks == ["1/256", "1/64", "1/16", "1/4", "1", "4", "16"]


def test_a_linear_axis_stays_linear_however_wide_its_values():
    assert axes_of(_with_axes(chart(xs=(1, 10_000)), x={"scale": "linear"})).get_xscale() == "linear"


def test_an_axis_may_end_where_it_is_told():
    one = _with_axes(
        chart(xs=(-5, 5), ys=(0, 900), x="x", y="y"),
        x={"scale": "linear", "limits": (-1.0, 1.0)},
        y={"scale": "linear", "limits": (0.0, 2.0)},
    )
    figure = figure_of(replace(one, equal=True))
    (axes,) = figure.axes
    assert (axes.get_xlim(), axes.get_ylim()) == ((-1, 1), (0, 2))
    figure.canvas.draw()
    box = axes.get_window_extent()
    assert box.width == pytest.approx(box.height, rel=1e-3)


def test_guides_stand_on_linear_axes_where_they_are_in_range():
    one = chart(ys=(0.4, 0.9), y="accuracy_test", guides=(Guide(0.5, "chance"), Guide(0.1, "elsewhere")))
    axes = axes_of(one)
    assert [
        line.get_ydata()[0] for line in axes.lines if len(line.get_xdata()) == 2 and line.get_linestyle() != "-"
    ] == [50]
    assert [text.get_text() for text in axes.texts] == ["chance"]


def test_panels_below_each_other_share_the_label_of_their_x_axis():
    one = chart(x="iteration", y="loss_train")
    figure = figure_of(replace(one, panels=one.panels * 2, across=1))
    assert [axes.get_xlabel() for axes in figure.axes] == ["", "iteration"]
    first, second = (axes.get_position() for axes in figure.axes)
    assert first.x0 == second.x0 and first.y0 > second.y1


def test_a_series_may_have_its_own_look_and_none_in_the_legend():
    look = {"colour": "#123456", "marker": "D"}
    faint = Series(name="a", label="", points=(Point(x=1, y=1),), faint=True, **look)
    bold = Series(name="a", label="all", points=(Point(x=2, y=2, ringed=True),), **look)
    entry = Series(name="b", label="only in the legend", points=(), joined=False, colour="#654321", marker="o")
    one = chart()
    one = replace(one, panels=(replace(one.panels[0], series=(faint, bold, entry)),))
    figure = figure_of(one)
    marks, ring = [each for each in figure.axes[0].collections if isinstance(each, PathCollection)]
    assert [to_hex(colour) for colour in marks.get_facecolors()] == ["#123456", "#123456"]
    assert marks.get_facecolors()[0, 3] < marks.get_facecolors()[1, 3] == 1
    assert np.asarray(ring.get_offsets()).tolist() == [[2, 2]]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["all", "only in the legend"]


def test_long_lines_go_without_marks():
    one = chart(xs=range(1, 50), ys=range(1, 50), x="iteration", y="loss_train")
    line = replace(one.panels[0].series[0], marked=False)
    axes = axes_of(replace(one, panels=(replace(one.panels[0], series=(line,)),)))
    assert not [each for each in axes.collections if isinstance(each, PathCollection)]
    assert any(len(each.get_xdata()) == 49 for each in axes.lines)


def _with_axes(one, x=None, y=None):
    panel = one.panels[0]
    panel = replace(panel, x=replace(panel.x, **(x or {})), y=replace(panel.y, **(y or {})))
    return replace(one, panels=(panel,))
