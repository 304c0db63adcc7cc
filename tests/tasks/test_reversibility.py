"""The factor of a round trip against its closed form, and the images that it keeps."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from odebench.contract import Setting, StepSize, Unknown
from odebench.plugins import build_registry

# Taylor polynomials of the exponential: the stability functions of explicit methods with as many stages as their order.
STABILITY = {"euler": 1, "midpoint": 2, "rk4": 4}


@pytest.fixture(scope="module")
def registry():
    return build_registry(prefixes=[], strict=True)


def round_trip(registry, model, solver="euler", steps=16, **parameters):
    task = registry.get("task", "reversibility").build()
    problem = registry.get("model", model).build(**parameters).problem(0)
    setting = Setting(
        problem=problem, solver=registry.get("solver", solver).build(), gradient=None, grid=StepSize(steps=steps)
    )
    answer = task.forward(setting, problem.y0).states
    return task.judge(answer, None), task.series(answer), answer


def closed_form(solver: str, rate: int, steps: int) -> Fraction:
    """(R(z) R(-z))^N with z = hλ, in exact arithmetic."""
    z, order = Fraction(-rate, steps), STABILITY[solver]
    factorial = [1, 1, 2, 6, 24]
    one, other = (sum(w**k / Fraction(factorial[k]) for k in range(order + 1)) for w in (z, -z))
    return (one * other) ** steps


@pytest.mark.parametrize("rate", [1, 10, 100])
@pytest.mark.parametrize("steps", [16, 64, 256])
def test_eulers_round_trip_multiplies_by_its_closed_form(registry, rate, steps):
    found, _, _ = round_trip(
        registry, "linear", steps=steps, matrix="decay", dim=1, rate=float(rate), batch=2, span=1.0
    )
    expected = float((1 - Fraction(rate, steps) ** 2) ** steps)
    assert found["roundtrip_factor"] == pytest.approx(expected, rel=1e-10, abs=0)


@pytest.mark.parametrize("solver", ["midpoint", "rk4"])
def test_other_solvers_multiply_by_their_stability_functions(registry, solver):
    found, _, _ = round_trip(registry, "linear", solver, 64, matrix="decay", dim=1, rate=100.0, batch=1, span=1.0)
    assert found["roundtrip_factor"] == pytest.approx(float(closed_form(solver, 100, 64)), rel=1e-10, abs=0)


def test_a_state_of_several_numbers_has_no_factor(registry):
    found, series, _ = round_trip(registry, "linear", dim=4, batch=2)
    assert isinstance(found["roundtrip_factor"], Unknown) and "one number" in found["roundtrip_factor"].reason
    assert series == {}


def test_a_number_that_is_zero_has_no_factor(registry):
    task = registry.get("task", "reversibility").build()
    found = task.judge({"y0": torch.zeros(1, 1), "returned": torch.ones(1, 1)}, None)
    assert isinstance(found["roundtrip_factor"], Unknown)


def test_small_images_are_kept_at_the_start_the_end_and_the_return(registry):
    parameters = {"image": "digits", "size": 12, "channels": 2, "batch": 2, "activation": "relu"}
    _, series, answer = round_trip(registry, "conv-field", **parameters)
    assert set(series) == {"row", "column", "initial", "reached", "returned"}
    for name, state in (("initial", "y0"), ("reached", "reached"), ("returned", "returned")):
        image = np.empty((12, 12))
        image[series["row"], series["column"]] = series[name]
        np.testing.assert_array_equal(image, answer[state][0, 0].numpy())


def test_large_images_are_not_kept(registry):
    _, series, _ = round_trip(registry, "conv-field", steps=1, size=65, channels=1, batch=1)
    assert series == {}
