"""The page of a validation: what it says, what it escapes, and how it looks in a browser."""

from __future__ import annotations

import copy
import re

import pytest

from odebench.errors import RecordError
from odebench.report.validation import page, write_page
from odebench.report.validation_figure import figure_of, svg_of
from tests.report.webdriver import browser, missing


def tried(solver, finer, **more):
    return {
        "solver": solver, "division": f"{2 * finer} steps", "steps": 2 * finer, "step_size": 0.5 / finer, "rtol": None,
        "atol": None, "finer": finer, "order": 1, "metric": 0.9, "change": 0.0, "low": -0.004, "high": 0.004,
        "changed_answers": 3, "error": 0.1 / finer, "judged": True, "place": "inside", "samples_needed": None, "evaluations": 2,
        "failure": None, **more,
    }  # fmt: skip


OWN = tried("euler", 1, change=None, low=None, high=None, changed_answers=None, error=0.2, judged=False, place=None)
TOLD = {
    "verdict": "tied to its solver", "sentence": "Tied to its solver: accuracy falls from 90.0 % to 40.0 %, by 50 points.",
    "model": "Net", "metric": "accuracy", "percent": True, "samples": 1234, "threshold": 0.02, "level": 0.95, "own": OWN,
    "tried": [
        tried("euler", 2),
        tried("rk4", 1, metric=0.4, change=-0.5, low=-0.55, high=-0.45, place="outside", error=0.003),
        tried("midpoint", 1, low=-0.03, place="across"),
        tried("heun", 1, error=0.7, judged=False, place=None),
        tried("dopri5", 1, metric=None, change=None, low=None, high=None, error=None, judged=False, place=None,
              evaluations=None, changed_answers=None, failure="the step size 0 does not move the time"),
    ],
    "samples_needed": 4321, "error_rows": 256, "reference": "dopri8 at tolerance 1e-06 in float64", "uncertainty": 1e-7,
    "crossings": {"trajectories": 256, "count": 12345, "pairs": 1234}, "notes": ["A note."], "worst_change": 0.5,
    "critical": None,
}  # fmt: skip


def told(**changes):
    return {**copy.deepcopy(TOLD), **changes}


def words(html):
    """The text of a page, without its tags."""
    return " ".join(re.sub(r"<[^>]+>", " ", html.partition("<body>")[2]).replace("\u00a0", " ").split())


def test_everything_stands_on_the_page():
    text = words(page(told()))
    for one in (
        "Net: tied to its solver", "falls from 90.0 % to 40.0 %", "1,234 samples", "threshold ± 2 points",
        "1,234 pairs of different classes cross, 12,345 times", "A note.", "rk4 2 steps 2 40.0 % −50.0 −55.0 to −45.0 3 0.00300 outside",
        "midpoint 2 steps 2 90.0 % 0 −3.0 to +0.4 3 0.100 neither", "heun 2 steps 2 90.0 % 0 −0.4 to +0.4 3 0.700 not judged",
        "the step size 0 does not move the time", "about 4,321 of them", "dopri8 at tolerance 1e-06",
    ):  # fmt: skip
        assert one in text, one


def test_words_of_a_model_are_escaped():
    bad = "<script>alert(1)</script>"
    html = page(
        told(model=bad, metric=bad, notes=[bad], sentence=bad, reference=bad, tried=[tried(bad, 1, failure=bad)])
    )
    assert "<script" not in html


def test_values_are_no_percentages():
    values = told(metric="r2", percent=False, threshold=0.1)
    text = words(page(values))
    assert (
        "r2 0.9 with its own solver" in text
        and "threshold ± 0.1" in text
        and "rk4 2 steps 2 0.4 −0.5 −0.55 to −0.45" in text
    )


def test_an_interval_without_ends_and_errors_that_are_not_known_are_shown():
    rows = [
        tried("rk4", 1, low=None, high=None, error=None, place="across"),
        tried("rk4", 2, change=None, low=None, error=None),
    ]
    html = page(told(own={**OWN, "error": None}, tried=rows, uncertainty=None))
    assert "−∞ to ∞" in words(html)
    figure = figure_of(told(own={**OWN, "error": None}, tried=rows))
    assert "Errors could not be measured." in [text.get_text() for text in figure.axes[1].texts]


def test_the_critical_step_has_a_table():
    training = {"steps": 8, "seed": 3, "verdict": "a flow", "metric": 0.9, "worst_change": 0.012}
    critical = {
        "steps": 8,
        "step_size": 0.125,
        "threshold": 0.02,
        "means": {"8": 0.012},
        "trainings": [training],
        "sentence": "It is 8.",
    }
    text = words(page(told(critical=critical)))
    assert "The critical step It is 8." in text and "8 3 90.0 % 1.2 points a flow" in text


def test_the_figure_shows_each_solver_with_its_interval_and_the_band():
    left, right = figure_of(told()).axes
    assert [label.get_text() for label in left.get_yticklabels()] == [
        "euler, 4 steps", "rk4, 2 steps", "midpoint, 2 steps", "heun, 2 steps",
    ]  # fmt: skip
    spans = [tuple(line.get_xdata()) for line in left.lines if len(line.get_xdata()) == 2 and line.get_linewidth() > 2]
    assert (-55, -45) in [tuple(round(x, 9) for x in span) for span in spans]
    (band,) = left.patches
    assert (band.get_x(), band.get_x() + band.get_width()) == (-2, 2)
    assert right.get_xlim()[0] > right.get_xlim()[1], "smaller errors to the right"


def test_the_same_figure_gives_the_same_bytes():
    assert svg_of(figure_of(told())) == svg_of(figure_of(told()))


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(RecordError, match="is a folder"):
        write_page(told(), tmp_path)
    assert write_page(told(), tmp_path / "deep" / "page.html").is_file()


@pytest.mark.skipif(missing() is not None, reason=missing() or "")
def test_a_browser_shows_it_without_complaint_and_without_scrolling_sideways(tmp_path):
    file = write_page(told(), tmp_path / "page.html")
    with browser(tmp_path / "profile", 390, 844, phone=True) as opened:
        opened.open(file)
        assert opened.complaints() == []
        assert opened.run("return document.querySelector('img').naturalWidth") > 0
        assert opened.run("return document.scrollingElement.scrollWidth") <= 390
