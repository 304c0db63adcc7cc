"""Every solver converges at the order that it claims, and so does what it says between the ends of its steps.

More of this is in the public checks of solvers, which the built-in ones are given in `tests/conformance`.
"""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from odebench.api import build, solve
from odebench.plugins import build_registry
from tests.oracles.smooth_problems import PROBLEMS, observed_order

SOLVERS = sorted(entry.name for entry in build_registry(prefixes=()).entries("solver"))
ADAPTIVE = [name for name in SOLVERS if build("solver", name).adaptive]
ROUNDING = 1e3 * torch.finfo(torch.float64).eps


def fixed(name):
    """The solver, made to take the steps that it is given."""
    return build("solver", {"name": name, "adaptive": False} if name in ADAPTIVE else name)


@pytest.mark.parametrize("name", SOLVERS)
def test_the_observed_order_is_the_claimed_one(name):
    """On a system of three; two other problems are those of the check that everybody's solvers are given."""
    problem, solver = PROBLEMS["elliptic"], fixed(name)
    long = solver.order > 4
    end, steps = (problem.long_span, problem.long_steps) if long else (problem.span, problem.steps)
    if solver.implicit:
        steps *= 4  # Newton's method need not converge on longer ones
    exact, errors, found = problem.exact(end), [], None
    for _ in range(14):
        ys = solve(problem.field, problem.y0, (0.0, end), solver=solver, steps=steps).ys
        errors.append((ys[-1] - exact).norm().item())
        found = observed_order(errors, exact.norm().item())
        if errors[-1] < ROUNDING * exact.norm().item() or (found and abs(found - solver.order) < 0.1):
            break
        steps *= 2
    assert found == pytest.approx(solver.order, abs=0.2), errors


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("name", [name for name in SOLVERS if fixed(name).interpolates])
def test_the_order_between_the_ends_of_steps(name, problem):
    """It is that of the interpolant's own error, O(dt^(q + 1)), or of the steps before, O(dt^p), whichever is lower."""
    problem, solver = PROBLEMS[problem], fixed(name)
    expected = min(solver.order, solver.interpolant_order + 1)
    errors = []
    for k in range(3, 7):
        times = [(2 ** (k - 1) + share) * problem.span / 2**k for share in (0.2, 0.37, 0.5, 0.81)]
        ys = solve(problem.field, problem.y0, (0.0, *times, problem.span), solver=solver, steps=2**k).ys
        errors.append(max((y - problem.exact(t)).norm().item() for y, t in zip(ys[1:-1], times, strict=True)))
    slopes = [math.log2(coarse / fine) for coarse, fine in itertools.pairwise(errors)]
    assert max(slopes) > expected - 0.25, errors


@pytest.mark.parametrize("name", ADAPTIVE)
def test_a_tighter_tolerance_gives_a_smaller_error(name):
    problem = PROBLEMS["rotation"]
    ts = (0.0, 0.4, 1.3, 2.0)
    exact = torch.stack([problem.exact(t) for t in ts])
    solver = build("solver", name)
    tolerances = (1e-4, 1e-5, 1e-6) if solver.order <= 2 or solver.implicit else (1e-4, 1e-6, 1e-8)
    # Fehlberg's embedded method of order 1 is nearly his of order 2: 1/512 of the second derivative is all that it sees.
    factor = 2000 if name == "fehlberg21" else 100
    errors = []
    for tolerance in tolerances:
        ys = solve(problem.field, problem.y0, ts, solver=name, rtol=tolerance, atol=tolerance).ys
        errors.append((ys - exact).abs().max().item())
        assert errors[-1] < factor * tolerance
    assert errors[0] > 3 * errors[1] > 9 * errors[2]


@pytest.mark.parametrize("name", SOLVERS)
def test_the_way_back_leads_to_the_start(name):
    problem, solver, steps = PROBLEMS["rotation"], fixed(name), 64
    bound = 4 * (1.0 / steps) ** solver.order + 1e-13
    forward = solve(problem.field, problem.y0, (0.0, 1.0), solver=solver, steps=steps)
    back = solve(problem.field, problem.exact(1.0), (1.0, 0.0), solver=solver, steps=steps)
    assert (forward.y1 - problem.exact(1.0)).abs().max() < bound
    assert (back.y1 - problem.y0).abs().max() < bound
    assert bool((back.grid.dt < 0).all()) and back.grid.end == 0.0
