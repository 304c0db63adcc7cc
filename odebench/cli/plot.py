"""`odebench plot`: one figure of any columns against each other."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("plot")
@click.argument("folders", metavar="FOLDER…", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--x", required=True, metavar="COLUMN", help="Column along the horizontal axis.")
@click.option("--y", required=True, metavar="COLUMN", help="Column along the vertical axis.")
@click.option("--hue", metavar="COLUMN", help="Column whose values get a colour and a line each.")
@click.option("--style", metavar="COLUMN", help="Column whose values get a marker each.")
@click.option("--facet", metavar="COLUMN", help="Column whose values get a panel each.")
@click.option("--where", metavar="CONDITION", help="Which rows, such as \"model == 'lorenz' and steps >= 64\".")
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write: .png, .svg or .pdf.",
)
def command(
    folders: tuple[Path, ...],
    x: str,
    y: str,
    hue: str | None,
    style: str | None,
    facet: str | None,
    where: str | None,
    output: Path,
) -> None:
    """Plot any column of one or several folders of results against any other.

    \b
    Example:
      odebench plot results/quickstart --x nfe_forward --y error_final --hue solver --facet model -o work.png

    The columns are those of records.csv; scales and units follow from them.
    """
    import pandas as pd

    from odebench.report.frame import load
    from odebench.report.plot import plot

    frames = [load(folder) for folder in folders]
    frame = pd.concat(frames, ignore_index=True) if len(frames) > 1 else frames[0]
    click.echo(plot(frame, x, y, hue=hue, facet=facet, style=style, where=where, output=output))
