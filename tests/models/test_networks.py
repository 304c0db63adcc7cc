"""Models that can be trained: their size, their seeds, what they learn from."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
import torch
from torch import nn

import odebench
from odebench import data
from odebench.errors import IncompatibleError, OdebenchError
from tests.models.every import BY_NAME

NETWORKS = ["conv1d-net", "conv2d-net", "linear-net"]
every_network = pytest.mark.parametrize("name", NETWORKS)


def size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.fixture
def cifar(tmp_path, monkeypatch):
    """CIFAR-10 of twelve images, in the folder that the environment names."""
    content = b"".join(bytes([k % 10]) + bytes([k]) * 3072 for k in range(12))
    for name in (*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin"):
        (tmp_path / name).write_bytes(content)
    monkeypatch.setenv("ODEBENCH_DATA", str(tmp_path))
    return {"name": "cifar10", "verify": False}


def test_the_sphere_network_has_the_papers_size():
    learning = BY_NAME["conv1d-net"]().learning(0)
    assert (size(learning.field), size(learning.readout)) == (3201, 6)


def test_the_cifar_network_has_the_papers_size(cifar):
    learning = BY_NAME["conv2d-net"](data=cifar, width=128).learning(0)
    assert (size(learning.field), size(learning.readout)) == (148_483, 30_730)
    assert learning.train.inputs.shape == (60, 3, 32, 32)
    assert learning.field(torch.tensor(0.0), learning.test.inputs).shape == (12, 3, 32, 32)
    assert BY_NAME["conv2d-net"](data=cifar, batch=4).problem(0).y0.shape == (4, 3, 32, 32)


@pytest.mark.parametrize("dimension", [2, 3])
def test_the_linear_network_has_three_layers(dimension):
    learning = BY_NAME["linear-net"](data={"name": "spheres", "dimension": dimension}, width=7).learning(0)
    shapes = [tuple(p.shape) for p in learning.field.parameters()]
    assert shapes == [(7, dimension), (7,), (7, 7), (7,), (dimension, 7), (dimension,)]


@pytest.mark.parametrize(
    ("name", "layer", "inputs"),
    [
        ("conv1d-net", "field.mix", 3 * 300),
        ("conv2d-net", "field.mix", 9 * 100),
        ("linear-net", "field.mix", 300),
        ("conv2d-net", "readout.1", 64),
    ],
)
def test_weights_are_kaiming_normal_by_their_inputs_and_biases_zero(name, layer, inputs):
    learning = BY_NAME[name](width=100 if name == "conv2d-net" else 300).learning(0)
    module = nn.ModuleDict({"field": learning.field, "readout": learning.readout}).get_submodule(layer)
    weight = module.weight.flatten()
    deviation = math.sqrt(2 / inputs)
    assert weight.std().item() == pytest.approx(deviation, rel=5 / math.sqrt(2 * len(weight)))
    assert abs(weight.mean().item()) < 5 * deviation / math.sqrt(len(weight))
    kurtosis = ((weight - weight.mean()) / weight.std()).pow(4).mean().item()
    assert kurtosis == pytest.approx(3, abs=5 * math.sqrt(24 / len(weight)))  # 1.8 for a uniform distribution
    for owner in (learning.field, learning.readout):
        assert not any(bias.any() for key, bias in owner.named_parameters() if key.endswith("bias"))


@every_network
def test_the_seed_alone_decides_weights_and_data(name):
    """The published code seeds after it has built the model, so that one seed gives other weights in every run."""
    states = []
    for disturbed, seed in ((0, 3), (1, 3), (0, 4)):
        torch.manual_seed(disturbed)
        np.random.seed(disturbed)
        random.seed(disturbed)
        learning = BY_NAME[name]().learning(seed)
        weights = [*learning.field.state_dict().values(), *learning.readout.state_dict().values()]
        states.append(([*weights, learning.train.inputs, learning.train.targets], weights[0]))
    (first, _), (again, weight), (_, other) = states
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(weight, other)


def test_another_seed_means_other_data_where_they_are_drawn():
    one, other = (BY_NAME["conv1d-net"]().learning(seed) for seed in (0, 1))
    assert not torch.equal(one.train.inputs, other.train.inputs)


@every_network
def test_building_a_learning_leaves_the_global_random_state_alone(name):
    before = torch.get_rng_state()
    BY_NAME[name]().learning(0)
    assert torch.equal(before, torch.get_rng_state())


@every_network
def test_what_is_learned_from_is_the_data_in_float32(name):
    model = BY_NAME[name]()
    learning, loaded = model.learning(2), data.load(model.data, 2)
    for got, part in ((learning.train, loaded.train), (learning.test, loaded.test)):
        assert got.inputs.dtype == torch.float32
        assert torch.equal(got.inputs.flatten(1), part.inputs.float().flatten(1))
        assert torch.equal(got.targets, part.targets)
    assert all(p.dtype == torch.float32 and p.requires_grad for p in learning.field.parameters())
    assert learning.ts == (0.0, 1.0)
    assert learning.metric == "accuracy"
    assert 0.05 < learning.chance <= 0.5


@every_network
def test_the_problem_is_what_a_training_begins_with(name):
    model = BY_NAME[name](batch=9)
    problem, learning = model.problem(1), model.learning(1)
    for key, value in learning.field.state_dict().items():
        assert torch.equal(problem.field.state_dict()[key].float(), value)
    for row, label in zip(problem.y0.float(), problem.labels, strict=True):
        same = (learning.test.inputs == row).flatten(1).all(1)
        assert same.any()
        assert (learning.test.targets[same] == label).any()
    ys = problem.y0.unsqueeze(0)
    expected = learning.loss(learning.readout(problem.y0.float()), problem.labels)
    torch.testing.assert_close(problem.loss(ys).float(), expected, rtol=1e-5, atol=0)


def test_a_network_learns_a_function_too():
    model = BY_NAME["linear-net"](data="saddle", batch=16)
    learning, problem = model.learning(0), model.problem(0)
    assert problem.labels is None
    assert learning.metric == "negative squared error"
    outputs = learning.readout(learning.test.inputs)
    scores = learning.score(outputs, learning.test.targets)
    assert scores.shape == (1000,)
    torch.testing.assert_close(-scores.mean(), learning.loss(outputs, learning.test.targets))
    assert learning.chance == pytest.approx(-1 / 9, rel=0.1)


@pytest.mark.parametrize(
    ("name", "parameters", "least"),
    [
        ("conv1d-net", {}, 0.9),
        ("conv2d-net", {"width": 8}, 0.8),
        ("linear-net", {"data": "three-minima"}, 0.5),
        ("linear-net", {"data": "saddle"}, -0.05),
    ],
)
def test_a_few_steps_of_adam_beat_chance_by_far(name, parameters, least):
    learning = BY_NAME[name](**parameters).learning(0)
    weights = [*learning.field.parameters(), *learning.readout.parameters()]
    optimiser = torch.optim.Adam(weights, lr=5e-3)
    order = torch.Generator().manual_seed(0)
    for _ in range(250 if name != "conv2d-net" else 60):
        batch = learning.train[torch.randint(len(learning.train), (128,), generator=order)]
        optimiser.zero_grad()
        end = odebench.solve(learning.field, batch.inputs, learning.ts, solver="euler", steps=4).y1
        learning.loss(learning.readout(end), batch.targets).backward()
        optimiser.step()
    with torch.no_grad():
        end = odebench.solve(learning.field, learning.test.inputs, learning.ts, solver="euler", steps=4).y1
        score = learning.score(learning.readout(end), learning.test.targets).mean().item()
    assert score > least > learning.chance, score


def test_a_model_without_data_says_that_it_cannot_be_trained():
    with pytest.raises(IncompatibleError, match="'lotka-volterra' has no data"):
        BY_NAME["lotka-volterra"]().learning(0)


@pytest.mark.parametrize(
    ("name", "parameters", "word"),
    [
        ("conv1d-net", {"dense": "yes"}, "`dense`"),
        ("conv1d-net", {"width": 0}, "`width`"),
        ("conv1d-net", {"data": "digits"}, r"shape \(1, 8, 8\); conv1d-net takes \(channels, length\)"),
        ("conv2d-net", {"data": "spheres"}, r"shape \(1, 2\); conv2d-net takes"),
        ("linear-net", {"data": "sphere"}, "Did you mean 'spheres'"),
        ("linear-net", {"data": {"name": "spheres", "test": 8}, "batch": 9}, "there are 8 test examples"),
    ],
)
def test_what_makes_no_model_is_refused_in_words(name, parameters, word):
    with pytest.raises(OdebenchError, match=word):
        BY_NAME[name](**parameters).problem(0)


def test_the_fan_follows_equation_4():
    problem = BY_NAME["xor-fan"](alpha=0.3, beta=0.7, gamma=5.0, delta=1.5).problem(0)
    z = torch.tensor([[0.6, -0.8], [2.0, 0.0]], dtype=torch.float64)
    norms = (1.0, 2.0)
    expected = [[0.3 * x + v, -5.0 * r**1.5 * x + 0.7 * v] for (x, v), r in zip(z.tolist(), norms, strict=True)]
    got = problem.field(torch.tensor(0.0), z)
    torch.testing.assert_close(got, torch.tensor(expected, dtype=torch.float64), rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("delta", [0.0, 0.5, 1.0, 2.0])
def test_the_fan_has_a_rest_at_zero_where_gradients_are_finite(delta):
    field = BY_NAME["xor-fan"](delta=delta).problem(0).field
    z = torch.zeros(1, 2, dtype=torch.float64, requires_grad=True)
    slope = field(torch.tensor(0.0), z)
    assert not slope.any()
    gradients = torch.autograd.grad(slope.sum(), (z, *field.parameters()))
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


def test_the_fan_starts_from_the_corners_of_a_square():
    problem = BY_NAME["xor-fan"](batch=10).problem(4)
    corners = problem.y0[:4].long()
    assert torch.equal(problem.y0[:4], corners.double())
    assert torch.equal(problem.labels[:4], corners[:, 0] ^ corners[:, 1])
    near = problem.y0[4:].round().long()
    assert torch.equal(problem.labels[4:], near[:, 0] ^ near[:, 1])
    assert (problem.y0[4:] != near).all()
