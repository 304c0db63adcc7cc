"""The group of all commands: the one place where errors become messages and exit codes."""

from __future__ import annotations

from typing import Any

import click

from odebench.errors import OdebenchError, nearest

FALSE = 1
USAGE = 2
UNDECIDED = 3
INTERRUPTED = 130


class Failure(click.ClickException):
    """An error whose text is for the user: shown as `Error: …` on stderr, without a traceback."""

    exit_code = USAGE


class Commands(click.Group):
    """Lists commands in the order in which they were added, and names the nearest one where a word is none."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the commands, in the order of a user's work."""
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with a hint where there is no such command."""
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            near = nearest(args[0], self.commands)
            hint = f"Did you mean {near!r}?" if near else f"There are: {', '.join(self.commands)}."
            ctx.fail(f"There is no command {args[0]!r}. {hint}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an `OdebenchError` is the user's to mend, anything else is a bug and keeps its traceback."""
        try:
            return super().invoke(ctx)
        except OdebenchError as error:
            raise Failure(str(error)) from error
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            ctx.exit(INTERRUPTED)
