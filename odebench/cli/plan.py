"""`odebench plan`: what a run would do, and nothing of it done."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from odebench.cli import options
from odebench.cli.listing import warn_of_failures
from odebench.cli.output import cell_words, count, duration, write_json, write_table

if TYPE_CHECKING:
    from odebench.cli.planning import CellState, Prepared
    from odebench.plan.estimate import Estimate


@click.command("plan")
@options.suite_argument
@options.into_option
@options.budget_option
@options.set_option
@options.plugin_option
@options.allow_option
@options.strict_plugins_option
@options.interpreter_option
@click.option("--cells", "each", is_flag=True, help="List every cell.")
@options.json_option
def command(
    suite: Path,
    into: Path | None,
    budget: str | None,
    overrides: tuple[str, ...],
    local_files: tuple[Path, ...],
    allow_local_plugins: bool,
    strict_plugins: bool,
    interpreters: dict[str, Path],
    each: bool,
    as_json: bool,
) -> None:
    """Show what a run of SUITE would measure here, what is done already, what cannot be asked and why, and how long it takes.

    \b
    Example:
      odebench plan suites/quickstart.toml
      odebench plan suites/quickstart.toml --budget full --set budget.repeats=3
    """
    from odebench.cli.planning import prepare, states_of

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
    states, estimate = states_of(prepared)
    if as_json:
        write_json(_json(prepared, states, estimate))
        return
    _write(prepared, states, estimate)
    if each:
        click.echo()
        _write_cells(states)
    warn_of_failures(prepared.registry)


def _json(prepared: Prepared, states: list[CellState], estimate: Estimate) -> dict[str, Any]:
    suite = prepared.plan.suite
    return {
        "suite": suite.name,
        "file": str(suite.file),
        "folder": str(prepared.folder),
        "cells": [
            {
                "id": state.planned.cell.id,
                "experiments": list(state.planned.experiments),
                "state": state.word,
                "reason": state.planned.reason,
                "missing": state.missing,
                "cell": state.planned.cell.to_json(),
            }
            for state in states
        ],
        "estimate": asdict(estimate),
    }


def _write(prepared: Prepared, states: list[CellState], estimate: Estimate) -> None:
    suite = prepared.plan.suite
    click.echo(f"{suite.name}: {suite.title}")
    words = list(dict.fromkeys(state.word for state in states))
    heads = [word for word in ("to run", "begun", "done") if word in words]
    heads += [word for word in words if word not in heads]
    by_experiment = {experiment.name: Counter[str]() for experiment in suite.experiments}
    for state in states:
        for name in state.planned.experiments:
            by_experiment[name][state.word] += 1
    read = {experiment.name: ", ".join(experiment.trained or ()) or None for experiment in suite.experiments}
    needs = ("needs",) if any(read.values()) else ()
    write_table(
        ("experiment", "cells", *heads, *needs),
        (
            (name, found.total(), *(found[head] for head in heads), *(read[name] for _ in needs))
            for name, found in by_experiment.items()
        ),
    )
    if settled := [state for state in states if state.planned.outcome is not None]:
        click.echo()
        reasons = Counter((state.word, state.planned.reason) for state in settled)
        examples = {(state.word, state.planned.reason): cell_words(state.planned.cell) for state in reversed(settled)}
        write_table(
            ("settled as", "cells", "why", "such as"),
            ((word, number, reason, examples[word, reason]) for (word, reason), number in reasons.items()),
        )
    click.echo(f"\n{prepared.folder}: {_forecast(len(states), estimate)}")


def _write_cells(states: list[CellState]) -> None:
    """Every cell in its order, and the training that it needs in words, where any needs one."""
    cells = [state.planned.cell for state in states]
    trainings = {cell.id: f"{cell.id}: {cell_words(cell)}, seed {cell.seed}" for cell in cells}
    needs = ("needs",) if any(cell.needs for cell in cells) else ()
    write_table(
        ("cell", "state", "task", "what", *needs),
        (
            (
                state.planned.cell.id,
                state.word,
                state.planned.cell.task.name,
                cell_words(state.planned.cell),
                *("; ".join(trainings[need] for need in state.planned.cell.needs) or None for _ in needs),
            )
            for state in states
        ),
    )


def _forecast(cells: int, estimate: Estimate) -> str:
    """What is left to do, as a line."""
    if not estimate.parts:
        return f"{count(cells, 'cell')}, nothing is left to measure."
    trust = ""
    if estimate.guessed:
        share = "all" if estimate.guessed == estimate.parts else f"{estimate.guessed}"
        trust = f" ({share} of them guessed: nothing like them was measured here)"
    parts = count(estimate.parts, "part")
    if estimate.trainings:
        # A sum with a guess for what may take days in it would be read as a forecast.
        trainings, them = count(estimate.trainings, "training"), "it" if estimate.trainings == 1 else "them"
        return (
            f"{count(cells, 'cell')}, {parts} to measure. How long that takes is not known: among them {'is' if estimate.trainings == 1 else 'are'} {trainings}, and nothing "
            f"like {them} was done here. A run tells it once iterations are timed."
        )
    return f"{count(cells, 'cell')}, {parts} to measure, about {duration(estimate.seconds)}{trust}."
