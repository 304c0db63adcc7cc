"""The rounds of a loop: in one graph with what is around it, or in chunks that the host asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch._higher_order_ops.while_loop import while_loop

CHUNK = 8
"""So many rounds are written one after the other in a chunk: after them the host asks whether the loop goes on."""

Carried = Sequence[Tensor]
Going = Callable[..., Tensor]
Round = Callable[..., Carried]
Fact = TypeVar("Fact")


class InTheGraph:
    """Loops as operations of the graph that is being made."""

    def __call__(
        self, going: Going, advance: Round, carried: Carried, exactly: int | None = None, at_most: int | None = None
    ) -> Carried:
        """`while going(*carried): carried = advance(*carried)`.

        Args:
            exactly: the number of rounds, where the host knows it.
            at_most: a bound of it.
        """
        return while_loop(going, advance, tuple(carried))

    def once(self, find: Callable[[], Fact]) -> Fact:
        """What is the same in every call of a program; it is found whenever a graph is made."""
        return find()


IN_THE_GRAPH = InTheGraph()


class InChunks:
    """The same without a loop in a graph: chunks of rounds are graphs, and the host goes from one to the next.

    A round after the last one changes nothing that is carried; what it writes elsewhere must mean nothing.

    Args:
        compiled: compiles a function whole.
    """

    def __init__(self, compiled: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        self._known, self._asking = compiled(_known), compiled(_asking)
        self._fact: Any = None

    def __call__(
        self, going: Going, advance: Round, carried: Carried, exactly: int | None = None, at_most: int | None = None
    ) -> Carried:
        """As `InTheGraph`'s."""
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

    def once(self, find: Callable[[], Fact]) -> Fact:
        """As `InTheGraph.once`, and found in the first call alone: here it is computed."""
        if self._fact is None:
            self._fact = find()
        return self._fact


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
