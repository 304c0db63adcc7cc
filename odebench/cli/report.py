"""`odebench report`: tables, figures and a page from what runs have written."""

from __future__ import annotations

from pathlib import Path

import click

from odebench.cli.options import json_option
from odebench.cli.output import count, warn, write_json


@click.command("report")
@click.argument("folders", metavar="FOLDER…", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--into",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the report goes; `report` in the first folder unless given.",
)
@json_option
def command(folders: tuple[Path, ...], into: Path | None, as_json: bool) -> None:
    """Write the page, the figures and the tables of one or several folders of results.

    \b
    Example:
      odebench report results/quickstart
      odebench report results/laptop results/server --into comparison

    Several folders, and several machines in one, stand side by side; their figures are never pooled.
    """
    from odebench.report.build import write_report

    paths = write_report(folders, into=into)
    if as_json:
        write_json(
            {
                "index": str(paths.index),
                "figures": [str(path) for path in paths.figures],
                "tables": [str(path) for path in paths.tables],
                "skipped": [{"title": one.title, "reason": one.reason} for one in paths.skipped],
            }
        )
        return
    for one in paths.skipped:
        warn(f"No figure “{one.title}”: {one.reason}")
    click.echo(f"{paths.index} ({count(len(paths.figures), 'figure file')} beside it)")
    for path in paths.tables:
        click.echo(path)
