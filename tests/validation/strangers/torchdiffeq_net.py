"""A neural ODE on torchdiffeq, as people write it: nothing of odebench in it."""

import functools

import torch
from torch import nn
from torchdiffeq import odeint

from tests.validation.strangers.points import moons, spheres
from tests.validation.strangers.training import fit


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


@functools.cache
def net():
    """Trained with four steps of what torchdiffeq calls rk4."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return fit(ODENet("rk4", options={"step_size": 0.25}), moons(1000, 0), 250, 2e-2)


def many_points():
    return net(), moons(2000, seed=1000)


def few_points():
    return net(), moons(60, seed=1000)


class RingNet(nn.Module):
    """Rings by two of Euler's steps, without a lift: the state is the point itself."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 2))
        self.head = nn.Linear(2, 2)

    def forward(self, x):
        y = odeint(lambda t, y: self.net(y), x, torch.tensor([0.0, 0.5, 1.0]), method="euler")
        return self.head(y[-1])


def coarse():
    """Trained with one of Euler's steps from each time to the next: two in all."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return fit(RingNet(), spheres(2000, 0), 400, 3e-3, scale="linear"), spheres(1000, seed=1000)
