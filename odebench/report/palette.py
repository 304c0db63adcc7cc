"""One colour and one marker a method, the same in every figure of a report."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import seaborn
from matplotlib.colors import to_hex

# seaborn's palette that is told apart with any colour vision, without its yellow and its pale pink, which are unreadable on
# white, and its brown, too close to the orange. The marker repeats what the colour says.
_BLUE, _ORANGE, _GREEN, _RED, _PURPLE, _, _, _GREY, _, _SKY = seaborn.color_palette("colorblind").as_hex()
_BLACK = "#1a1a1a"
COLOURS = (_BLUE, _RED, _GREEN, _PURPLE, _ORANGE, _SKY, _GREY, _BLACK)
# The two lengths have no common factor, so 8 x 11 methods get pairs of their own.
MARKERS = ("o", "s", "^", "D", "P", "X", "v", "p", "h", "<", ">")


# The brightest part of the scale is unreadable on white.
_BRIGHTEST = 0.86


def ordered(count: int) -> list[str]:
    """Colours for things that have an order, the darkest first; told apart with any colour vision, and in grey."""
    scale = seaborn.color_palette("viridis", as_cmap=True)
    return [to_hex(scale(_BRIGHTEST * place / max(count - 1, 1))) for place in range(count)]


@dataclass(frozen=True)
class Look:
    """How one method is drawn."""

    colour: str
    marker: str


class Looks(Protocol):
    """Tells how a series of a name is drawn."""

    def __getitem__(self, name: str) -> Look: ...


class Palette:
    """Hands every method of a report its look; the order of the names decides, so a report is the same when rebuilt."""

    def __init__(self, names: Iterable[str]) -> None:
        self._places = {name: place for place, name in enumerate(sorted(set(names)))}

    def __getitem__(self, name: str) -> Look:
        place = self._places.setdefault(name, len(self._places))
        return Look(COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)])
