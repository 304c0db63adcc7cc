"""The checks of models: what is built in passes them, and each sees the fault that it is for."""

from __future__ import annotations

import pytest

from odebench.conformance import Failure, model_checks, parametrize_with_checks
from odebench.plugins import build_registry
from tests.conformance.broken_models import BROKEN, Stranger

# Of the same kind, and quicker: kinks and pieces, states and networks of fewer elements, fewer revolutions.
SMALL = {
    "gaussian-relu": {"dim": 10},
    "conv2d-net": {"width": 2},
    "conv1d-net": {"width": 8},
    "linear-net": {"width": 8},
    "coupled-net": {"span": 0.25, "outputs": 1, "weight_steps": 1},
    "arenstorf": {"span": 5.0},
    "robertson": {"span": 4.0, "outputs": 2},
    "pleiades": {"span": 1.0},
    "lorenz": {"span": 1.0},
    "van-der-pol": {"span": 8.0},
    "brusselator": {"span": 8.0},
}
LARGE = {"alexnet-ode", "resnet18-ode", "squeezenext-ode"}

ENTRIES = build_registry(prefixes=()).entries("model")


def built(entries):
    """Instances, small ones of those that would take long."""
    return [entry.build(**SMALL.get(entry.name, {})) for entry in entries]


@parametrize_with_checks(built(entry for entry in ENTRIES if entry.name not in LARGE))
def test_what_is_built_in_keeps_its_promises(plugin, check):
    check(plugin)


@pytest.mark.slow
@parametrize_with_checks(built(entry for entry in ENTRIES if entry.name in LARGE))
def test_what_is_built_in_and_large_keeps_its_promises(plugin, check):
    check(plugin)


@parametrize_with_checks([Stranger()])
def test_a_strangers_model_passes_without_knowing_the_checks(plugin, check):
    check(plugin)


@pytest.mark.parametrize(
    ("model", "check"), BROKEN, ids=[f"{i}-{check.__name__}" for i, (_, check) in enumerate(BROKEN)]
)
def test_a_broken_model_is_caught(model, check):
    with pytest.raises(Failure) as caught:
        check(model)
    said = caught.value
    assert all(len(part.split()) > 2 for part in (said.expected, said.cause, said.look)) and said.measured


def test_each_check_has_a_model_that_it_catches():
    every = {check for model in (Stranger(), *built(ENTRIES)) for check in model_checks(model)}
    assert every == {check for _, check in BROKEN}


def test_which_checks_apply_follows_from_what_is_declared():
    class Unsolved(Stranger):
        exact = None

    class Untrained(Stranger):
        learning = odebench_model_learning()

    class Blocks(Stranger):
        has_blocks = True

    names = {
        kind: {check.__name__ for check in model_checks(kind())} for kind in (Stranger, Unsolved, Untrained, Blocks)
    }
    assert names[Unsolved] - names[Stranger] == {"check_a_solution_can_be_known"}
    assert all("closed_form" in name for name in names[Stranger] - names[Unsolved])
    assert names[Stranger] - names[Untrained] == {
        "check_learning_fits_together",
        "check_chance",
        "check_learning_seeds",
    }
    assert not {name for name in names[Blocks] if "closed_form" in name or "field" in name}


def odebench_model_learning():
    """What a model has that says nothing about learning."""
    from odebench.contract import Model

    return Model.learning
