"""`odebench run`: measure what is missing of a suite, and report."""

from __future__ import annotations

import os
import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from odebench.cli import options
from odebench.cli.group import INTERRUPTED
from odebench.cli.listing import warn_of_failures
from odebench.cli.output import cell_words, count, duration, warn, write_json, write_table

if TYPE_CHECKING:
    from odebench.plan.cell import Cell
    from odebench.report.headline import Answer
    from odebench.run.events import RunSummary

#: More kinds of failure than this are in the report only.
_SHOWN_FAILURES = 8
#: A reason says at its end what to do. One that only repeats another cell's is shorter.
_LONGEST_REASON, _LONGEST_REPETITION = 700, 140
#: What differs between reasons that say the same: numbers, and the ids of cells.
_PARTICULARS = re.compile(r"\b[0-9a-f]{16}\b|\d[\d.,e+-]*")
#: `odebench.data.official.FOLDER_VARIABLE`, which torch stands before.
_DATA_VARIABLE = "ODEBENCH_DATA"


@click.command("run")
@options.suite_argument
@options.into_option
@options.budget_option
@options.set_option
@options.plugin_option
@options.allow_option
@options.strict_plugins_option
@options.interpreter_option
@click.option(
    "--data-dir",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Where downloaded data lie; $ODEBENCH_DATA unless given.",
)
@click.option("--force", is_flag=True, help="Measure again what is measured already; old records are kept aside.")
@click.option("--strict", is_flag=True, help="Exit with 1 where a cell does not end ok.")
@click.option("--no-report", is_flag=True, help="Write the tables, but neither page nor figures.")
@options.json_option
@click.pass_context
def command(
    ctx: click.Context,
    suite: Path,
    into: Path | None,
    budget: str | None,
    overrides: tuple[str, ...],
    local_files: tuple[Path, ...],
    allow_local_plugins: bool,
    strict_plugins: bool,
    interpreters: dict[str, Path],
    data_dir: Path | None,
    force: bool,
    strict: bool,
    no_report: bool,
    as_json: bool,
) -> None:
    """Measure every combination that SUITE names, each in a process of its own, and write a report.

    \b
    Example:
      odebench run suites/quickstart.toml
      odebench run my_suite.toml --plugin my_solver.py --set budget.repeats=3

    What is measured already is kept: stopped at any moment, the same command goes on where it was.
    """
    from odebench.cli.planning import prepare
    from odebench.cli.progress import ProgressBar
    from odebench.run.launch import run_plan

    prepared = prepare(
        suite,
        budget=budget,
        overrides=overrides,
        into=into,
        local_files=local_files,
        allow_local_plugins=allow_local_plugins,
        strict_plugins=strict_plugins,
        interpreters=interpreters,
    )
    warn_of_failures(prepared.registry)
    if data_dir is not None:
        os.environ[_DATA_VARIABLE] = str(data_dir.resolve())  # Where the children look, wherever they are.
    try:
        with ProgressBar() as bar:
            summary = run_plan(prepared.plan, prepared.folder, registry=prepared.registry, force=force, on_event=bar)
    except KeyboardInterrupt:
        warn(f"Interrupted. What was finished is kept in {prepared.folder}; the same command goes on.")
        ctx.exit(INTERRUPTED)
    index = _report(prepared.folder, no_report)
    answers = _answers(prepared.folder)
    if as_json:
        write_json(_json(prepared.plan.suite.name, prepared.folder, index, summary, answers))
    else:
        _write(prepared.folder, index, summary, answers)
    if strict and summary.failures:
        ctx.exit(1)


def _report(folder: Path, no_report: bool) -> Path | None:
    """Derive tables and report from the records; the page's path, or None without one."""
    if no_report:
        from odebench.report.frame import write

        write(folder)
        return None
    from odebench.report.build import write_report

    return write_report(folder).index


def _answers(folder: Path) -> list[Answer]:
    """The headline of the report: one short answer a question."""
    from odebench.report.headline import headline
    from odebench.report.sources import sources_of

    return [answer for source in sources_of([folder]) for answer in headline(source.frame)]


def _json(suite: str, folder: Path, index: Path | None, summary: RunSummary, answers: list[Answer]) -> dict[str, Any]:
    return {
        "suite": suite,
        "folder": str(folder),
        "report": None if index is None else str(index),
        "cells": summary.cells,
        "outcomes": {outcome.word: number for outcome, number in summary.outcomes.items()},
        "measured": summary.measured,
        "seconds": summary.seconds,
        "overhead_s": summary.overhead_s,
        "failures": [
            {"id": cell.id, "outcome": outcome.word, "reason": reason, "cell": cell.to_json()}
            for cell, outcome, reason in summary.failures
        ],
        "headline": [asdict(answer) for answer in answers],
    }


def _write(folder: Path, index: Path | None, summary: RunSummary, answers: list[Answer]) -> None:
    if answers:
        write_table(
            ("question", "answer", "cost", "can it be trusted?"),
            ((a.question, a.answer, a.cost, a.trust) for a in answers),
        )
        click.echo()
    if summary.failures:
        _write_failures(summary)
    outcomes = ", ".join(f"{number} {outcome.word.replace('_', ' ')}" for outcome, number in summary.outcomes.items())
    did = (
        f"{count(summary.measured, 'part')} measured in {duration(summary.seconds)}" if summary.measured else "all kept"
    )
    click.echo(f"{count(summary.cells, 'cell')}: {outcomes}; {did}.")
    click.echo(f"Records: {folder}")
    if index is not None:
        click.echo(f"Report:  {index}")


def _write_failures(summary: RunSummary) -> None:
    """Cells that did not end ok, those whose reasons differ in numbers and cells only together."""
    from odebench.outcome import Outcome

    groups: dict[tuple[str, str], list[tuple[Cell, str]]] = {}
    for cell, outcome, reason in summary.failures:
        longest = _LONGEST_REPETITION if outcome is Outcome.BLOCKED else _LONGEST_REASON
        alike = _PARTICULARS.sub("#", reason or "")
        groups.setdefault((outcome.word.replace("_", " "), alike), []).append((cell, _shortened(reason or "", longest)))
    shown = sorted(groups.items(), key=lambda group: -len(group[1]))[:_SHOWN_FAILURES]
    write_table(
        ("not ok", "cells", "such as", "because"),
        ((word, len(cells), cell_words(cells[0][0]), cells[0][1]) for (word, _), cells in shown),
    )
    if len(groups) > _SHOWN_FAILURES:
        click.echo(f"… and {len(groups) - _SHOWN_FAILURES} more kinds, in the report.")
    click.echo()


def _shortened(text: str, longest: int) -> str:
    """The beginning of a reason; the report has all of it."""
    return text if len(text) <= longest else f"{text[:longest].rsplit(' ', 1)[0]} …"
