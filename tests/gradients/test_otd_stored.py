"""The adjoint equation along stored states: the formula by hand, and how far it is from the discrete gradient."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

import odebench
from odebench.api import build
from odebench.errors import IncompatibleError
from tests.gradients.fields import AdamsBashforth2, Network, loss_of, off, start

# Order of the solver, or that of its interpolant plus one where that is less; errors of an interpolant may cancel over the stages.
GAPS = {"euler": 1, "heun": 2, "midpoint": 2, "heun3": 3, "rk4": 4, "kvaerno3": 3}
AT_LEAST = {"dopri5": 5, "tsit5": 5, "dopri8": 6}


def gradient(method, ts=(0.0, 1.0), solver="rk4", field=None, **arguments):
    field, y0 = field or Network(), start()
    if isinstance(solver, str) and "steps" in arguments and build("solver", solver).adaptive:
        solver = build("solver", {"name": solver, "adaptive": False})
    solution = odebench.solve(field, y0, ts, solver=solver, gradient=method, **arguments)
    got = torch.autograd.grad(loss_of(solution.ys), (y0, *field.parameters()))
    return got[:1], [torch.cat([g.flatten() for g in got[1:]])], solution


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_euler_by_hand(steps):
    """a_n = a_{n+1} + h (∂f/∂y at z_{n+1})ᵀ a_{n+1}, and the same for the parameters (papers' equations of OTD)."""
    field, h = Network(), 1.0 / steps
    with torch.no_grad():
        states = [start()]
        for n in range(steps):
            states.append(states[-1] + h * field(n * h, states[-1]))
    final = states[-1].detach().requires_grad_()
    (a,) = torch.autograd.grad(loss_of(torch.stack((states[0], final))), final)
    totals = [torch.zeros_like(p) for p in field.parameters()]
    for n in reversed(range(steps)):
        z = states[n + 1].detach().requires_grad_()
        products = torch.autograd.grad(field((n + 1) * h, z), (z, *field.parameters()), a)
        totals = [total + h * product for total, product in zip(totals, products[1:], strict=True)]
        a = a + h * products[0]
    y0 = start()
    (first,) = torch.autograd.grad(loss_of(torch.stack((y0, states[-1]))), y0)
    got = gradient("otd-stored", solver="euler", steps=steps)
    expected = [torch.cat([total.flatten() for total in totals])]
    assert off(got[0], [a + first]) < 1e-14 and off(got[1], expected) < 1e-14
    assert off(got[0], gradient("direct", solver="euler", steps=steps)[0]) > 1e-3 / steps, "and it is another gradient"


def test_one_euler_step_is_the_continuous_adjoints():
    one, other = (gradient(m, solver="euler", steps=1) for m in ("otd-stored", "continuous-adjoint"))
    assert off(one[0], other[0]) < 1e-14 and off(one[1], other[1]) < 1e-14


@pytest.mark.parametrize("ts", [(0.0, 1.0), (1.0, 0.5, 0.0)])
@pytest.mark.parametrize("name", [*GAPS, *AT_LEAST])
def test_the_gap_to_the_discrete_gradient_falls_at_the_stated_order(name, ts):
    gaps = {"y0": [], "parameters": []}
    for k in range(2, 6) if GAPS.get(name, 5) > 3 else range(3, 7):
        stored, discrete = (gradient(m, ts, name, steps=2**k) for m in ("otd-stored", "direct"))
        gaps["y0"].append(off(stored[0], discrete[0]))
        gaps["parameters"].append(off(stored[1], discrete[1]))
    for what, values in gaps.items():
        slopes = [math.log2(a / b) for a, b in itertools.pairwise(values) if b > 1e-12]
        if name in GAPS:
            assert slopes[-1] == pytest.approx(GAPS[name], abs=0.4), (what, values)
        else:
            assert slopes[-1] > AT_LEAST[name] - 0.3, (what, values)


def test_outputs_inside_steps_and_chosen_steps():
    exact = gradient("direct", (0.0, 0.31, 0.47, 1.0), "dopri8", rtol=1e-12, atol=1e-12)
    gaps = []
    for tolerance in (1e-4, 1e-6, 1e-8):
        got = gradient("otd-stored", (0.0, 0.31, 0.47, 1.0), "dopri5", rtol=tolerance, atol=tolerance)
        gaps.append(max(off(got[0], exact[0]), off(got[1], exact[1])))
        assert gaps[-1] < 300 * tolerance
    assert gaps[0] > gaps[1] > gaps[2]


def test_a_carried_state_starts_anew_where_the_adjoint_jumps():
    """The slope of before the jump belongs to another adjoint: a second-order method would fall to the first order."""
    gaps = []
    for steps in (32, 64, 128):
        stored, discrete = (
            gradient(m, (0.0, 0.5, 1.0), AdamsBashforth2(), steps=steps) for m in ("otd-stored", "direct")
        )
        gaps.append(off(stored[0], discrete[0]))
    assert math.log2(gaps[0] / gaps[1]) == pytest.approx(2, abs=0.3)
    assert math.log2(gaps[1] / gaps[2]) == pytest.approx(2, abs=0.3)


def test_what_it_costs_and_keeps():
    got = gradient("otd-stored", solver="euler", steps=9)[2].stats
    assert (got.evaluations_forward, got.evaluations_backward) == (9, 9)
    got = gradient("otd-stored", solver="rk4", steps=9)[2].stats
    assert (got.evaluations_forward, got.evaluations_backward) == (36, 36 + 9 * 5), "each step once more, and its end"


def test_steps_for_each_row_are_refused():
    with pytest.raises(IncompatibleError, match="has no rows"):
        gradient("otd-stored", solver="dopri5", rtol=1e-3, batch="per-sample")
