"""What the parameters of a step policy may be."""

from __future__ import annotations

import math

from odebench.errors import IncompatibleError


def check_whole(name: str, value: object, least: int) -> None:
    """Refuse what is no whole number of at least `least`."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise IncompatibleError(f"`{name}` is {value!r}; it must be a whole number of at least {least}.")


def check_number(
    name: str,
    value: float,
    *,
    above: float = -math.inf,
    least: float = -math.inf,
    below: float = math.inf,
    most: float = math.inf,
) -> None:
    """Refuse what is no finite number with above < value, least <= value, value < below and value <= most."""
    if math.isfinite(value) and above < value < below and least <= value <= most:
        return
    bounds = (("above", above), ("at least", least), ("below", below), ("at most", most))
    said = " and ".join(f"{word} {bound:g}" for word, bound in bounds if math.isfinite(bound))
    raise IncompatibleError(f"`{name}` is {value!r}; it must be finite and {said}.")
