"""`odebench plugins`: which distributions are loaded, and why one is not."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from odebench.cli.options import interpreter_option, json_option, plugin_option
from odebench.cli.output import count, write_json, write_table
from odebench.errors import kinds_listed

if TYPE_CHECKING:
    from odebench.plugins import Registry


@click.command("plugins")
@plugin_option
@interpreter_option
@json_option
@click.pass_context
def command(ctx: click.Context, local_files: tuple[Path, ...], interpreters: dict[str, Path], as_json: bool) -> None:
    """Show all plugins, and every one that did not load with its traceback; exit code 1 where there is one.

    \b
    Example:
      odebench plugins --plugin my_solver.py
      odebench plugins --interpreter other=envs/other/bin/python
    """
    from odebench.interpreters.registry import build_wide_registry

    with build_wide_registry(interpreters, local_files=local_files, tolerant=True) as registry:
        _show(ctx, registry, as_json)


def _show(ctx: click.Context, registry: Registry, as_json: bool) -> None:
    loaded = loaded_plugins(registry)
    if as_json:
        write_json({"loaded": loaded, "failures": [asdict(failure) for failure in registry.failures]})
    else:
        _write(registry, loaded)
    if registry.failures:
        ctx.exit(1)


def loaded_plugins(registry: Registry) -> list[dict[str, Any]]:
    """Each loaded plugin with its distribution, its version, how much of each kind it offers, and, where one of them lives in
    another interpreter, that of each."""
    from odebench.plugins import KINDS

    entries = [entry for kind in KINDS for entry in registry.entries(kind)]
    sources = list(dict.fromkeys(registry.sources))
    all_here = all(source.interpreter is None for source in sources)
    return [
        {
            "plugin": source.plugin,
            "distribution": source.distribution,
            "version": source.version,
            **{
                kinds_listed(kind): sum(entry.origin == source and entry.kind == kind for entry in entries)
                for kind in KINDS
            },
        }
        | ({} if all_here else {"interpreter": str(source.interpreter.path) if source.interpreter else None})
        for source in sources
    ]


def unavailable_solvers(registry: Registry) -> dict[str, tuple[str, int]]:
    """By plugin, why solvers that it offers cannot be used on this machine with their defaults, and how many."""
    from odebench.cli.describe import instance_of

    found: dict[str, tuple[str, int]] = {}
    for entry in registry.entries("solver"):
        reason = getattr(instance_of(entry)[0], "unavailable", None)
        if isinstance(reason, str):
            found[entry.origin.plugin] = reason, found.get(entry.origin.plugin, ("", 0))[1] + 1
    return found


def _write(registry: Registry, loaded: list[dict[str, Any]]) -> None:
    write_table(tuple(loaded[0]) if loaded else ("plugin",), (tuple(one.values()) for one in loaded))
    for failure in registry.failures:
        where = f" of {failure.distribution}" if failure.distribution else ""
        hook = f" in {failure.hook}" if failure.hook else ""
        click.echo(f"Plugin {failure.plugin!r}{where} did not load: it failed{hook}.\n{failure.message}\n")
        click.echo("\n".join(f"  {line}" for line in failure.traceback.rstrip().splitlines()) + "\n")
    for plugin, (reason, solvers) in unavailable_solvers(registry).items():
        click.echo(f"Of plugin {plugin!r} {count(solvers, 'solver')} cannot be used here.\n{reason}\n")
    loaded_count = count(len(loaded), "plugin")
    click.echo(f"{loaded_count} loaded, {len(registry.failures)} failed.")
