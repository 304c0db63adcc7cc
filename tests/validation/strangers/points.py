"""Points in the plane, two classes."""

import math

import torch


def spheres(samples, seed):
    """Three concentric rings; the middle one is class 1, the others are class 0."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(samples) % 2
    shell = torch.where(labels == 1, 1, 2 * (torch.arange(samples) // 2 % 2))
    low = torch.tensor([0.10, 0.25, 0.40])[shell]
    radius = low + 0.05 * torch.rand(samples, generator=generator).sqrt()
    direction = torch.randn(samples, 2, generator=generator)
    return radius[:, None] * direction / direction.norm(dim=1, keepdim=True), labels


def moons(samples, seed):
    """Two half circles that reach into each other."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(samples) % 2
    angle = math.pi * torch.rand(samples, generator=generator)
    upper = torch.stack((angle.cos(), angle.sin()), dim=1)
    lower = torch.stack((1 - angle.cos(), 0.5 - angle.sin()), dim=1)
    points = torch.where(labels[:, None] == 1, lower, upper)
    return points + 0.08 * torch.randn(samples, 2, generator=generator), labels
