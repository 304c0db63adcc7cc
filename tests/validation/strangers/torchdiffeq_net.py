"""A neural ODE on torchdiffeq, as people write it: nothing of odebench in it."""

import torch
from torch import nn
from torchdiffeq import odeint

from tests.validation.strangers.points import moons


class Dynamics(nn.Module):
    def __init__(self, width=16):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, width), nn.Tanh(), nn.Linear(width, 3))

    def forward(self, t, y):
        return self.net(y)


class ODENet(nn.Module):
    def __init__(self, method="dopri5", tolerance=1e-3, options=None):
        super().__init__()
        self.lift = nn.Linear(2, 3)
        self.dynamics = Dynamics()
        self.head = nn.Linear(3, 2)
        self.method, self.tolerance, self.options = method, tolerance, options

    def forward(self, x):
        t = torch.tensor([0.0, 1.0])
        tolerance = self.tolerance
        y = odeint(
            self.dynamics, self.lift(x), t, rtol=tolerance, atol=tolerance, method=self.method, options=self.options
        )
        return self.head(y[-1])


def trained(model, seed, iterations=250):
    torch.manual_seed(seed)
    inputs, targets = moons(1000, seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-2)
    for _ in range(iterations):
        rows = torch.randint(len(inputs), (128,))
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs[rows]), targets[rows]).backward()
        optimizer.step()
    return model


def flow():
    """A model trained with four steps of what torchdiffeq calls rk4."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return trained(ODENet("rk4", options={"step_size": 0.25}), seed=0), moons(2000, seed=1000)
