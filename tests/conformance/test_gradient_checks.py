"""The checks of gradient methods: what is built in passes them, and each sees the fault that it is for."""

from __future__ import annotations

import pytest
import torch

from odebench.conformance import Failure, gradient_checks, parametrize_with_checks
from odebench.conformance.gradients.exactness import check_exact_for_the_discretisation
from odebench.conformance.gradients.memory import _growth_of
from odebench.plugins import build_registry
from tests.conformance.broken_gradients import BROKEN, Stranger, scaled

BUILT_IN = [entry.build() for entry in build_registry(prefixes=()).entries("gradient")]


@parametrize_with_checks(BUILT_IN)
def test_what_is_built_in_keeps_its_promises(plugin, check):
    check(plugin)


@parametrize_with_checks([Stranger()])
def test_a_strangers_method_passes_without_knowing_the_checks(plugin, check):
    check(plugin)


@pytest.mark.parametrize(
    ("method", "check"), BROKEN, ids=[f"{i}-{check.__name__}" for i, (_, check) in enumerate(BROKEN)]
)
def test_a_broken_method_is_caught(method, check):
    dtype = torch.get_default_dtype()
    try:
        with pytest.raises(Failure) as caught:
            check(method)
    finally:
        torch.set_default_dtype(dtype)
    said = caught.value
    assert all(len(part.split()) > 2 for part in (said.expected, said.cause, said.look)) and said.measured


def test_each_check_has_a_method_that_it_catches():
    every = {check for method in (*BUILT_IN, Stranger()) for check in gradient_checks(method)}
    assert every == {check for _, check in BROKEN}


def test_which_checks_apply_follows_from_what_is_declared():
    class NotExact(Stranger):
        exact_for_discretisation = False

    class OnlyFixed(Stranger):
        def supports(self, solver):
            return "It takes no solver that chooses its steps." if solver.adaptive else None

    class Choosy(Stranger):
        def supports(self, solver):
            return "It takes no solver at all."

    names = {
        kind: {check.__name__ for check in gradient_checks(kind())} for kind in (Stranger, NotExact, OnlyFixed, Choosy)
    }
    assert names[Stranger] - names[NotExact] == {
        "check_exact_for_the_discretisation",
        "check_exact_on_chosen_steps",
        "check_masks_of_rejected_steps_are_passed_over",
    }
    assert names[NotExact] - names[Stranger] == {
        "check_gap_falls_at_the_solvers_order",
        "check_gap_follows_the_tolerance",
    }
    assert names[Stranger] - names[OnlyFixed] == {
        "check_exact_on_chosen_steps",
        "check_masks_of_rejected_steps_are_passed_over",
        "check_steps_for_each_row",
    }
    assert names[Choosy] == {"check_a_solver_is_supported"}


@pytest.mark.parametrize(
    ("factor", "which", "cause"),
    [
        (-1.0, slice(None), "a sign"),
        (2.0, slice(1, 2), "counted 2 times"),
        (0.0, slice(1, 2), "dropped"),
        (0.25, slice(0, 1), "0.25 times"),
    ],
)
def test_a_failure_tells_what_a_difference_looks_like(factor, which, cause):
    kind = type("Wrong", (Stranger,), {"leaving": lambda self, g, call: scaled(g, factor, which)})
    with pytest.raises(Failure, match=cause):
        check_exact_for_the_discretisation(kind())


@pytest.mark.parametrize(
    ("claim", "expected"),
    [
        ("O(1)", 1),
        ("O(slots)", 1),
        ("O(N)", 16),
        ("O(N s)", 64),
        ("O(sqrt N)", 4),
        ("O(log N)", 4),
        ("O(N^2 + N s)", 320),
    ],
)
def test_claims_are_read(claim, expected):
    assert _growth_of(claim)(16, 4) == expected
