"""`odebench hooks`: the reference of all extension points."""

from __future__ import annotations

from dataclasses import asdict

import click

from odebench.cli.options import json_option
from odebench.cli.output import write_json


@click.command("hooks")
@json_option
def command(as_json: bool) -> None:
    """Show every hook: its signature, when it is called, and an example; in Markdown.

    \b
    Example:
      odebench hooks | less
    """
    from odebench.hook_reference import hooks, reference

    if as_json:
        write_json([asdict(hook) for hook in hooks()])
    else:
        click.echo(reference(), nl=False)
