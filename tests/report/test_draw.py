"""Charts become pictures: scales, units, floors, legends, and no trace left in matplotlib."""

import matplotlib as mpl
import pytest
from PIL import Image

from odebench.report.axes import is_logarithmic, number, power, unit_of
from odebench.report.chart import Axis, Chart, Guide, Panel, Point, Series
from odebench.report.columns import column
from odebench.report.draw import draw, save
from odebench.report.figures import FAMILIES
from odebench.report.palette import COLOURS, MARKERS, Palette
from tests.report.synthetic import HOSTILE


def chart(ys=(1e-2, 1e-4), xs=(10, 100), x="nfe_forward", y="error_final", names=("rk4",), **panel):
    series = tuple(
        Series(name=name, label=name, points=tuple(Point(x=a, y=b) for a, b in zip(xs, ys, strict=True)))
        for name in names
    )
    panels = (Panel(title="", x=Axis(x), y=Axis(y), series=series, **panel),)
    return Chart(key="k", family="f", title="t", caption="c", panels=panels, palette="solver")


def axes_of(one):
    return draw(one, Palette(["rk4"])).axes[0]


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
    drawn = [y for line in axes.lines for y in line.get_ydata()]
    assert min(drawn) == 2.0**-52
    assert axes.get_ylim()[0] < 2.0**-52
    assert any(line.get_marker() == "v" for line in axes.lines)


def test_a_count_that_can_be_0_is_linear():
    assert not is_logarithmic(column("nfe_backward"), [0, 10, 1000])
    assert axes_of(chart(ys=(0, 4000), y="nfe_backward")).get_yscale() == "linear"


@pytest.mark.parametrize("ys", [(1e-3, 1e-3), (0.0, 0.0), (1e-300, 1e300), (5e-324, 1.7e308)])
def test_degenerate_ranges_are_drawn(ys, tmp_path):
    assert save(draw(chart(ys=ys), Palette(["rk4"])), tmp_path / "a.png").stat().st_size > 0


def test_single_points_and_equal_counts_are_drawn(tmp_path):
    for x in ("nfe_forward", "steps", "time_total_s", "grad_cosine"):
        one = chart(ys=(1e-3,), xs=(5,), x=x)
        assert save(draw(one, Palette(["rk4"])), tmp_path / f"{x}.png").stat().st_size > 0


def test_ticks_of_few_chosen_values_are_those_values():
    axes = axes_of(chart(ys=(1e-1, 1e-2, 1e-3), xs=(32, 64, 256), x="steps"))
    assert list(axes.get_xticks()) == [32, 64, 256]


@pytest.mark.parametrize(
    ("value", "words"), [(0, "0"), (1000, "1,000"), (0.05, "0.05"), (1e-6, "10⁻⁶"), (2.5e-7, "2.5·10⁻⁷"), (1e7, "10⁷")]
)
def test_numbers_of_ticks(value, words):
    assert number(value) == words


def test_powers_of_ticks():
    assert (power(1e-3), power(2e-3), power(1.0)) == ("10⁻³", "2·10⁻³", "10⁰")


def test_seventy_seven_methods_look_different_and_always_the_same():
    assert len(COLOURS) * len(MARKERS) == 77
    names = [f"m{place:02}" for place in range(77)]
    palette = Palette(names)
    assert len({palette[name] for name in names}) == 77
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
    assert save(draw(one, Palette(names)), tmp_path / f"a{suffix}").stat().st_size > 0


def test_a_series_that_begins_with_an_underscore_is_in_the_legend():
    figure = draw(chart(names=("_hidden", "rk4")), Palette(["_hidden", "rk4"]))
    (legend,) = [legend for sub in figure.subfigs for legend in sub.legends]
    assert [text.get_text().strip() for text in legend.get_texts()] == ["_hidden", "rk4"]


def test_pictures_are_1600_pixels_wide_and_nothing_stays_in_matplotlib(labelled, tmp_path):
    before = dict(mpl.rcParams)
    palette = Palette(labelled["solver_label"].dropna())
    for family in FAMILIES:
        made = family(labelled)[0]
        path = save(draw(made, palette), tmp_path / f"{made.family}.png")
        with Image.open(path) as picture:
            assert picture.size[0] in (1599, 1600)
    assert dict(mpl.rcParams) == before


def test_the_same_chart_gives_the_same_bytes(labelled, tmp_path):
    one = FAMILIES[0](labelled)[0]
    palette = Palette(labelled["solver_label"].dropna())
    paths = [save(draw(one, palette), tmp_path / f"{place}.svg") for place in range(2)]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def overlaps(figure):
    """Pairs of texts or legends of a drawn figure whose boxes cross."""
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    boxes = []
    for axes in (axes for axes in figure.axes if axes.get_visible()):
        legend = axes.get_legend()
        boxes += [legend.get_window_extent(renderer)] if legend else []
        boxes += [axes.xaxis.label.get_window_extent(renderer), axes.get_window_extent(renderer)]
    for sub in figure.subfigs:
        boxes += [legend.get_window_extent(renderer) for legend in sub.legends]
        boxes += [text.get_window_extent(renderer) for text in sub.texts]
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
    assert not overlaps(draw(one, Palette(labelled[f"{one.palette}_label"].dropna())))


def test_many_long_names_do_not_cover_anything_either():
    names = tuple(f"library-{place}/a-rather-long-method (order={place})" for place in range(24))
    assert not overlaps(draw(chart(names=names), Palette(names)))
