"""diffrax's tableaux, by which the host replays a grid in float64."""

from __future__ import annotations

import functools
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Coefficients:
    """A tableau in floats: nodes, rows, weights; outputs inside a step by the cubic Hermite polynomial where `dense_floats` is None."""

    c_floats: tuple[float, ...]
    a_floats: tuple[tuple[float, ...], ...]
    b_floats: tuple[float, ...]
    dense_floats: tuple[tuple[float, ...], ...] | None = None


@functools.cache
def coefficients_of(name: str) -> Coefficients | None:
    """Those of diffrax's class of this name; None where it has no tableau."""
    from odebench.numerics.jax_start import start_jax

    start_jax()
    import diffrax

    tableau = getattr(getattr(diffrax, name), "tableau", None)
    if not isinstance(tableau, diffrax.ButcherTableau):
        return None
    diagonal = [0.0] * len(tableau.b_sol) if tableau.a_diagonal is None else tableau.a_diagonal.tolist()
    lower = [[], *(row.tolist() for row in tableau.a_lower)]
    rows = tuple((*row, own) if own else tuple(row) for row, own in zip(lower, diagonal, strict=True))
    return Coefficients(
        c_floats=(diagonal[0], *tableau.c.tolist()), a_floats=rows, b_floats=tuple(tableau.b_sol.tolist())
    )
