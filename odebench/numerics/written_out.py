"""The sums of explicit Runge-Kutta steps, written out: Python functions made of a tableau's coefficients.

For the classical method, the function that takes one step after the other reads

    def steps(field, times, spans, y, k1):
        for t, h in spans:
            if k1 is None:
                k1 = field(times[t], y)
            k2 = field(times[t + 0.5 * h], y.add(k1, alpha=h * 0.5))
            k3 = field(times[t + 0.5 * h], y.add(k2, alpha=h * 0.5))
            k4 = field(times[t + 1.0 * h], y.add(k3, alpha=h * 1.0))
            y = y.add(k1, alpha=h * 0.1666…).add_(k2, alpha=h * 0.3333…).add_(k3, alpha=…).add_(k4, alpha=…)
            k1 = None
        return y

On small states a loop over the coefficients takes as long as the sums themselves. The operations are those of `weighted_sum`, in its
order, so that either way gives the same to the bit.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor

from odebench.numerics.interpolation import Terms

Evaluate = Callable[[Tensor, Tensor], Tensor]
"""A field of tensors."""

Row = tuple[float, Terms]
"""A stage: its node, and the terms of its argument."""

Times = Mapping[float, Tensor]


class WrittenOut(NamedTuple):
    """The functions of a method.

    Attributes:
        stages: called as `stages(field, times, t, h, y, k1)`; evaluates the stages but the first, and gives y1 and the list of all.
        steps: called as `steps(field, times, spans, y, k1)` with pairs of start and length; gives the state after the last one.
            k1 is the first stage of the first step, or None.
        estimate: called as `estimate(h, k)`; gives the estimate of the local error, None where there is none.
        inside: called as `inside(share, h, y, k)`; gives the state at this share of the step by the method's own continuous
            extension, None where it has none.
    """

    stages: Callable[[Evaluate, Times, float, float, Tensor, Tensor], tuple[Tensor, list[Tensor]]]
    steps: Callable[[Evaluate, Times, Iterable[tuple[float, float]], Tensor, Tensor | None], Tensor]
    estimate: Callable[[float, Sequence[Tensor]], Tensor] | None
    inside: Callable[[float, float, Tensor, Sequence[Tensor]], Tensor] | None


def written_out(rows: Sequence[Row], end: Terms, error: Terms, dense: Sequence[Sequence[float]] = ()) -> WrittenOut:
    """The functions of a method.

    Args:
        rows: the stages but the first.
        end, error: the terms of y1, and of the estimate of the error; none where there is no estimate.
        dense: for each stage the coefficients of θ, θ², … in its weight in the continuous extension; none where there is none.
    """
    names = [f"k{number}" for number in range(1, len(rows) + 2)]
    lines = [
        f"{name} = field(times[t + {c!r} * h], {_sum(terms)})" for name, (c, terms) in zip(names[1:], rows, strict=True)
    ]
    stages = ["def stages(field, times, t, h, y, k1):", *lines, f"return {_sum(end)}, [{', '.join(names)}]"]
    steps = [
        "def steps(field, times, spans, y, k1):",
        "for t, h in spans:",
        "    if k1 is None: k1 = field(times[t], y)",
        *(f"    {line}" for line in lines),
        f"    y = {_sum(end)}",
        "    k1 = None",
        "return y",
    ]
    return WrittenOut(_function(stages), _function(steps), _estimate(error), _inside(dense))


def _estimate(terms: Terms) -> Callable[..., Tensor] | None:
    if not terms:
        return None
    (first, coefficient), *others = terms
    chain = f"k[{first}].mul(h * {coefficient!r})" + "".join(f".add_(k[{i}], alpha=h * {c!r})" for i, c in others)
    return _function(["def estimate(h, k):", f"return {chain}"])


def _inside(dense: Sequence[Sequence[float]]) -> Callable[..., Tensor] | None:
    chain = "y"
    for index, row in enumerate(dense):
        if any(row):
            weight = ""
            for coefficient in reversed(row):
                weight = f"({weight} + {coefficient!r}) * s" if weight else f"{coefficient!r} * s"
            chain += f".add{'_' if chain != 'y' else ''}(k[{index}], alpha=h * ({weight}))"
    return _function(["def inside(s, h, y, k):", f"return {chain}"]) if dense else None


def _sum(terms: Terms) -> str:
    """The source of y + h·Σ coefficient·k: a fresh tensor, and a chain of sums in place."""
    parts = [f"(k{index + 1}, alpha=h * {coefficient!r})" for index, coefficient in terms]
    return "y" + "".join(f".add{'_' if number else ''}{part}" for number, part in enumerate(parts))


def _function(lines: Sequence[str]) -> Callable[..., Any]:
    return _compiled("\n    ".join(lines))


@functools.lru_cache(maxsize=256)
def _compiled(source: str) -> Callable[..., Any]:
    # Source that is made of numbers alone, by the function above.
    made: dict[str, Callable[..., Any]] = {}
    exec(compile(source, f"<{__name__}>", "exec"), made)
    return made[source[len("def ") : source.index("(")]]
