"""Random streams: one for each purpose, so that the test data do not move when there are more training data."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from odebench.contract import Examples
from odebench.data.dataset import DataError


def stream(*purpose: str | int) -> torch.Generator:
    """The random stream of a purpose, such as ("spheres", "train", seed). torch's global random state is not touched."""
    digest = hashlib.sha256(repr(purpose).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def uniform(generator: torch.Generator, *shape: int) -> Tensor:
    """Uniform draws from [0, 1) in float64."""
    return torch.rand(*shape, generator=generator, dtype=torch.float64)


def shuffled(inputs: Tensor, targets: Tensor, generator: torch.Generator) -> Examples:
    """The examples in a random order, so that any piece of them is a sample."""
    order = torch.randperm(len(inputs), generator=generator)
    return Examples(inputs=inputs[order], targets=targets[order])


def check_count(name: str, value: int, least: int = 1) -> int:
    """`value`, where it is a whole number of at least `least`.

    Raises:
        DataError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise DataError(f"`{name}` is {value!r}; it must be a whole number of at least {least}.")
    return value
