"""Options that several commands share."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import click


def _places(_: click.Context, option: click.Parameter, values: Sequence[str]) -> dict[str, Path]:
    """`NAME=PATH` texts as paths by name; a link is not followed, since the interpreter of a virtual environment is one."""
    found: dict[str, Path] = {}
    for value in values:
        name, sign, path = value.partition("=")
        if not (name and sign and path):
            raise click.BadParameter(f"{value!r} is not NAME=PATH, such as torchode=envs/torchode/bin/python.")
        if name in found:
            raise click.BadParameter(f"{name!r} is given twice. A plugin lives in one interpreter: leave one out.")
        found[name] = Path(os.path.abspath(Path(path).expanduser()))
    return found


json_option = click.option("--json", "as_json", is_flag=True, help="Write JSON, for a program to read.")
plugin_option = click.option(
    "--plugin",
    "local_files",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    multiple=True,
    help="Load a Python file as a plugin besides. Can be repeated.",
)
interpreter_option = click.option(
    "--interpreter",
    "interpreters",
    metavar="NAME=PATH",
    multiple=True,
    callback=_places,
    help="The installed plugin NAME lives in this other Python interpreter. Can be repeated.",
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
    "--allow-local-plugins", is_flag=True, help="Run the Python files and interpreters that the suite itself names."
)
strict_plugins_option = click.option("--strict-plugins", is_flag=True, help="Stop where a plugin cannot be loaded.")
