"""A trained network of configuration 2 for inference: an ordinary residual network in other weights."""

from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from odebench.api import build
from odebench.contract import StepSize
from odebench.errors import IncompatibleError
from odebench.nn import EvolvingField
from tests.models.every import NETWORKS_OF_BLOCKS

EVOLVING = {"evolution": "reaction-diffusion-advection", "configuration": 2, "weight_steps": 10}
every_name = pytest.mark.parametrize("name", [model.name for model in NETWORKS_OF_BLOCKS])


class Operations(TorchDispatchMode):
    """The operations that are called, in order."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(str(func))
        return func(*args, **(kwargs or {}))


def learning_of(name, **parameters):
    return build("model", {"name": name, "width": 4, **parameters}).learning(0)


def answered(learning, inputs, gradient="anode"):
    method, solver = build("gradient", gradient), build("solver", "euler")
    return learning.answer(
        inputs, lambda field, z: method.solve(solver, field, z, learning.ts, StepSize(steps=1)).y1.clone()
    )


def trained(name, iterations=2):
    """A network some steps of gradient descent from its start, so that its weights evolve."""
    learning = learning_of(name, **EVOLVING)
    learning.field.double()
    descent = torch.optim.SGD(learning.field.parameters(), lr=0.1)
    for rows in torch.arange(8 * iterations).split(8):
        descent.zero_grad()
        learning.loss(answered(learning, learning.train.inputs[rows].double()), learning.train.targets[rows]).backward()
        descent.step()
    return learning


def size(module):
    return sum(parameter.numel() for parameter in module.parameters())


@every_name
def test_a_trained_network_of_configuration_2_is_a_residual_network_in_other_weights(name):
    """The same answers to rounding, as many parameters, and the same operations in the same order: nothing could cost time."""
    learning = trained(name)
    evolutions = [part.evolution for part in learning.network.modules() if isinstance(part, EvolvingField)]
    assert evolutions and all(one.reaction.abs().min() > 0 for one in evolutions)
    inputs = learning.test.inputs[:16].double()
    frozen = learning.network.residual().eval()
    ordinary = learning_of(name).network.double().residual().eval()
    with torch.no_grad():
        expected, got = answered(learning, inputs), frozen(inputs)
        assert (got - expected).norm() < 1e-13 * expected.norm()
        assert not torch.allclose(ordinary(inputs), expected), "it has learned something"
        with Operations() as one:
            frozen(inputs)
        with Operations() as other:
            ordinary(inputs)
    assert one.names == other.names
    assert {key: value.shape for key, value in frozen.state_dict().items()} == {
        key: value.shape for key, value in ordinary.state_dict().items()
    }
    assert size(frozen) == size(learning_of(name).network)
    # Each kernel has a d, a ρ, and a υ for each of its two axes.
    kernels = sum(len(one.reaction) for one in evolutions)
    assert size(learning.network) == size(frozen) + 4 * kernels


def test_a_frozen_network_shares_no_weights_with_the_trained_one():
    learning = learning_of("resnet10-ode", **EVOLVING)
    before = {name: value.clone() for name, value in learning.network.state_dict().items()}
    with torch.no_grad():
        for parameter in learning.network.residual().parameters():
            parameter.fill_(7.0)
    after = learning.network.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_weights_that_go_with_the_state_cannot_be_frozen():
    learning = learning_of("resnet4-ode", **EVOLVING | {"configuration": 1})
    with pytest.raises(IncompatibleError, match="Use configuration 2"):
        learning.network.residual()
