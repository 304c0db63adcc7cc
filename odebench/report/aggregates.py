"""What an aggregate makes of some values: one figure, or a sentence that says why there is none."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from odebench.report.statistics import fit_line


class Undecided(Exception):  # noqa: N818 - it is no fault of anybody's
    """There is no figure; the message says why, as a sentence."""


def reduce(name: str, values: Sequence[np.ndarray], share: float | None = None) -> float | bool:
    """The figure of an aggregate.

    Args:
        name: one of `claim_text.AGGREGATES` but `count` without arguments.
        values: an array for each argument, equally long; numbers are finite.
        share: of `quantile`, from 0 to 1.

    Raises:
        Undecided: these values have no such figure.
    """
    first = values[0]
    if not len(first):
        raise Undecided("no selected row holds a value.")
    if name == "quantile":
        return float(np.quantile(first, share))
    if name == "slope":
        return slope(first, values[1])
    if name == "std" and len(first) < 2:
        raise Undecided("one value has no spread: std needs two.")
    found = _OF_ONE[name](first)
    return bool(found) if name in ("all", "any") else float(found)


def slope(y: np.ndarray, x: np.ndarray) -> float:
    """The slope of the least-squares line of log y against log x: minus the order where y is an error and x a number of steps.

    Raises:
        Undecided: a value is not above 0, or x does not vary.
    """
    if (y <= 0).any() or (x <= 0).any():
        raise Undecided("slope is that of logarithms, and a value is not above 0.")
    line = fit_line(np.log(x), np.log(y))
    if line is None:
        raise Undecided("slope needs two different values of its second argument.")
    return line.slope


# The spread is that of a sample: with n - 1.
_OF_ONE: dict[str, Callable[[np.ndarray], float]] = {
    "min": np.min, "max": np.max, "mean": np.mean, "median": np.median, "std": lambda x: np.std(x, ddof=1), "sum": np.sum,
    "count": np.count_nonzero, "share": np.mean, "all": np.all, "any": np.any,
}  # fmt: skip
