"""What authors of plugins use: the choice of checks, their names in pytest, known failures, and how a failure reads."""

from __future__ import annotations

import pytest

from odebench import conformance
from odebench.conformance import Failure, checks_of, parametrize_with_checks
from tests.conformance.broken_solvers import Honest, MoreStages


class Declares(MoreStages):
    """Knows that it is broken."""

    name = "declares"
    known_failures = {"check_declared_stages": "it counts the evaluation that the next step takes over"}  # noqa: RUF012


def test_a_failure_reads_like_a_remark():
    failure = Failure(expected="order 3", measured="2.01", cause="a digit is wrong", look="`b`")
    assert isinstance(failure, AssertionError)
    assert str(failure) == "Expected order 3. Measured 2.01. The likeliest cause: a digit is wrong. Look at `b`."


def test_ids_name_the_plugin_and_the_check():
    (mark,) = [parametrize_with_checks([Honest()])]
    names, cases = mark.args
    assert names == ("plugin", "check")
    assert "honest-check_observed_order" in [case.id for case in cases]


def test_a_known_failure_is_expected_strictly():
    cases = {case.id: case for case in parametrize_with_checks([Declares()]).args[1]}
    (mark,) = cases["declares-check_declared_stages"].marks
    assert (mark.name, mark.kwargs["strict"]) == ("xfail", True)
    assert "takes over" in mark.kwargs["reason"]
    assert not cases["declares-check_observed_order"].marks


def test_a_known_failure_of_what_is_no_check_is_refused():
    class Misspelt(Honest):
        known_failures = {"check_orders": "?"}  # noqa: RUF012

    with pytest.raises(ValueError, match="check_orders.*check_observed_order"):
        parametrize_with_checks([Misspelt()])


def test_a_selection_of_checks_can_be_parametrized():
    (case,) = parametrize_with_checks([Declares()], lambda _: [check_nothing]).args[1]
    assert case.id == "declares-check_nothing"


def check_nothing(plugin):
    """Always passes."""


def test_what_is_no_plugin_is_refused():
    with pytest.raises(TypeError, match="neither a solver"):
        checks_of(object())


def test_every_check_says_in_a_sentence_what_it_checks():
    for check in checks_of(Honest()):
        assert check.__name__.startswith("check_")
        assert check.__doc__.strip().endswith("."), check.__name__


def test_the_public_names_are_there():
    for name in conformance.__all__:
        assert getattr(conformance, name) is not None
    assert dir(conformance) == conformance.__all__
    with pytest.raises(AttributeError, match="no attribute 'check'"):
        conformance.check  # noqa: B018
