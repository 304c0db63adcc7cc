"""Fields on which the eager engine is timed: five that are named, and others drawn at random, so that nothing is tuned to a name."""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
from torch import Tensor, nn


class LotkaVolterra(nn.Module):
    """Prey and predators: a field so cheap that overhead shows."""

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        prey, predator = y.unbind(-1)
        meet = prey * predator
        return torch.stack((1.5 * prey - meet, meet - 3.0 * predator), -1)


class VanDerPol(nn.Module):
    """mu = 2; one period is 7.63."""

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        x, v = y.unbind(-1)
        return torch.stack((v, 2.0 * (1.0 - x * x) * v - x), -1)


class Polynomials(nn.Module):
    """Each component decays, and gets a few products of two others, with coefficients drawn at random.

    The products are bounded by the decay as long as the state stays in [-1, 1], where it starts.
    """

    def __init__(self, draw: random.Random) -> None:
        super().__init__()
        self.size = draw.randint(2, 4)
        self.terms = [
            [
                (draw.uniform(-0.3, 0.3), draw.randrange(self.size), draw.randrange(self.size))
                for _ in range(draw.randint(1, 3))
            ]
            for _ in range(self.size)
        ]

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        parts = y.unbind(-1)
        slopes = []
        for part, terms in zip(parts, self.terms, strict=True):
            slope = -part
            for coefficient, i, j in terms:
                slope = slope + coefficient * parts[i] * parts[j]
            slopes.append(slope)
        return torch.stack(slopes, -1)


class Network(nn.Module):
    """Layers one after the other, without the time."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return self.layers(y)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A field with an initial state.

    Attributes:
        name: in the table.
        field, y: what is solved, from y.
        steps: of a fixed-step solve, over [0, 1].
        network: whether the field is a network, whose cost hides the solver's.
    """

    name: str
    field: nn.Module
    y: Tensor
    steps: int = 100
    network: bool = True


def named() -> list[Case]:
    """The fields that other measurements use too."""
    torch.manual_seed(0)
    mlp64 = Network(nn.Linear(2, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 2))
    mlp512 = Network(nn.Linear(512, 512), nn.Tanh(), nn.Linear(512, 512))
    conv2 = Network(nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 3, padding=1))
    plane = torch.rand(256, 2)
    return [
        Case(name="lv", field=LotkaVolterra(), y=plane + 0.5, network=False),
        Case(name="vdp", field=VanDerPol(), y=plane + 1.0, network=False),
        Case(name="mlp64", field=mlp64, y=plane + 0.5),
        Case(name="mlp512", field=mlp512, y=torch.randn(512, 512), steps=3),
        Case(name="conv2", field=conv2, y=torch.randn(2, 64, 32, 32), steps=5),
    ]


def drawn(seed: int) -> list[Case]:
    """A polynomial field and a network, of random size and shape."""
    draw = random.Random(seed)
    torch.manual_seed(seed)
    polynomials, batch = Polynomials(draw), draw.choice((16, 64, 256, 1024))
    size, width, depth = draw.randint(2, 32), draw.randint(32, 256), draw.randint(1, 3)
    activation = draw.choice((nn.Tanh, nn.ReLU, nn.SiLU, nn.Softplus))
    layers: list[nn.Module] = [nn.Linear(size, width), activation()]
    for _ in range(depth - 1):
        layers += [nn.Linear(width, width), activation()]
    rows = draw.choice((64, 128, 256, 512))
    return [
        Case(
            name=f"polynomials {seed} ({batch} × {polynomials.size})",
            field=polynomials,
            y=2.0 * torch.rand(batch, polynomials.size) - 1.0,
            network=False,
        ),
        Case(
            name=f"network {seed} ({size}-{width}×{depth}-{size} {activation.__name__}, {rows} rows)",
            field=Network(*layers, nn.Linear(width, size)),
            y=torch.randn(rows, size),
            steps=30,
        ),
    ]
