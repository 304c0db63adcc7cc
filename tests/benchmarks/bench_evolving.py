"""What evolving weights cost, as ratios to the ordinary network, over interleaved rounds.

    pytest tests/benchmarks/bench_evolving.py -s -o python_functions=bench_

Two 3 × 3 convolutions of 32 channels on 16 × 16 maps, batch 32, float32, one thread. A frozen network is the ordinary one in other
weights, so its ratio is 1 up to noise; the others depend on the batch, which the weights do not see. Then whole networks of the
models on digits, trained for some iterations in configuration 2 and frozen, against those that never evolved.
"""

from __future__ import annotations

import torch
from torch import nn

import odebench
from odebench.api import build
from odebench.contract import Learning, StepSize
from odebench.nn import EvolvingField, NoEvolution, ReactionDiffusionAdvection, Residual
from tests.benchmarks.interleaved import Interleaved

STEPS = 5


def block() -> nn.Module:
    """A residual branch."""
    return nn.Sequential(nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1))


def training_step(field: nn.Module, z: torch.Tensor, steps: int):
    """Forward and backward pass."""

    def call() -> None:
        for parameter in field.parameters():
            parameter.grad = None
        odebench.solve(
            field, z, (0.0, 1.0), solver="euler", steps=steps, gradient="anode"
        ).y1.square().mean().backward()

    return call


def bench_evolving_weights() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    z = torch.randn(32, 32, 16, 16)
    second = EvolvingField(block(), ReactionDiffusionAdvection(diffusion=0.1), configuration=2, weight_steps=10)
    frozen, ordinary = Residual(second.freeze()).eval(), Residual(block()).eval()

    def inference(network: nn.Module):
        def call() -> None:
            with torch.no_grad():
                network(z)

        return call

    held = EvolvingField(block(), NoEvolution())
    flow = EvolvingField(block(), ReactionDiffusionAdvection(diffusion=0.1))
    stepped = EvolvingField(block(), ReactionDiffusionAdvection(diffusion=0.1), weight_steps=STEPS)
    times = Interleaved(
        {
            "frozen": inference(frozen),
            "ordinary": inference(ordinary),
            "held": training_step(held, z, STEPS),
            "flow": training_step(flow, z, STEPS),
            "stepped": training_step(stepped, z, STEPS),
            "held, one step": training_step(held, z, 1),
            "configuration 2": training_step(second, z, 1),
        },
        rounds=15,
    )
    print()
    for name, base in (
        ("frozen", "ordinary"),
        ("flow", "held"),
        ("stepped", "held"),
        ("configuration 2", "held, one step"),
    ):
        print(f"{name} / {base}: {times.of(lambda t, name=name, base=base: t[name] / t[base])}")


EVOLVING = {"evolution": "reaction-diffusion-advection", "configuration": 2, "weight_steps": 10}


def trained(name: str, iterations: int = 20) -> Learning:
    """A network of configuration 2 after some steps of gradient descent."""
    learning = build("model", {"name": name, **EVOLVING}).learning(0)
    descent = torch.optim.SGD(learning.field.parameters(), lr=0.1, momentum=0.9)
    for rows in torch.arange(64 * iterations).remainder(len(learning.train)).split(64):
        descent.zero_grad()
        learning.loss(answered(learning, learning.train.inputs[rows]), learning.train.targets[rows]).backward()
        descent.step()
    return learning


def answered(learning: Learning, inputs: torch.Tensor) -> torch.Tensor:
    """Outputs by one Euler step a block."""
    euler, anode = build("solver", "euler"), build("gradient", "anode")
    return learning.answer(
        inputs, lambda field, z: anode.solve(euler, field, z, learning.ts, StepSize(steps=1)).y1.clone()
    )


def bench_frozen_networks() -> None:
    torch.set_num_threads(1)
    print()
    for name in ("resnet4-ode", "resnet10-ode"):
        learning = trained(name)
        frozen = learning.network.residual().eval()
        ordinary = build("model", name).learning(0).network.residual().eval()
        inputs = learning.test.inputs[:64]

        def inference(network: nn.Module, inputs: torch.Tensor = inputs):
            def call() -> None:
                with torch.no_grad():
                    network(inputs)

            return call

        with torch.no_grad():
            expected, got = answered(learning, inputs), frozen(inputs)
        sizes = [sum(p.numel() for p in network.parameters()) for network in (frozen, ordinary, learning.network)]
        times = Interleaved({"frozen": inference(frozen), "ordinary": inference(ordinary)}, rounds=60)
        print(f"{name}: relative difference of the outputs {(got - expected).norm() / expected.norm():.1e}")
        print("  parameters, frozen {}, ordinary {}, evolving {}".format(*sizes))
        print(f"  frozen / ordinary: {times.of(lambda t: t['frozen'] / t['ordinary'])}")
