"""A neural ODE with a loop of its own, as people write it: nothing of odebench in it but two attributes."""

import torch
from torch import nn

from tests.validation.strangers.points import spheres


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


def trained(steps, seed, iterations=700):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = EulerNet(steps)
        for module in model.modules():
            if isinstance(module, nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
                nn.init.zeros_(module.bias)
        inputs, targets = spheres(2000, seed)
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, iterations)
        for _ in range(iterations):
            rows = torch.randint(len(inputs), (128,))
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(inputs[rows]), targets[rows]).backward()
            optimizer.step()
            schedule.step()
    return model


def two_steps():
    """A model trained with two steps, and points that it has not seen."""
    return trained(2, seed=0), spheres(1000, seed=1000)
