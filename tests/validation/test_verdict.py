"""The verdict from intervals alone, and how many samples would decide."""

from __future__ import annotations

import pytest

from odebench.validation import Tried, Verdict
from odebench.validation.verdict import sentence_of, verdict_of


def tried(place, change=0.0, needed=None, error=0.1):
    return Tried(
        solver="s", division="1 step", order=1, judged=True, place=place, change=change, low=change - 0.01, high=change + 0.01,
        metric=0.9 + change, samples_needed=needed, error=error,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("judged", "verdict", "needed"),
    [
        ([tried("inside"), tried("inside")], Verdict.FLOW, None),
        ([tried("inside"), tried("across", 0.01, 500)], Verdict.UNDECIDED, 500),
        ([tried("inside"), tried("outside", -0.3), tried("across", 0.01, 500)], Verdict.TIED, None),
        # All have to come inside, so the slowest of them decides.
        ([tried("across", 0.001, 300), tried("across", 0.01, 500)], Verdict.UNDECIDED, 500),
        # One that comes outside is enough, so the quickest of those beyond the threshold does.
        ([tried("across", 0.03, 700), tried("across", -0.05, 200), tried("across", 0.01, 90)], Verdict.UNDECIDED, 200),
        ([tried("across", 0.02, None), tried("across", 0.01, 90)], Verdict.UNDECIDED, None),
        ([tried("across", 0.02, None), tried("across", 0.05, 90)], Verdict.UNDECIDED, 90),
        ([], Verdict.UNDECIDED, None),
    ],
)
def test_one_outside_ties_and_all_inside_make_a_flow(judged, verdict, needed):
    assert verdict_of(judged, 0.02) == (verdict, needed)


def said(judged, **more):
    verdict, needed = verdict_of(judged, 0.02)
    own = Tried(solver="own", division="2 steps", order=1, metric=0.9, error=more.pop("error", 0.2))
    return sentence_of(verdict, own, judged, "accuracy", True, 0.02, 0.95, 100, needed)


def test_a_tied_model_is_told_by_the_most_accurate_solver_that_changes_it():
    words = said([tried("outside", -0.4, error=0.199), tried("outside", -0.3, error=0.01), tried("inside", error=1e-5)])
    assert "with an error of 0.01 instead of 0.2, accuracy falls from 90.0 % to 60.0 %, by 30 points" in words
    assert "accuracy rises from 90.0 % to 95.0 %" in said([tried("outside", 0.05)])


def test_errors_that_are_nearly_equal_are_said_with_as_many_digits_as_tell_them_apart():
    assert "with an error of 0.1998 instead of 0.2," in said([tried("outside", -0.4, error=0.19978)])
    assert "with an equal error of 0.2," in said([tried("outside", -0.4, error=0.2)])
    assert "whose error is not known" in said([tried("outside", -0.4, error=None)])


def test_what_would_decide_is_said():
    assert "about 1,500 samples that spread like these 100 would do" in said([tried("across", 0.01, 1500)])
    assert "no number of samples" in said([tried("across", 0.02, None)])
