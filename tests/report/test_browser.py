"""The page in a real browser: it fits, it sorts, it filters, and nothing hostile runs."""

import pytest

from tests.report.webdriver import browser, missing

pytestmark = pytest.mark.skipif(missing() is not None, reason=missing() or "")

SIZES = {"laptop": (1366, 768), "phone": (390, 844)}
COLUMN = """
const table = document.querySelector(`table[data-table="${arguments[0]}"]`);
const place = Array.from(table.tHead.rows[0].cells, c => c.innerText.trim()).indexOf(arguments[1]);
return Array.from(table.tBodies[0].rows).filter(row => row.getClientRects().length)
    .map(row => row.cells[place].innerText.trim());
"""


@pytest.fixture(scope="module", params=SIZES)
def page(request, report, tmp_path_factory):
    width, height = SIZES[request.param]
    profile = tmp_path_factory.mktemp("profile")
    with browser(profile, width, height, phone=request.param == "phone") as opened:
        opened.open(report.index)
        opened.width = width
        yield opened


def heading(table, place):
    return f'table[data-table="{table}"] th:nth-child({place}) button'


def place_of(page, table, label):
    labels = page.run(
        "return Array.from(document.querySelectorAll(`table[data-table='${arguments[0]}'] th`), c => c.innerText.trim())",
        table,
    )
    return labels.index(label) + 1


def test_the_page_loads_without_an_error_and_nothing_hostile_runs(page):
    assert page.run("return document.title") == "Which solver, which gradient method? – odebench"
    assert page.complaints() == []
    assert page.run("return typeof window.hacked") == "undefined"
    assert page.run("return document.body.innerText.includes('window.hacked=1')")


def test_the_page_itself_never_scrolls_sideways(page):
    assert page.run("return window.innerWidth") == page.width
    assert page.run("return document.scrollingElement.scrollWidth") <= page.width


def test_wide_tables_scroll_inside_their_frames(page):
    inner, outer = page.run(
        "const t = document.querySelector('table[data-table=cells]'); return [t.offsetWidth, t.parentElement.clientWidth]"
    )
    assert inner > outer
    assert (
        page.run("return getComputedStyle(document.querySelector('table[data-table=cells]').parentElement).overflowX")
        == "auto"
    )


def test_nothing_sticks_out_of_the_page_or_covers_its_neighbour(page):
    stuck_out = page.run("""
        return Array.from(document.querySelectorAll('header, main, section, h1, h2, h3, p, li, dl, figure, .scroll, .frame, nav a'))
            .filter(e => { const b = e.getBoundingClientRect();
                           return b.width && (b.left < -0.5 || b.right > window.innerWidth + 0.5); })
            .map(e => e.tagName + ' ' + e.className + ' ' + e.innerText.slice(0, 40));
    """)
    assert stuck_out == []


def test_all_pictures_are_there_and_legible(page):
    pictures = page.run("""
        const found = [];
        for (const image of document.images) {
            image.loading = 'eager';
            await image.decode();
            const box = image.getBoundingClientRect();
            found.push([image.naturalWidth, box.width, image.width / image.height - image.naturalWidth / image.naturalHeight]);
        }
        return found;
    """)
    assert len(pictures) == 17
    for natural, shown, distortion in pictures:
        assert natural > 400
        # Nine-point type at the size of 6.4 or 10 inches: at two thirds of it one still reads without effort.
        assert shown >= (440 if natural < 700 else 700)
        assert abs(distortion) < 0.05


def test_a_click_on_a_heading_sorts_numbers_and_a_second_click_turns_them_around(page):
    place = place_of(page, "cells", "nfe_forward")
    for direction in ("ascending", "descending"):
        page.click(heading("cells", place))
        values = page.run(COLUMN, "cells", "nfe_forward")
        numbers = [float(value.replace(",", "")) for value in values if value != "–"]
        assert numbers == sorted(numbers, reverse=direction == "descending")
        assert len(set(numbers)) > 5
        # What is missing is last in both directions.
        assert values[len(numbers) :] == ["–"] * (len(values) - len(numbers)) and "–" in values
        assert (
            page.run(
                "return document.querySelector(arguments[0]).ariaSort",
                f'table[data-table="cells"] th:nth-child({place})',
            )
            == direction
        )


def test_numbers_with_units_sort_by_size_and_not_by_their_words(page):
    page.click(heading("memory", place_of(page, "memory", "a step")))
    values = page.run(COLUMN, "memory", "a step")
    assert values[0] == "16 bytes"
    assert values[-1] == "24 KiB"
    assert values.index("512 bytes") < values.index("2 KiB")


def test_text_sorts_as_text_and_the_marks_of_other_columns_go(page):
    page.click(heading("best", 1))
    page.click(heading("best", 3))
    values = page.run(COLUMN, "best", "fewest evaluations")
    assert values == sorted(values)
    marked = page.run("return document.querySelectorAll('table[data-table=best] th[aria-sort=ascending]').length")
    assert marked == 1


def test_what_is_not_reached_sorts_as_infinity(page):
    page.click(heading("equal-error", place_of(page, "equal-error", "evaluations")))
    values = page.run(COLUMN, "equal-error", "evaluations")
    assert values[-1] == "not reached"
    assert values[0] != "not reached"


def test_headings_sort_by_the_keyboard_too(page):
    page.type(heading("orders", 2), "\ue007")
    values = page.run(COLUMN, "orders", "solver")
    assert values == sorted(values)


def test_the_box_filters_rows_by_all_its_words(page, labelled):
    box = 'input[data-filter="cells"]'
    page.type(box, "dopri5 Anode", clear=True)
    solvers, methods = page.run(COLUMN, "cells", "solver"), page.run(COLUMN, "cells", "gradient method")
    expected = int(((labelled["solver"] == "dopri5") & (labelled["gradient"] == "anode")).sum())
    assert len(solvers) == expected > 0
    assert set(solvers) == {"dopri5"} and set(methods) == {"anode"}
    count = "return document.querySelector('output[data-count=cells]').value"
    assert page.run(count) == f"{expected} of {len(labelled)} rows"
    page.type(box, "no such words", clear=True)
    assert page.run(COLUMN, "cells", "solver") == []
    page.type(box, "x", clear=True)
    page.type(box, "\ue003")
    assert len(page.run(COLUMN, "cells", "solver")) == len(labelled)
    assert page.run(count) == f"{len(labelled)} rows"


def test_a_filter_finds_the_reason_of_a_failure(page):
    page.type('input[data-filter="failures"]', "segmentation", clear=True)
    assert page.run(COLUMN, "failures", "outcome") == ["crashed"]


def test_figures_of_one_model_are_shown_on_request(page):
    shown = "return Array.from(document.querySelectorAll('figure')).filter(f => f.getClientRects().length).map(f => f.dataset.ofModel)"
    assert set(page.run(shown)) == {"mlp-field", "van-der-pol"}
    page.click('button[data-model="mlp-field"]')
    assert set(page.run(shown)) == {"mlp-field"}
    page.click('button[data-model=""]')
    assert len(page.run(shown)) == 17


def test_every_link_of_the_page_is_reached(page):
    page.click('nav a[href="#table-failures"]')
    assert page.run("return location.hash") == "#table-failures"
    top = page.run("return document.querySelector('#table-failures').getBoundingClientRect().top")
    assert -50 < top < 844
