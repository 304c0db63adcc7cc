"""`odebench claims`: does what the suite says hold for what was measured?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from odebench.cli.group import FALSE, UNDECIDED
from odebench.cli.options import json_option
from odebench.cli.output import count, write_json

if TYPE_CHECKING:
    from odebench.report.claims import Judged
    from odebench.report.sources import Source

# Verdicts stand in a column of their own.
_INDENT = 11


@click.command("claims")
@click.argument("folders", metavar="RUN…", nargs=-1, required=True, type=click.Path(path_type=Path))
@json_option
@click.pass_context
def command(ctx: click.Context, folders: tuple[Path, ...], as_json: bool) -> None:
    """Judge the claims of the suites whose results lie in some folders: true, false or undecided.

    \b
    Example:
      odebench claims results/gradient-exactness

    A claim is undecided where it selects no row, a row without a value, or one that did not end ok and is not
    allowed. Its figures are shown with the rows used of those selected. Machines are judged one by one.

    Exit codes: 0 all true; 1 one is false; 2 wrong usage; 3 none is false and one is undecided.
    """
    from odebench.errors import RecordError
    from odebench.records import ResultFolder
    from odebench.report.claims import Verdict, judge_source, overall
    from odebench.report.sources import sources_of

    for folder in folders:
        ResultFolder(folder).read_run()
    judged = [(source, one) for source in sources_of(folders) for one in judge_source(source)]
    if not judged:
        raise RecordError(
            f"{', '.join(map(str, folders))}: the suite makes no claims. Add [[claim]] with `name` and `that` to it, and run it."
        )
    verdict = overall([one for _, one in judged])
    if as_json:
        write_json({"verdict": verdict.value, "claims": [_as_json(source, one) for source, one in judged]})
    else:
        _write(judged)
    ctx.exit({Verdict.TRUE: 0, Verdict.FALSE: FALSE, Verdict.UNDECIDED: UNDECIDED}[verdict])


def _write(judged: list[tuple[Source, Judged]]) -> None:
    label = ""
    for source, one in judged:
        if source.label != label:
            label = source.label
            click.echo(f"{label}:")
        click.echo(f"{one.verdict.value:<{_INDENT}}{one.name}")
        lines = [f"{piece.text} = {piece.figure} ({piece.rows})" for piece in one.evidence]
        lines += [line for reason in one.reasons for line in reason.splitlines()]
        click.echo("".join(f"{' ' * _INDENT}{line}\n" for line in lines), nl=False)
    verdicts = [one.verdict.value for _, one in judged]
    told = [f"{verdicts.count(word)} {word}" for word in ("true", "false", "undecided") if word in verdicts]
    click.echo(f"{count(len(verdicts), 'claim')}: {', '.join(told)}.")


def _as_json(source: Source, one: Judged) -> dict[str, Any]:
    return {
        "folder": str(source.folder),
        "machine_id": source.machine_id,
        "name": one.name,
        "that": one.that,
        "allow": list(one.allow),
        "verdict": one.verdict.value,
        "evidence": [
            {
                "aggregate": piece.text,
                "value": piece.value,
                "rows_used": piece.used,
                "rows_selected": piece.selected,
                "groups": piece.groups,
            }
            for piece in one.evidence
        ],
        "reasons": list(one.reasons),
    }
