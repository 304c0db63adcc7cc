"""Concentric spheres: three shells of two classes."""

from __future__ import annotations

import torch

from odebench.contract import Examples
from odebench.data.dataset import Dataset, Part
from odebench.data.streams import check_count, shuffled, stream, uniform

SHELLS = ((0.10, 0.15), (0.25, 0.30), (0.40, 0.45))
"""Inner and outer radius of each shell. The middle one is class 1, the others are class 0."""


def spheres(seed: int, *, dimension: int = 2, train: int = 2000, test: int = 1000) -> Dataset:
    """Points in three shells around 0; those of the middle shell are class 1, and half of all.

    A flow that separates them must carry a shell past another. Radii are r0 + (r1 - r0) u^(1/dimension) with u uniform,
    directions those of a normal vector; no noise, no scaling. Inputs `(examples, 1, dimension)`: a sequence with one
    channel. The paper uses dimensions 2, 3, 10 and 900.

    Source: K. Ott, P. Katiyar, P. Hennig, M. Tiemann, "ResNet after all?", ICLR 2021, arXiv:2007.15386, after E. Dupont,
    A. Doucet, Y. W. Teh, "Augmented neural ODEs", NeurIPS 2019, arXiv:1904.01681.

    Args:
        seed: of both parts.
        dimension: of the space.
        train, test: number of examples; a quarter of them, rounded down, in the first and in the last shell each.

    Raises:
        DataError: a parameter is no such number.
    """
    check_count("dimension", dimension)
    counts = {"train": check_count("train", train, 4), "test": check_count("test", test, 4)}

    def make(part: Part) -> Examples:
        return _shells(dimension, counts[part], stream("spheres", dimension, part, seed))

    return Dataset(name="spheres", shape=(1, dimension), classes=2, make=make)


def _shells(dimension: int, count: int, generator: torch.Generator) -> Examples:
    quarter = count // 4
    points, classes = [], []
    for index, (size, (low, high)) in enumerate(zip((quarter, count - 2 * quarter, quarter), SHELLS, strict=True)):
        radius = low + (high - low) * uniform(generator, size, 1, 1) ** (1.0 / dimension)
        direction = torch.randn(size, 1, dimension, generator=generator, dtype=torch.float64)
        points.append(radius * direction / direction.norm(dim=2, keepdim=True))
        classes.append(torch.full((size,), int(index == 1)))
    return shuffled(torch.cat(points), torch.cat(classes), generator)
