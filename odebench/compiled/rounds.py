"""The rounds of a loop: in one graph with what is around it, or in chunks that the host asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._higher_order_ops.while_loop import while_loop

CHUNK = 8
"""So many rounds are written one after the other in a chunk: after them the host asks whether the loop goes on."""

Carried = Sequence[Tensor]
Going = Callable[..., Tensor]
Round = Callable[..., Carried]


def in_the_graph(
    going: Going, advance: Round, carried: Carried, exactly: int | None = None, at_most: int | None = None
):
    """`while going(*carried): carried = advance(*carried)`, as an operation of the graph that is being made.

    Args:
        exactly: the number of rounds, where the host knows it.
        at_most: a bound of it.
    """
    return while_loop(going, advance, tuple(carried))


class InChunks:
    """The same without a loop in a graph: chunks of rounds are graphs, and the host goes from one to the next.

    A round after the last one changes nothing that is carried; what it writes elsewhere must mean nothing.

    Args:
        compiled: compiles a function whole.
    """

    def __init__(self, compiled: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        self._known, self._asking = compiled(_known), compiled(_asking)

    def __call__(
        self, going: Going, advance: Round, carried: Carried, exactly: int | None = None, at_most: int | None = None
    ) -> Carried:
        """As `in_the_graph`."""
        if exactly is not None:
            for _ in range(exactly // CHUNK):
                carried = self._known(advance, carried, CHUNK)
            for _ in range(exactly % CHUNK):
                carried = self._known(advance, carried, 1)
            return carried
        rounds = CHUNK if at_most is None else at_most
        while True:
            carried, more = self._asking(going, advance, carried, rounds)
            if at_most is not None or not more:
                return carried


def _known(advance: Round, carried: Carried, rounds: int) -> Carried:
    for _ in range(rounds):
        carried = advance(*carried)
    return carried


def _asking(going: Going, advance: Round, carried: Carried, rounds: int) -> tuple[Carried, Tensor]:
    for _ in range(rounds):
        goes_on = going(*carried)
        following = advance(*carried)
        carried = tuple(torch.where(goes_on, new, old) for new, old in zip(following, carried, strict=True))
    return carried, going(*carried)
