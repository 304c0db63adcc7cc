"""Models whose answers under every solver are known: points that turn about the origin, and which side they end on.

Euler's method with n steps turns by n·atan(a/n) and stretches by (1 + a²/n²)^(n/2); an exact solution turns by the angle a.
"""

from __future__ import annotations

import math

import torch
from torch import nn

import odebench

ANGLE = math.pi / 2


class Turning(nn.Module):
    """Turns by a right angle in unit time; the answer is 1 for what ends above the axis."""

    span = (0.0, 1.0)

    def __init__(self, steps: int = 2):
        super().__init__()
        self.steps = steps
        self.rate = nn.Parameter(torch.tensor(ANGLE))

    def field(self, t, y):
        return self.rate * torch.stack((-y[:, 1], y[:, 0]), dim=1)

    def readout(self, y):
        return torch.stack((-y[:, 1], y[:, 1]), dim=1)

    def forward(self, x):
        for k in range(self.steps):
            x = x + self.field(k / self.steps, x) / self.steps
        return self.readout(x)


def points(degrees: torch.Tensor) -> torch.Tensor:
    """On the unit circle."""
    return torch.stack((torch.deg2rad(degrees).cos(), torch.deg2rad(degrees).sin()), dim=1)


def euler_degrees(steps: int) -> float:
    """By how much Euler's method turns."""
    return math.degrees(steps * math.atan(ANGLE / steps))


def euler_error(steps: int) -> float:
    """Relative error of Euler's method: the same for all points."""
    return abs(complex(1, ANGLE / steps) ** steps - complex(0, 1))


def clear(samples: int = 1000) -> tuple[torch.Tensor, torch.Tensor]:
    """Points that end far from the axis under any solver, labelled rightly."""
    degrees = torch.linspace(-60, 60, samples)
    return points(degrees), torch.ones(samples, dtype=torch.int64)


def doubtful(samples: int = 1000, share: float = 0.3) -> tuple[torch.Tensor, torch.Tensor]:
    """A share of the points ends above the axis under two steps of Euler's method only, and that is what their label says."""
    inputs, targets = clear(samples)
    changing = round(share * samples)
    inputs[:changing] = points(torch.linspace(94, 102, changing))  # 94 + 76.3 < 180 < 94 + 90
    return inputs, targets


def clear_model() -> tuple[nn.Module, tuple[torch.Tensor, torch.Tensor]]:
    """For the command line."""
    return Turning(), clear()


def doubtful_model() -> tuple[nn.Module, tuple[torch.Tensor, torch.Tensor]]:
    """For the command line."""
    return Turning(), doubtful()


def few() -> tuple[nn.Module, tuple[torch.Tensor, torch.Tensor]]:
    """For the command line."""
    return Turning(), clear(40)


def model_only() -> nn.Module:
    """For the command line."""
    return Turning()


def train(steps: int, seed: int) -> nn.Module:
    """What a training would return: a model for so many steps."""
    return Turning(steps)


def score(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """A metric of somebody's own."""
    return (outputs.argmax(1) == targets).float()


class Called(nn.Module):
    """The same through `odebench.odeint`, or any function with its arguments."""

    def __init__(self, odeint=odebench.odeint, **arguments):
        super().__init__()
        self.rate = nn.Parameter(torch.tensor(ANGLE))
        self.odeint = odeint
        self.arguments = arguments

    def turn(self, t, y):
        return self.rate * torch.stack((-y[:, 1], y[:, 0]), dim=1)

    def forward(self, x):
        y = self.odeint(self.turn, x, torch.tensor([0.0, 1.0]), **self.arguments)[-1]
        return torch.stack((-y[:, 1], y[:, 1]), dim=1)
