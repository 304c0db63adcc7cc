"""A neural ODE with a loop of its own, as people write it: nothing of odebench in it but two attributes."""

import torch
from torch import nn

from tests.validation.strangers.points import spheres
from tests.validation.strangers.training import fit


class EulerNet(nn.Module):
    span = (0.0, 1.0)

    def __init__(self, steps):
        super().__init__()
        self.steps = steps
        self.dynamics = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 2))
        self.readout = nn.Linear(2, 2)

    def field(self, t, x):
        return self.dynamics(x)

    def forward(self, x):
        h = 1.0 / self.steps
        for k in range(self.steps):
            x = x + h * self.field(k * h, x)
        return self.readout(x)


def two_steps():
    """A model trained with two steps, and points that it has not seen."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return fit(EulerNet(2), spheres(2000, 0), 400, 3e-3, scale="linear"), spheres(1000, seed=1000)


def untrained():
    """The same before it learns."""
    return EulerNet(2), spheres(100, seed=1000)
