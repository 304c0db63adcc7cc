"""Small sets that are written down or computed in a line: exclusive or, and a saddle to be learned as a function."""

from __future__ import annotations

import torch

from odebench.contract import Examples
from odebench.data.dataset import Dataset, Part
from odebench.data.streams import check_count, stream, uniform

XOR_POINTS = ((0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0))
XOR_CLASSES = (0, 1, 1, 0)


def xor(seed: int) -> Dataset:
    """The four corners of a square, opposite ones of one class: what no plane separates. Both parts are all four.

    Inputs `(4, 1, 2)`.

    Args:
        seed: means nothing here.
    """
    points = torch.tensor(XOR_POINTS, dtype=torch.float64).unsqueeze(1)
    examples = Examples(inputs=points, targets=torch.tensor(XOR_CLASSES))
    return Dataset(name="xor", shape=(1, 2), classes=2, make=lambda _: examples)


def saddle(seed: int, *, train: int = 2000, test: int = 1000) -> Dataset:
    """Points (a, b), uniform in the square [-1, 1]², and the values a·b: a function to learn, not a class.

    The best linear function of the point is the constant 0, so whatever a linear readout gets right is the flow's work.
    Inputs `(examples, 1, 2)`, targets `(examples, 1)` of variance 1/9.

    Args:
        seed: of both parts.
        train, test: number of examples.

    Raises:
        DataError: a parameter is no such number.
    """
    counts = {"train": check_count("train", train), "test": check_count("test", test)}

    def make(part: Part) -> Examples:
        inputs = 2.0 * uniform(stream("saddle", part, seed), counts[part], 1, 2) - 1.0
        return Examples(inputs=inputs, targets=inputs.prod(2))

    return Dataset(name="saddle", shape=(1, 2), classes=None, make=make)
