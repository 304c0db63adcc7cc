"""Suite × registry → plan: the product of each experiment's axes, every combination either to be run or settled with a reason."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

from odebench.errors import SuiteError
from odebench.outcome import Outcome
from odebench.plan.cell import Cell
from odebench.plan.plan import Plan, PlannedCell
from odebench.plan.registry import Registry
from odebench.plan.resolve import Resolved, Resolver
from odebench.plan.schema import ChoiceEntry, Experiment
from odebench.plan.suite import Suite

#: Why a cell is not run: its outcome and a sentence; None where it is.
Verdict = tuple[Outcome, str] | None


def expand(suite: Suite, registry: Registry, device_reason: Callable[[str], str | None]) -> Plan:
    """Plan `suite` for this machine.

    Args:
        suite: as `read_suite` gives it.
        registry: the plugins.
        device_reason: None where this machine has a device ("cuda:0"), else the reason why it cannot be used.

    Returns:
        Every cell once, in the order of the file; a cell that two experiments ask carries both names. The order and the ids depend
        on the suite and the plugins alone.

    Raises:
        SuiteError: a name that nobody registers, a parameter that its plugin does not have, a gradient method missing where the task
            needs one or given where it takes none. All of them are named at once.
    """
    resolver, faults = Resolver(registry), []
    axes = [_Axes(suite, index, experiment, resolver, faults) for index, experiment in enumerate(suite.experiments)]
    if faults:
        raise SuiteError("\n".join(dict.fromkeys(faults)))
    judge = _Judge(device_reason)
    planned: dict[str, PlannedCell] = {}
    for index, experiment in enumerate(suite.experiments):
        for cell, verdict in axes[index].cells(judge):
            before = planned.get(cell.id)
            names = (*before.experiments, experiment.name) if before else (experiment.name,)
            outcome, reason = (before.outcome, before.reason) if before else verdict or (None, None)
            planned[cell.id] = PlannedCell(
                cell=cell,
                experiments=tuple(dict.fromkeys(names)),
                outcome=outcome,
                reason=reason,
            )
    return Plan(suite=suite, cells=tuple(planned.values()))


class _Axes:
    """One experiment with its names looked up."""

    def __init__(
        self,
        suite: Suite,
        index: int,
        experiment: Experiment,
        resolver: Resolver,
        faults: list[str],
    ) -> None:
        self._experiment, self._budget = experiment, suite.budget
        self._where = f"{suite.file}: `experiment[{index}]"

        def look_up(kind: str, entries: tuple[ChoiceEntry, ...], indexed: bool = True) -> list[Resolved]:
            found = []
            for position, entry in enumerate(entries):
                key = f"{kind}[{position}]" if indexed else kind
                try:
                    found += resolver.resolve(kind, entry, f"{self._where}.{key}`")
                except SuiteError as error:
                    faults.append(str(error))
            return found

        self._tasks = look_up("task", (experiment.task,), indexed=False)
        self._models = look_up("model", experiment.model)
        self._solvers = look_up("solver", experiment.solver)
        self._gradients: list[Resolved | None] = list(look_up("gradient", experiment.gradient or ())) or [None]
        faults += self._faults_of_gradient()

    def _faults_of_gradient(self) -> list[str]:
        """A task says whether a gradient method takes part, and the experiment must agree."""
        task = self._experiment.task.name
        needs = {
            _attribute(found.instance, "needs_gradient", False) for found in self._tasks if found.instance is not None
        }
        if True in needs and self._experiment.gradient is None:
            add = "Add `gradient = [...]`; `odebench list gradients` shows all."
            return [f"{self._where}.gradient` is missing, and the task {task!r} needs a gradient method. {add}"]
        if needs == {False} and self._experiment.gradient is not None:
            return [
                f"{self._where}.gradient` is given, and no gradient method takes part in the task {task!r}. Delete the key."
            ]
        return []

    def cells(self, judge: _Judge) -> Iterator[tuple[Cell, Verdict]]:
        """Each point of the product in the order task, model, solver, gradient, grid, device, dtype, threads, seed."""
        experiment, budget = self._experiment, self._budget
        places = list(
            itertools.product(
                experiment.device or budget.device,
                experiment.dtype or budget.dtype,
                experiment.threads or budget.threads,
                experiment.seed,
            )
        )
        for task, model, solver, gradient in itertools.product(
            self._tasks, self._models, self._solvers, self._gradients
        ):
            for grid, missing in self._grids(solver):
                for device, dtype, threads, seed in places:
                    cell = Cell(
                        task=task.choice,
                        model=model.choice,
                        solver=solver.choice,
                        gradient=gradient.choice if gradient else None,
                        grid=grid,
                        device=device,
                        dtype=dtype,
                        threads=threads,
                        seed=seed,
                    )
                    yield cell, judge((task, model, solver, gradient), device, missing)

    def _grids(self, solver: Resolved) -> list[tuple[dict[str, Any], str | None]]:
        """What the experiment offers this solver, or one empty grid and the reason why it offers nothing."""
        if solver.instance is None:
            return [({}, None)]
        name, experiment = solver.choice.name, self._experiment
        if _attribute(solver.instance, "adaptive", False):
            tolerances = experiment.tolerance or ()
            offered = [{"rtol": float(t.rtol), "atol": float(t.atol), "batch": t.batch} for t in tolerances]
            fixed = (
                f", or write {{ name = {name!r}, adaptive = false }}" if "adaptive" in solver.choice.parameters else ""
            )
            missing = (
                f"The solver {name!r} chooses its own steps, and experiment {experiment.name!r} gives no tolerance. "
                f"Add `tolerance = [1e-6]`{fixed}."
            )
        else:
            offered = [{"steps": steps} for steps in experiment.steps or ()]
            offered += [{"step_size": float(size)} for size in experiment.step_size or ()]
            missing = (
                f"The solver {name!r} takes fixed steps, and experiment {experiment.name!r} gives neither `steps` nor "
                f"`step_size`. Add one of them."
            )
        return [(grid, None) for grid in offered] or [({}, missing)]


class _Judge:
    """Why a combination is not run. A plugin's fault comes before what the machine or the experiment lacks."""

    def __init__(self, device_reason: Callable[[str], str | None]) -> None:
        self._device_reason = device_reason
        self._devices: dict[str, str | None] = {}
        self._pairs: dict[tuple[int, int], Verdict] = {}

    def __call__(
        self,
        parts: tuple[Resolved, Resolved, Resolved, Resolved | None],
        device: str,
        missing: str | None,
    ) -> Verdict:
        for part in parts:
            if part is not None and part.failure is not None:
                return Outcome.ERROR, part.failure
        if device not in self._devices:
            self._devices[device] = self._device_reason(device)
        if reason := self._devices[device] or missing:
            return Outcome.UNSUPPORTED, reason
        _, _, solver, gradient = parts
        return self._pair(solver, gradient) if gradient is not None else None

    def _pair(self, solver: Resolved, gradient: Resolved) -> Verdict:
        key = (id(solver), id(gradient))
        if key not in self._pairs:
            self._pairs[key] = _supports(solver, gradient)
        return self._pairs[key]


def _supports(solver: Resolved, gradient: Resolved) -> Verdict:
    name = gradient.choice.name
    try:
        reason = gradient.instance.supports(solver.instance)
    except Exception as error:  # noqa: BLE001 - a plugin's code: whatever it raises costs its own cells only
        return (
            Outcome.ERROR,
            f"The gradient {name!r} could not say whether it supports {solver.choice.name!r}: {error!r}",
        )
    if reason is None:
        return None
    if not isinstance(reason, str):
        return Outcome.ERROR, (
            f"`supports` of the gradient {name!r} returned {reason!r}. It must return None, or the reason as a string."
        )
    return Outcome.UNSUPPORTED, reason


def _attribute(instance: Any, name: str, default: bool) -> bool:
    """A plugin's declared attribute; one that raises counts as not declared, and conformance says so."""
    try:
        return bool(getattr(instance, name, default))
    except Exception:  # noqa: BLE001 - a plugin's property may raise anything
        return default
