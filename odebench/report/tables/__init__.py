"""Tables of the page: the answers first, every cell last."""

from __future__ import annotations

from collections.abc import Sequence

from odebench.report.figures.selection import BLOCKS, studies
from odebench.report.sources import Source
from odebench.report.tables.cells import every_cell, failures, figures_in
from odebench.report.tables.compiled import compiled_engine
from odebench.report.tables.methods import gradient_methods, memory_laws, orders
from odebench.report.tables.networks import memory_of_networks
from odebench.report.tables.seeds import over_seeds
from odebench.report.tables.solvers import best_at_equal_error, every_solver_at_equal_error
from odebench.report.tables.table import Heading as Heading
from odebench.report.tables.table import Table as Table
from odebench.report.tables.table import Value as Value
from odebench.report.tables.trainings import by_test_solver, every_swap, every_training, solvers_tested

_OF_SOLVES = (best_at_equal_error, gradient_methods, every_solver_at_equal_error, orders, memory_laws)


def tables_of(sources: Sequence[Source]) -> dict[str, Table]:
    """All tables of a report by key, in the order of the page; with several sources each row names its own.

    Tables of trainings are there where a source has any, those of other solves where not all cells are trainings or need one.
    """
    frames = [source.frame for source in sources]
    learnt = [studies(frame) for frame in frames]
    made: list[list[Table]] = []
    if any(found.any() for found in learnt):
        solvers = solvers_tested(frames)
        made += [[over_seeds(frame) for frame in frames], [by_test_solver(frame, solvers) for frame in frames]]
        made += [[make(frame) for frame in frames] for make in (every_training, every_swap)]
    if not all(found.all() for found in learnt):
        solves = [frame[~found] for frame, found in zip(frames, learnt, strict=True)]
        made += [[make(frame) for frame in solves] for make in _OF_SOLVES]
    if any("compile" in frame.columns for frame in frames):
        made += [[compiled_engine(frame) for frame in frames]]
    if any(BLOCKS in frame.columns for frame in frames):
        made += [[memory_of_networks(frame) for frame in frames]]
    figures = figures_in(frames)
    made += [[failures(frame) for frame in frames], [every_cell(frame, figures) for frame in frames]]
    joined = [_side_by_side(sources, tables) for tables in made]
    return {table.key: table for table in joined}


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
