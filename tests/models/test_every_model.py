"""What every built-in model promises."""

from __future__ import annotations

import inspect
import json

import pytest
import torch

from odebench.contract import parameters_of
from tests.models.every import BY_NAME, MODELS, REGISTERED, leaves_of

NAMES = {
    "linear", "harmonic-oscillator", "logistic", "lotka-volterra", "van-der-pol", "lorenz", "brusselator", "robertson",
    "pleiades", "arenstorf", "relu-decay", "gaussian-relu", "mlp-field", "conv-field", "spiral", "cnf", "latent-irregular",
    "xor-fan", "linear-net", "conv1d-net", "conv2d-net", "coupled-net",
    "resnet4-ode", "resnet10-ode", "resnet18-ode", "squeezenext-ode", "alexnet-ode",
}  # fmt: skip
ZERO = torch.zeros((), dtype=torch.float64)

every_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)


def test_the_hook_offers_all_models_once():
    assert sorted(BY_NAME) == sorted(NAMES)
    assert len(REGISTERED) == len(NAMES)


@every_model
def test_parameters_are_keywords_with_defaults_that_json_holds(model):
    parameters = list(inspect.signature(model.__init__).parameters.values())[1:]
    assert all(p.kind is p.KEYWORD_ONLY and p.default is not p.empty for p in parameters)
    defaults = {p.name: p.default for p in parameters}
    assert json.loads(json.dumps(defaults)) == defaults
    assert {"batch", "outputs", "span"} <= set(defaults)


@every_model
def test_a_model_states_its_source_and_span(model):
    assert model.source
    assert "Source:" in model.__doc__
    assert "Span:" in model.__doc__


@every_model
def test_the_same_seed_gives_the_same_bits_and_another_seed_another_problem(model):
    # Rows 0 to 3 of `xor-fan` are the same four points for every seed.
    first, again, other = (model(batch=5).problem(seed) for seed in (1, 1, 2))
    assert first.ts == again.ts
    for a, b in zip(leaves_of(first.y0), leaves_of(again.y0), strict=True):
        assert torch.equal(a, b)
    for a, b in zip(first.field.state_dict().values(), again.field.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert not all(torch.equal(a, b) for a, b in zip(leaves_of(first.y0), leaves_of(other.y0), strict=True))


@every_model
def test_building_a_problem_leaves_the_global_random_state_alone(model):
    before = torch.get_rng_state()
    model(batch=2).problem(0)
    assert torch.equal(before, torch.get_rng_state())


@every_model
@pytest.mark.parametrize("batch", [0, 1, 3])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_the_field_keeps_shape_and_dtype(model, batch, dtype):
    problem = model(batch=batch).problem(0).to(dtype, "cpu")
    time = torch.zeros((), dtype=torch.float32 if dtype == torch.bfloat16 else dtype)
    for leaf, slope in zip(leaves_of(problem.y0), leaves_of(problem.field(time, problem.y0)), strict=True):
        assert leaf.shape[0] == batch
        assert (slope.shape, slope.dtype) == (leaf.shape, leaf.dtype)


@every_model
@pytest.mark.parametrize("batch", [0, 2])
def test_the_loss_is_a_scalar_whose_gradient_reaches_the_states(model, batch):
    problem = model(batch=batch).problem(0).to(torch.float32, "cpu")
    times = len(problem.gradient_ts)
    states = tuple(leaf.expand(times, *leaf.shape).clone().requires_grad_() for leaf in leaves_of(problem.y0))
    loss = problem.loss(states if isinstance(problem.y0, tuple) else states[0])
    assert loss.shape == ()
    assert loss.dtype == torch.float32
    assert torch.isfinite(loss)
    if batch:
        loss.backward()
        assert any(state.grad.abs().max() > 0 for state in states)


@every_model
def test_output_times_are_those_asked_for(model):
    problem = model(outputs=5, span=0.5).problem(0)
    assert len(problem.ts) == 6
    assert problem.ts[0] == 0.0
    assert problem.ts[-1] == 0.5
    assert list(problem.ts) == sorted(set(problem.ts))


@every_model
def test_rows_do_not_see_each_other_and_take_times_of_their_own(model):
    problem = model(batch=3).problem(0)
    assert problem.field.accepts_batched_time
    rows = leaves_of(problem.y0)
    shape = (3,) + (1,) * (max(leaf.dim() for leaf in rows) - 1)
    times = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64)
    together = leaves_of(problem.field(times.reshape(shape), problem.y0))
    for i in range(3):
        row = tuple(leaf[i : i + 1] for leaf in rows)
        alone = leaves_of(problem.field(times[i], row if isinstance(problem.y0, tuple) else row[0]))
        for whole, part in zip(together, alone, strict=True):
            torch.testing.assert_close(whole[i : i + 1], part, rtol=1e-12, atol=1e-12)


@every_model
def test_the_field_works_under_vmap_and_jacrev(model):
    problem = model(batch=2).problem(0)
    leaves = leaves_of(problem.y0)
    if sum(leaf[0].numel() for leaf in leaves) > 128:
        problem = model(batch=2, **({"channels": 1, "size": 4} if model.name == "conv-field" else {})).problem(0)
        leaves = leaves_of(problem.y0)
    if model.name == "conv2d-net":  # A black pixel lies on the kink of the rectifiers, whose biases start at 0.
        leaves = leaves_of(_moved(problem.y0))

    def slope(*row):
        wide = tuple(leaf.unsqueeze(0) for leaf in row)
        out = leaves_of(problem.field(ZERO, wide if isinstance(problem.y0, tuple) else wide[0]))
        return torch.cat([leaf.reshape(-1) for leaf in out])

    jacobian = torch.func.vmap(torch.func.jacrev(slope))(*leaves)
    step = 1e-6
    moved = torch.randn(leaves[0].shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ahead, behind = ((leaves[0] + s * step * moved, *leaves[1:]) for s in (1, -1))
    expected = (torch.func.vmap(slope)(*ahead) - torch.func.vmap(slope)(*behind)) / (2 * step)
    got = torch.einsum("bij,bj->bi", jacobian.flatten(2), moved.flatten(1))
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5 * expected.abs().max().item())


@every_model
def test_every_parameter_of_the_field_matters(model):
    problem = model(batch=2).problem(0)
    weights = [
        torch.randn(leaf.shape, generator=torch.Generator().manual_seed(1)).double() for leaf in leaves_of(problem.y0)
    ]
    out = sum(
        (w * f).sum() for w, f in zip(weights, leaves_of(problem.field(ZERO + 0.1, _moved(problem.y0))), strict=True)
    )
    parameters = parameters_of(problem.field)
    assert parameters
    assert all(grad.abs().max() > 0 for grad in torch.autograd.grad(out, parameters))


def _moved(y0):
    """A state near y0 with no component 0, where a constant may not show."""
    moved = tuple(leaf + 0.1 for leaf in leaves_of(y0))
    return moved if isinstance(y0, tuple) else moved[0]
