"""The command line: each command parses, makes one call, prints, and chooses an exit code.

What a command needs is imported inside it, so that `odebench --help` answers at once and reports need no torch.
"""

from __future__ import annotations

import click

from odebench import __version__
from odebench.cli import (
    catalogue,
    check,
    claims,
    doctor,
    hooks,
    listing,
    new,
    plan,
    plot,
    plugins,
    report,
    run,
    show,
    validate,
)
from odebench.cli.group import Commands


@click.group(cls=Commands)
@click.version_option(__version__, prog_name="odebench")
def main() -> None:
    """Which neural-ODE solver and which gradient method, at which cost, and can I trust it?

    \b
    Example:
      odebench run suites/quickstart.toml

    Exit codes: 0 done; 1 a claim is false, a check failed, a model is tied to its solver, or --strict failed; 2 wrong usage,
    a faulty suite, or --strict-plugins failed; 3 undecided; 130 interrupted.
    """


for module in (run, plan, listing, show, catalogue, report, plot, check, claims, validate, plugins, new, hooks, doctor):
    main.add_command(module.command)
