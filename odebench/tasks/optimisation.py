"""Optimisers and schedules that a training may name."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from odebench.errors import OdebenchError

OPTIMISERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
}
"""What `optimizer` may be. Adam adds the decay to the gradient, AdamW takes it from the weights directly."""


class TrainingError(OdebenchError):
    """A parameter of a training has a value that describes none."""


Share = Callable[[int, int], float]
"""`share(iteration, iterations)`: the share of the learning rate at an iteration, counted from 0."""


def constant(iteration: int, iterations: int) -> float:
    """Always 1."""
    return 1.0


def cosine(iteration: int, iterations: int) -> float:
    """Half a period of a cosine, from 1 at the first iteration down to 0 after the last.

    Source: I. Loshchilov, F. Hutter, "SGDR: Stochastic gradient descent with warm restarts", ICLR 2017, arXiv:1608.03983, eq. (5)
    with eta_min = 0 and no restart.
    """
    return 0.5 * (1.0 + math.cos(math.pi * iteration / iterations))


def falling(milestones: str) -> Share:
    """Ten times less from each milestone on, a fraction of the training such as "150/350"; several are joined by commas.

    Raises:
        TrainingError: one is no fraction between 0 and 1.
    """
    try:
        places = [Fraction(word.strip()) for word in milestones.split(",")]
    except (ValueError, ZeroDivisionError):
        places = []
    if not places or not all(0 < place < 1 for place in places):
        raise TrainingError(
            f"`milestones` is {milestones!r}; it must be fractions of the training, such as '1/2' or '150/350, 250/350'."
        )
    return lambda iteration, iterations: 0.1 ** sum(iteration >= place * iterations for place in places)


SCHEDULES: tuple[str, ...] = ("constant", "cosine", "steps")
"""What `schedule` may be."""


def share_of(schedule: str, milestones: str) -> Share:
    """The schedule of a name; `milestones` are those of "steps"."""
    return falling(milestones) if schedule == "steps" else {"constant": constant, "cosine": cosine}[schedule]


def build_optimiser(
    name: str, weights: Iterable[Tensor], learning_rate: float, weight_decay: float, momentum: float
) -> torch.optim.Optimizer:
    """The optimiser of `weights`, with every option that was asked for.

    The fused kernels of torch: an optimiser's step costs a quarter of the default's, which matters where an iteration is two steps
    of a small network.
    """
    weights = list(weights)
    options: dict[str, Any] = {"lr": learning_rate, "weight_decay": weight_decay}
    options["fused"] = all(weight.device.type in ("cpu", "cuda") for weight in weights)
    if name == "sgd":
        options["momentum"] = momentum
    return OPTIMISERS[name](weights, **options)
