"""`odebench catalogue`: all that there is, side by side on a page."""

from __future__ import annotations

from pathlib import Path

import click

from odebench.cli.options import plugin_option


@click.command("catalogue")
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("catalogue.html"),
    show_default=True,
    help="The page.",
)
@click.option(
    "--checks",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="What `odebench check --all --json` wrote: a column tells how many checks passed.",
)
@plugin_option
def command(output: Path, checks: Path | None, local_files: tuple[Path, ...]) -> None:
    """Write a page that compares all solvers, gradient methods, models, tasks and step policies, plugins included.

    \b
    Example:
      odebench catalogue -o catalogue.html
      odebench check --all --json > checks.json; odebench catalogue --checks checks.json

    Costs are counted and stability is computed for the page; nothing is timed.
    """
    from odebench.cli.conformance import read_checks
    from odebench.cli.describe import describe
    from odebench.cli.details import details
    from odebench.plugins import KINDS, build_registry
    from odebench.report.catalogue import write_catalogue

    found = read_checks(checks) if checks is not None else {}
    registry = build_registry(local_files=local_files)
    entries = [describe(entry) | details(entry, registry) for kind in KINDS for entry in registry.entries(kind)]
    for told in entries:
        told["conformance"] = found.get((told["kind"], told["name"]))
    failures = [{"plugin": failure.plugin, "message": failure.message} for failure in registry.failures]
    click.echo(write_catalogue(entries, output, failures))
