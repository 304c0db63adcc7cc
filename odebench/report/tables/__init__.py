"""Tables of the page: the answers first, every cell last."""

from __future__ import annotations

from collections.abc import Sequence

from odebench.report.sources import Source
from odebench.report.tables.cells import every_cell, failures, figures_in
from odebench.report.tables.methods import gradient_methods, memory_laws, orders
from odebench.report.tables.solvers import best_at_equal_error, every_solver_at_equal_error
from odebench.report.tables.table import Heading as Heading
from odebench.report.tables.table import Table as Table
from odebench.report.tables.table import Value as Value

_MAKERS = (best_at_equal_error, gradient_methods, every_solver_at_equal_error, orders, memory_laws, failures)


def tables_of(sources: Sequence[Source]) -> dict[str, Table]:
    """All tables of a report by key; with several sources each row names its own."""
    made = [_side_by_side(sources, [make(source.frame) for source in sources]) for make in _MAKERS]
    figures = figures_in([source.frame for source in sources])
    made.append(_side_by_side(sources, [every_cell(source.frame, figures) for source in sources]))
    return {table.key: table for table in made}


def _side_by_side(sources: Sequence[Source], tables: Sequence[Table]) -> Table:
    """One table from those of all sources, which have the same headings; rows are never pooled."""
    first = tables[0]
    if len(tables) == 1:
        return first
    return Table(
        key=first.key,
        title=first.title,
        caption=first.caption,
        headings=(Heading("source", "Folder and machine; different ones are never pooled."), *first.headings),
        rows=tuple(
            (Value(source.label), *row) for source, table in zip(sources, tables, strict=True) for row in table.rows
        ),
        empty=first.empty,
    )
