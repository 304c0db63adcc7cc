"""How commands write: tables for people, JSON for programs, durations in words."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

    from odebench.plan.cell import Cell

# Wider than any table: what reads a pipe wants whole cells, not lines broken at 80.
_UNBROKEN = 1000


def console(*, stderr: bool = False) -> Console:
    """A console that breaks lines at a terminal's width and nowhere else."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _UNBROKEN
    return Console(stderr=stderr, width=width, highlight=False, markup=False, emoji=False)


def write_table(heads: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "") -> None:
    """Write a table; numbers stand to the right, None is an empty cell.

    Args:
        heads: one heading a column.
        rows: as many cells each.
        title: a line above.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    rows = [tuple(row) for row in rows]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=title or None, title_justify="left", title_style="bold")
    for place, head in enumerate(heads):
        cells = [row[place] for row in rows if row[place] is not None]
        numbers = bool(cells) and all(isinstance(cell, int | float) and not isinstance(cell, bool) for cell in cells)
        # A name that is broken over lines cannot be copied.
        table.add_column(head, justify="right" if numbers else "left", overflow="fold", no_wrap=place == 0)
    for row in rows:
        table.add_row(*(Text(word(cell)) for cell in row))
    screen = console()
    with screen.capture() as text:
        screen.print(table)
    # Rich fills each line with spaces, which whoever copies or greps it would carry along.
    lines = [line.rstrip() for line in text.get().splitlines()]
    click.echo("\n".join(lines).strip("\n"))


def write_json(data: Any) -> None:
    """Write `data` as JSON, with a line break at its end."""
    click.echo(json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False))


def warn(text: str) -> None:
    """Write a line to stderr, where it does not disturb what a program reads."""
    click.echo(text, err=True)


def word(value: object) -> str:
    """A cell of a table: yes and no for flags, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def duration(seconds: float) -> str:
    """A time in words: `0.4 s`, `25 s`, `3 min 20 s`, `2 h 05 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def count(number: int, noun: str, plural: str = "") -> str:
    """A number with its noun: `1 cell`, `3 cells`, `2 processes`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def cell_words(cell: Cell) -> str:
    """A cell as a reader names it: model, solver, gradient method, step policy, grid, and whether it is compiled."""
    words = [cell.model.name, cell.solver.name]
    words += [choice.name for choice in (cell.gradient, cell.policy) if choice is not None]
    compiled = {True: ["compiled"], False: []}.get(cell.compile, ["compiled where it can be"])
    return ", ".join([*words, *grid_words(cell.grid), *compiled])


def grid_words(grid: dict[str, Any]) -> list[str]:
    """How a cell divides time, in words; nothing where it does not."""
    if "steps" in grid:
        return [count(grid["steps"], "step")]
    if "step_size" in grid:
        return [f"step {grid['step_size']:g}"]
    if "factor" in grid:
        return [f"{grid['factor']:g} × the training's"]
    if "rtol" not in grid:
        return []
    if grid["rtol"] == grid["atol"]:
        return [f"tolerance {grid['rtol']:g}"]
    return [f"rtol {grid['rtol']:g}", f"atol {grid['atol']:g}"]
