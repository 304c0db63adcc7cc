"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path

import click

json_option = click.option("--json", "as_json", is_flag=True, help="Write JSON, for a program to read.")
plugin_option = click.option(
    "--plugin",
    "local_files",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    multiple=True,
    help="Load a Python file as a plugin besides. Can be repeated.",
)
suite_argument = click.argument("suite", metavar="SUITE", type=click.Path(path_type=Path))
budget_option = click.option("--budget", metavar="NAME", help="Use the suite's table [budget.NAME].")
set_option = click.option(
    "--set",
    "overrides",
    metavar="KEY=VALUE",
    multiple=True,
    help="Replace a key of the suite, such as budget.repeats=3. Can be repeated.",
)
into_option = click.option(
    "--into",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder of results; results/<suite's name> unless given.",
)
allow_option = click.option(
    "--allow-local-plugins", is_flag=True, help="Run the Python files that the suite itself names."
)
strict_plugins_option = click.option("--strict-plugins", is_flag=True, help="Stop where a plugin cannot be loaded.")
