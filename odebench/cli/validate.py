"""`odebench validate`: is a trained model a flow, or tied to its solver?"""

from __future__ import annotations

import contextlib
import sys
import traceback
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from odebench.cli.group import USAGE
from odebench.cli.options import json_option
from odebench.cli.output import warn, write_json, write_table
from odebench.errors import OdebenchError

if TYPE_CHECKING:
    from odebench.validation import Tried, Validation

TIED, UNDECIDED = 1, 3


def _whole_numbers(ctx: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    if value is None:
        return None
    try:
        return tuple(int(part) for part in value.split(","))
    except ValueError as cause:
        raise click.BadParameter(f"{value!r} must be whole numbers with commas between them, such as 2,4,8.") from cause


@click.command("validate")
@click.argument("factory", metavar="PACKAGE.MODULE:FACTORY")
@click.option(
    "--checkpoint", metavar="FILE", type=click.Path(path_type=Path), help="A state dict to load into the model."
)
@click.option("--data", metavar="SOURCE", help="package.module:loader, or a .pt or .npz file with inputs and targets.")
@click.option(
    "--solver", metavar="NAME", help="The model's own solver, where it shows its field (`odebench list solvers`)."
)
@click.option("--steps", metavar="N", type=int, help="Its steps over the whole span.")
@click.option("--step-size", metavar="H", type=float, help="Or the length of a step.")
@click.option("--tolerance", metavar="TOL", type=float, help="Or its relative and absolute tolerance.")
@click.option("--metric", metavar="NAME", help="accuracy, r2, or package.module:function of outputs and targets.")
@click.option(
    "--against", metavar="NAME", multiple=True, help="A solver to try instead of the usual ones. Can be repeated."
)
@click.option(
    "--finer", metavar="N,…", callback=_whole_numbers, help="Divide each step by these besides; 2,4 unless given."
)
@click.option(
    "--threshold",
    metavar="X",
    type=float,
    default=0.02,
    show_default=True,
    help="The largest change that counts as none.",
)
@click.option("--level", metavar="X", type=float, default=0.95, show_default=True, help="Of the intervals.")
@click.option(
    "--seed", metavar="N", type=int, default=0, show_default=True, help="Of the bootstrap and the choice of rows."
)
@click.option(
    "--batch-size", metavar="N", type=int, default=512, show_default=True, help="Rows that are solved together."
)
@click.option(
    "--error-rows", metavar="N", type=int, default=256, show_default=True, help="Rows on which errors are measured."
)
@click.option(
    "--check-forward/--no-check-forward",
    default=True,
    help="Compare the model's forward with the solver that is given.",
)
@click.option("--train", metavar="PACKAGE.MODULE:FUNCTION", help="Find the critical step with function(steps, seed).")
@click.option("--train-steps", metavar="N,…", callback=_whole_numbers, help="Numbers of steps to train with.")
@click.option("--train-seeds", metavar="N,…", callback=_whole_numbers, help="Seeds to train with; 0,1,2 unless given.")
@click.option(
    "-o",
    "--output",
    "page",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a page with a figure.",
)
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    factory: str,
    checkpoint: Path | None,
    data: str | None,
    page: Path | None,
    as_json: bool,
    train: str | None,
    train_steps: tuple[int, ...] | None,
    train_seeds: tuple[int, ...] | None,
    metric: str | None,
    against: tuple[str, ...],
    finer: tuple[int, ...] | None,
    **options: Any,
) -> None:
    """Is a trained model a flow of its differential equation, or does it work with the solver it was trained with only?

    \b
    Example:
      odebench validate my_project.nets:make_model --checkpoint weights.pt --data test.npz --solver euler --steps 16
      odebench validate my_project.nets:make_model_and_data -o page.html

    FACTORY is called without arguments and returns a torch.nn.Module, or a pair of one and data. This imports its module
    and so runs its code, and that of --data, --metric and --train where they name functions; files are only read.
    A .py file can stand in place of the module.

    The model calls odeint of torchdiffeq or of odebench in its forward, and is taken as it is; or it has the attributes
    `field` and `span`, and its solver is named here.

    Exit codes: 0 a flow; 1 tied to its solver; 3 undecided; 2 it could not be found out.
    """
    if train is not None and not train_steps:
        raise click.UsageError("--train needs --train-steps, the numbers of steps to train with, such as 2,4,8,16.")
    try:
        with contextlib.redirect_stdout(sys.stderr):  # what the model says must not stand in what a program reads
            found = _validated(
                factory, checkpoint, data, train, train_steps, train_seeds, as_json=as_json,
                metric=metric, against=against, finer=finer, **options,
            )  # fmt: skip
        if page is not None:
            found.write_page(page)
    except OdebenchError:
        raise
    except (Exception, SystemExit):  # noqa: BLE001 - the model's own code may raise anything, which must not read as a verdict
        traceback.print_exc()
        ctx.exit(USAGE)
    if as_json:
        write_json(found.to_json())
    else:
        _write(found, page)
    ctx.exit({"a flow": 0, "tied to its solver": TIED, "undecided": UNDECIDED}[found.verdict.value])


def _validated(
    factory: str,
    checkpoint: Path | None,
    data: str | None,
    train: str | None,
    train_steps: tuple[int, ...] | None,
    train_seeds: tuple[int, ...] | None,
    *,
    as_json: bool,
    metric: str | None,
    against: tuple[str, ...],
    finer: tuple[int, ...] | None,
    **options: Any,
) -> Validation:
    from odebench.validation import critical_step, validate
    from odebench.validation.opening import function_of, load_checkpoint, load_data, model_and_data, ready_to_import

    tell = (lambda words: None) if as_json else lambda words: warn(f"… {words}")
    with ready_to_import():
        model, own_data = model_and_data(factory)
        if checkpoint is not None:
            load_checkpoint(model, checkpoint)
        examples = own_data if data is None else load_data(data)
        if examples is None and not hasattr(model, "test"):
            raise OdebenchError("No data are given. Give --data, or let the factory return a pair of a model and data.")
        options["metric"] = function_of(metric, "The metric") if metric and ":" in metric else metric
        options |= {"against": against or None, "finer": finer or (2, 4), "tell": tell}
        found = validate(model, examples, **options)
        if train is None:
            return found
        left_out = ("steps", "step_size", "tolerance")
        kept = {name: value for name, value in options.items() if name not in left_out}
        critical = critical_step(
            function_of(train, "The training"), examples, steps=train_steps, seeds=train_seeds or (0, 1, 2), **kept
        )
        return replace(found, critical=critical)


def _write(found: Validation, page: Path | None) -> None:
    """The verdict, the table, and what a reader has to know besides."""
    from odebench.validation.verdict import Said

    said = Said(found.percent)
    write_table(
        (
            "solver",
            "division",
            "evaluations",
            found.metric,
            "change",
            f"{found.level:.0%} interval",
            "error",
            "interval lies",
        ),
        (_line(one, said, own=one is found.own) for one in (found.own, *found.tried)),
    )
    click.echo(f"\n{found.sentence}")
    for note in found.notes:
        click.echo(note)
    if found.crossings is not None:
        click.echo(
            f"Of {found.crossings.trajectories} trajectories {found.crossings.pairs:,} pairs of different classes cross, "
            f"{found.crossings.count:,} times."
        )
    if found.critical is not None:
        click.echo()
        write_table(
            ("steps", "seed", found.metric, "worst change", "verdict"),
            (
                (t.steps, t.seed, said.value(t.metric), said.difference(t.worst_change), t.verdict)
                for t in found.critical.trainings
            ),
        )
        click.echo(found.critical.sentence)
    if page is not None:
        click.echo(f"Page: {page}")


def _line(one: Tried, said: Any, *, own: bool) -> tuple[object, ...]:
    if one.failure:
        return one.solver, one.division, None, "failed", None, None, None, "not judged"
    changed = not own and one.change is not None
    words = {"inside": "inside", "outside": "outside", "across": "neither", None: "not judged"}
    return (
        one.solver,
        one.division,
        one.evaluations,
        said.value(one.metric),
        said.change(one.change) if changed else None,
        said.interval(one) if changed else None,
        None if one.error is None else f"{one.error:.2g}",
        "its own" if own else words[one.place],
    )
