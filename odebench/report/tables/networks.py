"""How memory grows in a network whose blocks are solves: with blocks times steps, with their sum, with slots, or with blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from odebench.report.figures.selection import BLOCKS, drawn
from odebench.report.quantity import shown
from odebench.report.tables.table import Heading, Table, Value

STEPS, SLOTS = "steps", "gradient.slots"
ENOUGH = 0.99
"""A law that explains this share of the variance holds."""

# From the simplest on. L: blocks, N: steps of a block, c: slots.
_LAWS = {
    "L": lambda rows: {"L": rows[BLOCKS]},
    "L·N": lambda rows: {"L·N": rows[BLOCKS] * rows[STEPS]},
    "L + N": lambda rows: {"L": rows[BLOCKS], "N": rows[STEPS]},
    "L + c": lambda rows: {"L": rows[BLOCKS], "c": rows[SLOTS]},
}


@dataclass(frozen=True, kw_only=True)
class NetworkLaw:
    """A law fitted to the peaks of one method by least squares.

    Attributes:
        law: "L", "L·N", "L + N" or "L + c".
        bytes_per: coefficient of each of its terms.
        base_bytes: what is left without them.
        explained: share of the variance that it explains.
        points: how many different networks it rests on.
    """

    law: str
    bytes_per: dict[str, float]
    base_bytes: float
    explained: float
    points: int


def network_laws(rows: pd.DataFrame) -> list[NetworkLaw]:
    """All laws that these rows of one method can tell apart, the simplest first."""
    columns = [name for name in (BLOCKS, STEPS, SLOTS) if name in rows.columns and rows[name].notna().all()]
    table = rows[[*columns, "memory_peak_bytes"]].astype(float).groupby(columns, as_index=False).median()
    found = []
    for law, terms in _LAWS.items():
        if law.endswith("c") and SLOTS not in columns:
            continue
        values = terms(table)
        matrix = np.column_stack([np.ones(len(table)), *values.values()])
        if len(table) <= matrix.shape[1] or np.linalg.matrix_rank(matrix) < matrix.shape[1]:
            continue
        peaks = table["memory_peak_bytes"].to_numpy()
        solved, *_ = np.linalg.lstsq(matrix, peaks, rcond=None)
        spread = ((peaks - peaks.mean()) ** 2).sum()
        left = ((peaks - matrix @ solved) ** 2).sum()
        found.append(
            NetworkLaw(
                law=law,
                bytes_per=dict(zip(values, map(float, solved[1:]), strict=True)),
                base_bytes=float(solved[0]),
                explained=1.0 if spread == 0.0 else float(1.0 - left / spread),
                points=len(table),
            )
        )
    return found


def law_of(laws: Sequence[NetworkLaw]) -> NetworkLaw | None:
    """The simplest law that holds, or the one that explains most; None where nothing was fitted."""
    holding = [one for one in laws if one.explained >= ENOUGH]
    return next(iter(holding), None) or max(laws, key=lambda one: one.explained, default=None)


def memory_of_networks(frame: pd.DataFrame) -> Table:
    """The law of each method, and how much the others explain."""
    rows = []
    if BLOCKS in frame.columns:
        usable = drawn(frame, "memory_peak_bytes", BLOCKS, STEPS)
        slotted = usable[SLOTS].notna() if SLOTS in usable.columns else pd.Series(False, index=usable.index)
        for key, group in usable.groupby(["model_label", "solver_label", "gradient", slotted], sort=True):
            model, solver, gradient, has_slots = key
            laws = network_laws(group)
            chosen = law_of(laws)
            if chosen is None:
                continue
            others = (f"{one.law}: {one.explained:.1%}" for one in laws if one is not chosen)
            terms = (f"{shown('memory_peak_bytes', round(size))} · {term}" for term, size in chosen.bytes_per.items())
            rows.append(
                (
                    Value(model),
                    Value(solver),
                    Value(f"{gradient}, slots" if has_slots else gradient),
                    Value(chosen.law, tone="" if chosen.explained >= ENOUGH else "bad"),
                    Value(" + ".join((shown("memory_peak_bytes", round(chosen.base_bytes)), *terms))),
                    Value(f"{chosen.explained:.2%}", chosen.explained),
                    Value(", ".join(others), tone="quiet"),
                    Value(str(chosen.points), chosen.points),
                )
            )
    return Table(
        key="networks",
        title="Memory of networks",
        caption="Least squares of peak memory in networks of L blocks with N steps each and, where a method has them, c slots: the "
        f"simplest law that explains {ENOUGH:.0%} of the variance, or else the one that explains most.",
        headings=(
            Heading("model"),
            Heading("solver"),
            Heading("gradient method"),
            Heading("law", "What peak memory grows with."),
            Heading("fit"),
            Heading("explained", "Share of the variance that the law explains.", True),
            Heading("other laws", "Share that they explain."),
            Heading("networks", "How many different ones were measured.", True),
        ),
        rows=tuple(rows),
        empty="No cell is a network of blocks.",
    )
