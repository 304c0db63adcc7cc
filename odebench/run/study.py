"""The quality part of a study: it is given its workplace, its evaluations are counted, and what it found is told as it comes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from odebench.contract import Field, Findings, Learning, Progress, Setting, Solver, Study, Workplace
from odebench.errors import MeasurementError
from odebench.outcome import Outcome
from odebench.plan.cell import Cell
from odebench.plugins import Registry
from odebench.run import global_state
from odebench.run.bench import build, build_problem, dtype_of, grid_request
from odebench.run.columns import SERIES_FILE, series_content, values_and_reasons
from odebench.run.opaque import opaque, opaque_network
from odebench.run.request import Request, write_progress

#: Seconds between two words about the progress.
_TELL_EVERY_S = 0.5


class Tally:
    """Calls a module, and counts: as little as can be, since a training calls it millions of times."""

    __slots__ = ("_module", "count")

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self.count = 0

    def __call__(self, t: Any, y: Any) -> Any:
        self.count += 1
        return self._module(t, y)

    def around(self, function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        """`function`, counted as the module is."""

        def counted(t: Any, y: Any) -> Any:
            self.count += 1
            return function(t, y)

        return counted


class Tallies:
    """The tallies of all fields of a model."""

    def __init__(self) -> None:
        self._all: list[Tally] = []

    @property
    def count(self) -> int:
        """Evaluations of all fields together."""
        return sum(tally.count for tally in self._all)

    def opaque(self, module: nn.Module) -> Field:
        """The opaque form of a field, counted."""
        tally = Tally(module)
        self._all.append(tally)
        return opaque(module, tally)


def measure(request: Request, registry: Registry, folder: Path) -> dict[str, Any]:
    """Run the study of the request's cell in its artefact's folder, which the request names.

    Returns:
        A part with the study's columns as values, and with `series`, whether `series.npz` in the artefact's folder is of this run.
    """
    cell = request.cell
    study: Study = build("task", cell.task, registry)
    setting, workplace, tallies = _prepared(request, registry, folder)
    torch.manual_seed(cell.seed)
    before = global_state.snapshot()
    findings = study.run(setting, workplace)
    changed = global_state.differences(before, global_state.snapshot(), global_state.RANDOM)
    result = _result(findings, workplace)
    result["values"] |= {"nfe_method": "counted"} if tallies.count else {}
    if cell.compile is not False:
        result["values"] |= {
            "compiled": False,
            "compile_fallback_reason": "Trainings, and what asks them, are not compiled.",
        }
    if changed:
        error = MeasurementError(f"It changed global state and left it so: {', '.join(changed)}.")
        result |= {"outcome": Outcome.ERROR.word, "reason": str(error)}
    return result


def _prepared(request: Request, registry: Registry, folder: Path) -> tuple[Setting, Workplace, Tallies]:
    """Everything that the cell names, the fields opaque and counted."""
    cell = request.cell
    if request.artefact is None:
        raise MeasurementError(
            "A study was asked for without a folder for what it leaves. This is a bug of the launcher."
        )
    learning = _learning(cell, registry)
    problem = build_problem(cell, registry)
    tallies, network = Tallies(), problem.network if learning is None else learning.network
    if network is not None:
        network = opaque_network(network, tallies.opaque)
        learning = None if learning is None else replace(learning, network=network)
    field = tallies.opaque(problem.field if learning is None else learning.field)
    setting = Setting(
        problem=replace(problem, field=field, network=network),
        solver=build("solver", cell.solver, registry),
        gradient=None if cell.gradient is None else build("gradient", cell.gradient, registry),
        grid=grid_request(cell.grid),
    )
    workplace = Workplace(
        learning=learning,
        policy=None if cell.policy is None else build("step_policy", cell.policy, registry),
        build_solver=_solver_builder(registry),
        folder=Path(request.artefact),
        needed=tuple(map(Path, request.needed)),
        seed=cell.seed,
        evaluations=lambda: tallies.count,
        tell=_teller(folder),
    )
    return setting, workplace, tallies


def _learning(cell: Cell, registry: Registry) -> Learning | None:
    """What the cell's model learns, in the cell's dtype on its device; None where it has nothing to learn."""
    model = build("model", cell.model, registry)
    return model.learning(cell.seed).to(dtype_of(cell), cell.device) if model.can_learn else None


def _solver_builder(registry: Registry) -> Callable[[str | dict[str, Any]], Solver]:
    def build_solver(spec: str | dict[str, Any]) -> Solver:
        """The solver of a name, or of a table with a name and parameters."""
        table = {"name": spec} if isinstance(spec, str) else dict(spec)
        return registry.get("solver", table.pop("name")).build(**table)

    return build_solver


def _teller(folder: Path) -> Callable[[Progress], None]:
    """Writes what it is told into the part's folder: the first and the last word, and now and then one between them."""
    due = 0.0

    def tell(progress: Progress) -> None:
        """Say how far the work is."""
        nonlocal due
        now = time.monotonic()
        if now >= due or progress.done == progress.total:
            due = now + _TELL_EVERY_S
            write_progress(folder, {"done": progress.done, "total": progress.total, "loss": progress.loss})

    return tell


def _result(findings: Findings, workplace: Workplace) -> dict[str, Any]:
    values, reasons = values_and_reasons(findings.values)
    if findings.series:
        workplace.write(SERIES_FILE, series_content(findings.series))
    outcome = Outcome.OK if findings.diverged is None else Outcome.DIVERGED
    notes = {"notes": list(findings.notes)} if findings.notes else {}
    return {
        "outcome": outcome.word,
        "reason": findings.diverged,
        "traceback": None,
        "values": values,
        "reasons": reasons,
        "series": bool(findings.series),
    } | notes
