"""What a set of data is: examples to learn from and examples to test with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from odebench.contract import Examples
from odebench.errors import OdebenchError

Part = Literal["train", "test"]
"""The two halves of a set."""


class DataError(OdebenchError):
    """Data that are not there, are not what they should be, or were asked for in a way that they do not know."""

    curable = True


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A set of data. Each part is made when it is first asked for: who only tests reads no training images.

    Attributes:
        name: as `load` knows it.
        shape: of one input.
        classes: how many there are; None where the targets are values.
        make: gives the examples of one part.
    """

    name: str
    shape: tuple[int, ...]
    classes: int | None
    make: Callable[[Part], Examples]

    @cached_property
    def train(self) -> Examples:
        """What is learned from."""
        return self.make("train")

    @cached_property
    def test(self) -> Examples:
        """What is tested with."""
        return self.make("test")
