"""The operators by which weights evolve."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from odebench.errors import OdebenchError
from odebench.nn import NoEvolution, RateEvolution, ReactionDiffusionAdvection
from tests.nn.coupled_systems import EVOLUTIONS, Bistable, seeded

WEIGHTS = {"one": nn.Parameter(seeded(3, 2, 3, 3)), "two": nn.Parameter(seeded(2, 4, 5, seed=1))}


def attached(evolution):
    evolution.attach(WEIGHTS)
    return evolution


def test_without_evolution_weights_are_the_same_tensors():
    weights = tuple(WEIGHTS.values())
    assert all(a is b for a, b in zip(NoEvolution()(weights, 0.3), weights, strict=True))
    assert all((rate == 0).all() for rate in NoEvolution().rate(weights))


def test_coefficients_start_at_zero_and_every_layer_has_its_own():
    operator = attached(ReactionDiffusionAdvection())
    assert {name: tuple(p.shape) for name, p in operator.named_parameters()} == {
        "raw_diffusion": (2,), "advection": (2, 2), "reaction": (2,),
    }  # fmt: skip
    assert all((p == 0).all() and p.requires_grad for p in operator.parameters())
    shared = attached(ReactionDiffusionAdvection(per_layer=False))
    assert sum(p.numel() for p in shared.parameters()) == 4


def test_layers_have_coefficients_of_their_own():
    operator = attached(ReactionDiffusionAdvection())
    with torch.no_grad():
        operator.reaction.copy_(torch.tensor([0.5, -1.0]))
    one, two = operator(tuple(WEIGHTS.values()), 2.0)
    torch.testing.assert_close(one, WEIGHTS["one"] * math.exp(1.0))
    torch.testing.assert_close(two, WEIGHTS["two"] * math.exp(-2.0))


def test_axes_say_where_a_weight_is_a_field():
    """Strong diffusion leaves the mean over these axes, and over no other."""
    for axes in ((-2, -1), (0, 1), (1,)):
        operator = attached(ReactionDiffusionAdvection(axes=axes, diffusion=50.0))
        for before, after in zip(WEIGHTS.values(), operator(tuple(WEIGHTS.values()), 1.0), strict=True):
            torch.testing.assert_close(after, before.mean(axes, keepdim=True).expand_as(before))


def test_only_what_is_named_is_trained():
    operator = attached(ReactionDiffusionAdvection(train=("advection",)))
    assert [name for name, p in operator.named_parameters() if p.requires_grad] == ["advection"]


def test_the_nonlinearity_is_applied_to_the_linear_solution_and_to_the_rate():
    linear, bent = (
        attached(ReactionDiffusionAdvection(diffusion=0.1, advection=0.2, reaction=0.3, nonlinearity=sigma))
        for sigma in (None, "tanh")
    )
    own = attached(ReactionDiffusionAdvection(diffusion=0.1, advection=0.2, reaction=0.3, nonlinearity=torch.sin))
    weights = tuple(WEIGHTS.values())
    for method in ("step", "rate"):
        arguments = (weights, 0.3) if method == "step" else (weights,)
        plain = getattr(linear, method)(*arguments)
        for operator, sigma in ((bent, torch.tanh), (own, torch.sin)):
            for got, expected in zip(getattr(operator, method)(*arguments), plain, strict=True):
                assert torch.equal(got, sigma(expected))
    assert linear.is_flow and not bent.is_flow


def test_diffusion_is_zero_at_the_start_and_can_leave_it():
    """Exactly 0, and with a slope: neither a square nor softplus has both."""
    operator = attached(ReactionDiffusionAdvection())
    assert (operator.diffusion == 0).all()
    optimizer = torch.optim.SGD(operator.parameters(), lr=0.1)
    operator.diffusion.sum().neg().backward()
    optimizer.step()
    assert (operator.diffusion == 0.1).all()


def test_diffusion_never_turns_negative_and_is_never_lost():
    """Past 0 it rises again, and its gradient stays the true one, so that every gradient method agrees about it."""
    operator = attached(ReactionDiffusionAdvection(diffusion=0.05))
    optimizer = torch.optim.SGD(operator.parameters(), lr=0.1)
    for wanted, expected in ((-1.0, 0.05), (1.0, 0.15), (1.0, 0.25), (-1.0, 0.15)):
        optimizer.zero_grad()
        (-wanted * operator.diffusion.sum()).backward()
        optimizer.step()
        torch.testing.assert_close(operator.diffusion, torch.full((2,), expected, dtype=torch.float64))
    assert (operator.raw_diffusion < 0).all()


def test_a_rate_that_a_user_writes_is_integrated_at_the_solvers_order():
    """w' = r (w - w³) is solved by w(t) = w eʳᵗ / √(1 + w² (e²ʳᵗ - 1))."""
    w, t = 0.5 * seeded(4, 4), 0.8
    growth = math.exp(0.7 * t)
    exact = w * growth / (1.0 + w.square() * (growth**2 - 1.0)).sqrt()
    for solver, order in (("euler", 1), ("midpoint", 2), ("rk4", 4)):
        errors = [
            (RateEvolution(Bistable(), solver=solver, steps=steps)((w,), t)[0] - exact).norm().item()
            for steps in (16, 32)
        ]
        assert abs(math.log2(errors[0] / errors[1]) - order) < 0.2


def test_rates_may_depend_on_all_weights_together():
    def swap(weights):
        return weights[1], -weights[0]

    a, b = seeded(2, 2), seeded(2, 2, seed=1)
    one, two = RateEvolution(swap, solver="rk4", steps=40, joint=True)((a, b), math.pi / 2)
    torch.testing.assert_close((one, two), (b, -a), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", EVOLUTIONS)
def test_only_flows_call_themselves_flows(name):
    operator, weights = attached(EVOLUTIONS[name]()), tuple(WEIGHTS.values())
    twice, once = operator(operator(weights, 0.3), 0.3), operator(weights, 0.6)
    same = all((a - b).abs().max() < 1e-14 for a, b in zip(twice, once, strict=True))
    assert same == operator.is_flow


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: ReactionDiffusionAdvection(diffusion=-0.1), "must be at least 0"),
        (lambda: ReactionDiffusionAdvection(advection=(1.0,)), "1 values for 2 axes"),
        (lambda: ReactionDiffusionAdvection(nonlinearity="relu6"), "'relu6'; it must be None, a function, or one of tanh"),
        (lambda: ReactionDiffusionAdvection(train=("speed",)), r"\['speed'\]; there are diffusion, advection, reaction"),
        (lambda: ReactionDiffusionAdvection().attach({"bias": torch.zeros(3)}), r"'bias' has shape \(3,\)"),
        (lambda: attached(attached(ReactionDiffusionAdvection())), "already evolves"),
        (lambda: attached(ReactionDiffusionAdvection())((WEIGHTS["one"],), 0.1), "made for 2 weights and is given 1"),
        (lambda: RateEvolution(Bistable(), solver="eulr"), "did you mean 'euler'"),
    ],
)  # fmt: skip
def test_mistakes_are_answered_in_words(build, said):
    with pytest.raises(OdebenchError, match=said):
        build()
