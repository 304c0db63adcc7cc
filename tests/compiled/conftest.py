"""Fields, and a backend without C++ for what is about graphs."""

from __future__ import annotations

import logging

import pytest
import torch
from torch import Tensor, nn

from odebench.compiled import program

# pytest hears every logger, and this one describes every tensor of every graph.
logging.getLogger("torch.__trace").setLevel(logging.CRITICAL)


class Turning(nn.Module):
    """y1' = -w y2 s(t), y2' = w y1 s(t): the plane turns by w ∫ s, s(t) = 1 + sin(t)/2 by default."""

    accepts_batched_time = True

    def __init__(self, speed: float = 2.0, wobble: float = 0.5) -> None:
        super().__init__()
        self.speed = nn.Parameter(torch.tensor(speed, dtype=torch.float64))
        self.wobble = wobble

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        x, v = y[:, :1], y[:, 1:]
        return torch.cat((-v, x), 1) * self.speed * (1.0 + self.wobble * torch.sin(t))

    def solution(self, t: float, y0: Tensor) -> Tensor:
        """The closed form."""
        angle = self.speed.detach() * (t + self.wobble * (1.0 - torch.cos(torch.tensor(t, dtype=torch.float64))))
        sine, cosine = torch.sin(angle), torch.cos(angle)
        x, v = y0[:, :1], y0[:, 1:]
        return torch.cat((cosine * x - sine * v, sine * x + cosine * v), 1)


@pytest.fixture
def field() -> Turning:
    return Turning()


@pytest.fixture
def y0() -> Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(6, 2, dtype=torch.float64, generator=generator)


@pytest.fixture
def graphs_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs are traced, functionalised and interpreted, but not translated to C++, which takes most of the time."""
    monkeypatch.setattr(program, "BACKEND", "aot_eager")
    monkeypatch.setattr(program, "OPTIONS", None)
    monkeypatch.setattr(program, "FUSED", False)
