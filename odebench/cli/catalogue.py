"""`odebench catalogue`: all that there is, side by side on a page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from odebench.cli.options import plugin_option

if TYPE_CHECKING:
    from odebench.plugins import Entry


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
    help="What `odebench check --all --json` wrote, in place of the last results of `odebench check` on this machine.",
)
@plugin_option
def command(output: Path, checks: Path | None, local_files: tuple[Path, ...]) -> None:
    """Write a page that compares all solvers, gradient methods, models, tasks and step policies, plugins included.

    \b
    Example:
      odebench catalogue -o catalogue.html
      odebench check --all; odebench catalogue

    Costs are counted and stability is computed for the page; nothing is timed, and nothing is checked: conformance is the last
    result of `odebench check` here, and is marked where anything has changed since.
    """
    from odebench.cli.conformance import conformance_of, last_conformance, read_checks
    from odebench.cli.describe import describe
    from odebench.cli.details import details
    from odebench.plugins import KINDS, build_registry
    from odebench.report.catalogue import write_catalogue

    given = read_checks(checks) if checks is not None else None
    registry = build_registry(local_files=local_files)

    def conformance(entry: Entry) -> dict[str, Any] | None:
        if given is None:
            return last_conformance(entry)
        report = given.get((entry.kind, entry.name))
        return None if report is None else conformance_of(report, entry)

    entries = [
        describe(entry) | details(entry, registry) | {"conformance": conformance(entry)}
        for kind in KINDS
        for entry in registry.entries(kind)
    ]
    failures = [{"plugin": failure.plugin, "message": failure.message} for failure in registry.failures]
    click.echo(write_catalogue(entries, output, failures))
