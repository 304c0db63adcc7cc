"""Seeded draws and output times that the models share. Nothing here touches torch's global random state."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from odebench.errors import OdebenchError

_STREAM = 0x0DE_BE7C


class ModelError(OdebenchError):
    """A parameter of a model has a value that describes no problem."""


def generator_of(seed: int) -> torch.Generator:
    """The random stream of a seed."""
    return torch.Generator().manual_seed(_STREAM + seed)


def normal(generator: torch.Generator, *shape: int) -> Tensor:
    """Standard normal draws in float64."""
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def output_times(span: float, outputs: int) -> tuple[float, ...]:
    """`outputs` equal intervals over [0, span]: `outputs + 1` times.

    Raises:
        ModelError: no interval, or an empty span.
    """
    if outputs < 1:
        raise ModelError(f"`outputs` is {outputs!r}; a problem needs at least 1 output interval.")
    if not (math.isfinite(span) and span > 0):
        raise ModelError(f"`span` is {span!r}; it must be positive and finite.")
    return (*(span * i / outputs for i in range(outputs)), float(span))


def rows_around(center: Sequence[float], batch: int, spread: float, generator: torch.Generator) -> Tensor:
    """Initial states `(batch, len(center))`: row 0 is `center`, each other one is center · (1 + spread · normal).

    A component that is 0 in the centre stays 0.
    """
    at = torch.tensor(center, dtype=torch.float64)
    factors = 1.0 + spread * normal(generator, check_batch(batch), at.numel())
    if batch:
        factors[0] = 1.0
    return at * factors


def check_batch(batch: int) -> int:
    """`batch`, which may be 0.

    Raises:
        ModelError: it is negative.
    """
    if batch < 0:
        raise ModelError(f"`batch` is {batch!r}; it must be at least 0.")
    return batch


def check_choice(name: str, value: object, choices: Sequence[object]) -> None:
    """Refuse a value that is not among the choices.

    Raises:
        ModelError: it is not.
    """
    if value not in choices:
        raise ModelError(f"`{name}` is {value!r}; it must be one of {', '.join(map(repr, choices))}.")


def constants(*values: float) -> nn.Parameter:
    """Physical constants as a parameter in float64: 0-dim for one value, 1-d for several."""
    return nn.Parameter(torch.tensor(values[0] if len(values) == 1 else values, dtype=torch.float64))


def seeded_linear(inputs: int, outputs: int, generator: torch.Generator, gain: float = 1.0) -> nn.Linear:
    """A linear layer in float64 with normal weights of standard deviation gain/√inputs and biases of 0.1 of that."""
    layer = nn.Linear(inputs, outputs, dtype=torch.float64, device="meta").to_empty(device="cpu")
    with torch.no_grad():
        layer.weight.copy_(normal(generator, outputs, inputs) * (gain / math.sqrt(inputs)))
        layer.bias.copy_(normal(generator, outputs) * 0.1 * gain)
    return layer
