"""`odebench new`: the first version of something of your own."""

from __future__ import annotations

from pathlib import Path

import click

from odebench.cli.options import json_option
from odebench.cli.output import write_json

# As `odebench.scaffold.KINDS`, which a command must not import to be described.
_KINDS = ("all", "solver", "gradient", "model", "adapter")


@click.group("new")
def command() -> None:
    """Write the first version of a plugin.

    \b
    Example:
      odebench new plugin odebench-spirals
    """


@command.command("plugin")
@click.argument("name", metavar="NAME")
@click.option(
    "--kind",
    type=click.Choice(_KINDS),
    default="all",
    show_default=True,
    help="What it holds: a solver, a gradient method and a model, one of them, or a solver of another library.",
)
@click.option(
    "-o",
    "--into",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="Where its folder is made; here unless given.",
)
@json_option
def plugin(name: str, kind: str, into: Path, as_json: bool) -> None:
    """Write a distribution with an entry point, methods, tests and a suite: it passes them as it is written.

    \b
    Example:
      odebench new plugin odebench-spirals
      odebench new plugin odebench-spirals --kind solver -o ~/projects

    What it registers is called spirals/…: NAME without `odebench-` is the prefix.
    """
    from odebench.scaffold import write_plugin

    folder, written = write_plugin(name, kind, into)
    if as_json:
        write_json({"folder": str(folder), "files": [str(path) for path in written]})
        return
    click.echo(f"{folder} is written:")
    for path in written:
        click.echo(f"  {path}")
    click.echo("Now:")
    for line in (f"cd {folder}", "pip install -e '.[test]'", "pytest", "odebench run comparison.toml"):
        click.echo(f"  {line}")
