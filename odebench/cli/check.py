"""`odebench check`: whether a solver, a gradient method or a model keeps what it promises."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from odebench.cli.group import FALSE
from odebench.cli.options import interpreter_option, json_option, plugin_option
from odebench.cli.output import count, duration, warn, write_json, write_table
from odebench.errors import OdebenchError

if TYPE_CHECKING:
    from odebench.conformance.running import PluginReport

#: Up to so many plugins are shown check by check.
_SHOWN_WHOLE = 3
_KINDS = ("solver", "gradient", "model")
# What did not even load comes last.
_ORDER = (*_KINDS, "plugin")


@click.command("check")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Check everything that odebench and installed plugins offer.")
@click.option("--kind", "kinds", type=click.Choice(_KINDS), multiple=True, help="Only this kind. Can be repeated.")
@plugin_option
@interpreter_option
@click.option(
    "--timeout",
    "timeout_s",
    metavar="SECONDS",
    type=click.FloatRange(min=0.1),
    default=120.0,
    show_default=True,
    help="The checks of one plugin may take so long.",
)
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    names: tuple[str, ...],
    everything: bool,
    kinds: tuple[str, ...],
    local_files: tuple[Path, ...],
    interpreters: dict[str, Path],
    timeout_s: float,
    as_json: bool,
) -> None:
    """Check that solvers, gradient methods and models keep what they promise; exit code 1 where one does not.

    \b
    Example:
      odebench check dopri5
      odebench check my-solver --plugin my_solver.py
      odebench check --all --kind solver
      odebench check other/rk4 --interpreter other=envs/other/bin/python

    A NAME that several kinds have is asked for as kind:NAME. Each plugin runs in a process of its own. The last result is kept in
    the user's cache folder: `odebench show` and `odebench catalogue` tell it, and whether anything has changed since.
    """
    from odebench.conformance.kept import keep
    from odebench.conformance.running import check_plugins

    if bool(names) == everything:
        raise OdebenchError("Give the names of what to check, or --all.")
    start = time.monotonic()
    reports = []
    for report in check_plugins(
        names,
        everything=everything,
        kinds=kinds,
        local_files=local_files,
        timeout_s=timeout_s,
        interpreters=interpreters,
    ):
        reports.append(report)
        keep(report)
        if everything:  # on stderr, so that JSON stays what it is
            word = "cannot be used here" if report.unavailable else "passed" if report.passed else "FAILED"
            warn(f"{report.kind} {report.name}: {word}, {duration(report.seconds)}")
    reports.sort(key=lambda report: (_ORDER.index(report.kind), "/" in report.name, report.name))
    seconds = time.monotonic() - start
    # What was asked for by name and could not be checked has not passed.
    failed = [report for report in reports if not report.passed or (report.unavailable and not everything)]
    if as_json:
        plugins = [asdict(report) | {"passed": report.passed} for report in reports]
        write_json({"passed": not failed, "seconds": seconds, "plugins": plugins})
    else:
        _write(reports, seconds)
    if failed or not reports:
        ctx.exit(FALSE)


def _write(reports: list[PluginReport], seconds: float) -> None:
    from odebench.conformance.running import FAILED, KNOWN, PASSED, SURPRISE

    if len(reports) > _SHOWN_WHOLE:
        write_table(
            ("name", "kind", "passed", "known failures", "failed", "seconds", "from"),
            (
                (
                    report.name,
                    report.kind,
                    report.count(PASSED),
                    report.count(KNOWN),
                    report.count(FAILED, SURPRISE) + len(report.faults),
                    round(report.seconds, 1),
                    f"{report.distribution} {report.version}" if report.distribution else "",
                )
                for report in reports
            ),
        )
    for report in reports:
        told = [result for result in report.checks if len(reports) <= _SHOWN_WHOLE or result.outcome != PASSED]
        if not told and not report.faults and not report.unavailable:
            continue
        click.echo(f"\n{report.name} ({report.kind}), {duration(report.seconds)}")
        for result in told:
            click.echo(f"  {result.outcome:13}  {result.check}  {result.seconds:.2f} s")
            for label, text in (("declared", result.reason), ("", result.said)):
                if text:
                    click.echo(f"                 {label + ': ' if label else ''}{text}")
        for fault in report.faults:
            click.echo(f"  failed         {fault}")
        if report.unavailable:
            click.echo(f"  not checked    It cannot be used here. {report.unavailable}")
    checks = sum(len(report.checks) for report in reports)
    failed = sum(not report.passed for report in reports)
    known = sum(report.count(KNOWN) for report in reports)
    unchecked = sum(report.unavailable is not None for report in reports)
    ended = f"{failed} failed" if failed else "all passed" if unchecked < len(reports) else "none failed"
    click.echo(
        f"\n{count(len(reports), 'plugin')}, {count(checks, 'check')}, {count(known, 'known failure')}: "
        f"{ended}{f', {unchecked} not checked' if unchecked else ''}, in {duration(seconds)}."
    )
