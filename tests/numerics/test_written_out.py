"""Runge-Kutta steps that are written out from their tableau."""

import pickle
from fractions import Fraction

import pytest
import torch

from odebench.api import build
from odebench.numerics.timed_field import TimedField

METHODS = ("euler", "rk4", "bosh3", "dopri5", "dopri8")


def field(t, y):
    return torch.sin(3.0 * y) - t * y


def starting():
    return torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def summed(tableau, y, t, dt):
    """A step by the definition of a Runge-Kutta method, in exact fractions rounded once: y1 and the estimate of the error."""
    k = []
    for c, row in zip(tableau.c, tableau.a, strict=True):
        k.append(field(t + float(c) * dt, y + dt * sum(float(a) * slope for a, slope in zip(row, k, strict=False))))
    total = lambda weights: dt * sum(float(w) * slope for w, slope in zip(weights, k, strict=True))  # noqa: E731
    return y + total(tableau.b), total(tableau.b_error) if tableau.b_error else None


@pytest.mark.parametrize("name", METHODS)
def test_a_step_is_what_the_tableau_defines(name):
    solver, y = build("solver", name), starting()
    step = solver.step(TimedField(field, y), 0.3, -0.2, y, error=solver.adaptive)
    y1, error = summed(solver.tableau, y, 0.3, -0.2)
    torch.testing.assert_close(step.y1, y1, rtol=1e-14, atol=1e-15)
    if error is not None:
        torch.testing.assert_close(step.error, error, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", METHODS)
def test_a_graph_changes_no_bit_of_a_step(name):
    """What is computed again with a graph must be what the solve computed without."""
    solver, y = build("solver", name), starting()
    with torch.no_grad():
        plain = solver.step(TimedField(field, y), 0.5, 0.25, y)
    taped = solver.step(TimedField(field, y), 0.5, 0.25, y.clone().requires_grad_())
    assert taped.y1.requires_grad
    assert torch.equal(plain.y1, taped.y1)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("with_carry", [False, True])
def test_a_run_of_steps_is_one_step_after_the_other_to_the_bit(name, with_carry):
    solver, y = build("solver", name), starting()
    spans = [(0.0, 0.1), (0.1, 0.3), (0.4, 0.05)]
    carry = field(torch.zeros(()), y) if with_carry else None
    run, single = TimedField(field, y), TimedField(field, y)
    end, left = solver.advance(run, spans, y, carry)
    expected = y
    for t, dt in spans:
        expected = solver.step(single, t, dt, expected, carry).y1
        carry = None
    assert torch.equal(end, expected)
    assert left is None
    assert run.evaluations == single.evaluations == 3 * len(solver._rows) + 3 - with_carry


def test_the_first_evaluations_of_a_run_are_looked_at():
    def writes(t, y):
        return y.mul_(2.0)

    y = starting()
    with pytest.raises(Exception, match="in place"):
        build("solver", "rk4").advance(TimedField(writes, y), [(0.0, 0.1), (0.1, 0.1)], y)


def test_a_solver_goes_through_pickle():
    y = starting()
    solver = build("solver", "dopri5")
    again = pickle.loads(pickle.dumps(solver))
    steps = [one.step(TimedField(field, y), 0.0, 0.1, y, error=True) for one in (solver, again)]
    assert torch.equal(steps[0].y1, steps[1].y1)
    assert torch.equal(steps[0].error, steps[1].error)


@pytest.mark.parametrize("name", ["dopri5", "tsit5"])
def test_the_continuous_extension_is_what_the_tableau_defines(name):
    solver, y, share = build("solver", name), starting(), Fraction(5, 16)
    step = solver.step(TimedField(field, y), 0.25, 0.5, y, dense=True)
    weights = solver.tableau.weights_at(share)
    expected = y + 0.5 * sum(float(w) * k for w, k in zip(weights, step.dense.stages, strict=True))
    torch.testing.assert_close(solver.interpolate(step.dense, float(share)), expected, rtol=1e-13, atol=1e-15)
    assert torch.equal(solver.interpolate(step.dense, 0.3), step.dense.at(0.3))
