"""A training loop as everybody writes it."""

import torch
from torch import nn


def fit(model, data, iterations, rate, scale=None):
    """Adam with a cosine schedule, from He's initial weights where a scale is given."""
    if scale is not None:
        for module in model.modules():
            if isinstance(module, nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity=scale)
                nn.init.zeros_(module.bias)
    inputs, targets = data
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, iterations)
    for _ in range(iterations):
        rows = torch.randint(len(inputs), (128,))
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs[rows]), targets[rows]).backward()
        optimizer.step()
        schedule.step()
    return model
