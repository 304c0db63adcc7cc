"""One experiment with its names looked up: the points of its product."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from odebench.errors import SuiteError
from odebench.plan.cell import Cell
from odebench.plan.judge import Judge, Verdict, attribute
from odebench.plan.resolve import Resolved, Resolver
from odebench.plan.schema import NO_GRID, ChoiceEntry
from odebench.plan.suite import Suite
from odebench.records.record import PARTS


@dataclass(frozen=True, kw_only=True)
class Point:
    """One point of an experiment.

    Attributes:
        cell: the question.
        verdict: why it is not run; None where it is.
        parts: the parts of its record that are measured.
        model, solver: what the cell's model and solver are.
    """

    cell: Cell
    verdict: Verdict
    parts: tuple[str, ...]
    model: Resolved
    solver: Resolved


class Axes:
    """The axes of one experiment, each a list of plugins that are there.

    Args:
        suite: the experiment's.
        index: its place among the experiments.
        resolver: looks names up.
        faults: what is wrong with the experiment is appended here.

    Attributes:
        experiment: as the suite has it.
        where: file and key of it, for messages, with the key's quotation mark left open.
    """

    def __init__(self, suite: Suite, index: int, resolver: Resolver, faults: list[str]) -> None:
        self.experiment, self._budget = suite.experiments[index], suite.budget
        self.where = f"{suite.file}: `experiment[{index}]"
        experiment = self.experiment

        def look_up(kind: str, key: str, entries: Sequence[ChoiceEntry] | None, indexed: bool = True) -> list[Resolved]:
            found = []
            for position, entry in enumerate(entries or ()):
                where = f"{self.where}.{key}[{position}]`" if indexed else f"{self.where}.{key}`"
                try:
                    found += resolver.resolve(kind, entry, where)
                except SuiteError as error:
                    faults.append(str(error))
            return found

        self._tasks = look_up("task", "task", (experiment.task,), indexed=False)
        self._models = look_up("model", "model", experiment.model)
        self._solvers = look_up("solver", "solver", experiment.solver)
        self._gradients: list[Resolved | None] = [*look_up("gradient", "gradient", experiment.gradient)] or [None]
        policies = experiment.task.step_policy or self._default_policy()
        found = look_up("step_policy", "task.step_policy", policies, indexed=len(policies) > 1)
        self._policies: list[Resolved | None] = [*found] or [None]
        faults += [*self._faults_of_gradient(), *self._faults_of_policy(policies), *self._faults_of_grid(found)]

    def task_is(self, name: str) -> bool | None:
        """Whether the task declares an attribute of this name; None where it could not be built, and nobody knows."""
        declared = {attribute(task.instance, name, False) for task in self._tasks if task.instance is not None}
        return True in declared if declared else None

    def _default_policy(self) -> tuple[ChoiceEntry, ...]:
        """The policy that a learning task names for itself; none for other tasks."""
        names = (
            (getattr(task.instance, "default_policy", None) for task in self._tasks) if self.task_is("learns") else ()
        )
        name = next((name for name in names if isinstance(name, str) and name), None)
        return () if name is None else (ChoiceEntry.model_validate(name),)

    def _faults_of_gradient(self) -> list[str]:
        """A task says whether a gradient method takes part, and the experiment must agree."""
        task = self.experiment.task.name
        needs = self.task_is("needs_gradient") or self.task_is("learns")
        if needs and self.experiment.gradient is None:
            add = "Add `gradient = [...]`; `odebench list gradients` shows all."
            return [f"{self.where}.gradient` is missing, and the task {task!r} needs a gradient method. {add}"]
        if needs is False and self.experiment.gradient is not None:
            return [
                f"{self.where}.gradient` is given, and no gradient method takes part in the task {task!r}. Delete the key."
            ]
        return []

    def _faults_of_policy(self, policies: Sequence[ChoiceEntry]) -> list[str]:
        """Where a task learns, a step policy takes part, and nowhere else."""
        task, learns = self.experiment.task.name, self.task_is("learns")
        if learns and not policies:
            return [
                f"{self.where}.task.step_policy` is missing: the task {task!r} learns, and names no step policy of its own. "
                f"Write {{ name = {task!r}, step_policy = … }}; `odebench list policies` shows all."
            ]
        if learns is False and policies:
            return [
                f"{self.where}.task.step_policy` is {policies[0].name!r}, and no step policy takes part in the task {task!r}, which "
                f"does not learn. Delete the key."
            ]
        return []

    def _faults_of_grid(self, policies: Sequence[Resolved]) -> list[str]:
        """Without a grid, every policy must find the first step by itself."""
        needy = [p.choice.name for p in policies if p.instance is not None and not _chooses_first(p)]
        if self.experiment.divides_time or not needy:
            return []
        return [f"{self.where}`: {NO_GRID}. The step policy {needy[0]!r} does not find them by itself."]

    def points(self, judge: Judge, trainings: Sequence[Point]) -> Iterator[Point]:
        """Each point of the product in the order task, model, solver, gradient, step policy, grid, device, dtype, threads, compile, seed.

        Where the experiment reads trainings, each of them stands in the place of a model, and is the cell that the point needs.
        """
        chosen = trainings if self.experiment.trained is not None else self._models
        for task, origin, solver, gradient, policy in itertools.product(
            self._tasks, chosen, self._solvers, self._gradients, self._policies
        ):
            training = origin if isinstance(origin, Point) else None
            model = origin if training is None else None
            used = [one for one in (task, model, solver, gradient, policy) if one is not None]
            partners = [(w, p) for w, p in (("gradient", gradient), ("step policy", policy)) if p is not None]
            for grid, missing in self._grids(solver, policy, training):
                for device, dtype, threads, compiled, seed in self._places(training):
                    cell = Cell(
                        task=task.choice,
                        model=training.cell.model if model is None else model.choice,
                        solver=solver.choice,
                        gradient=gradient.choice if gradient else None,
                        grid=grid,
                        device=device,
                        dtype=dtype,
                        threads=threads,
                        seed=seed,
                        needs=(training.cell.id,) if training else (),
                        policy=policy.choice if policy else None,
                        compile=compiled,
                    )
                    verdict = judge(
                        used=used,
                        solver=solver,
                        partners=partners,
                        device=device,
                        missing=missing,
                        training=training.verdict if training else None,
                        learner=model if policy is not None else None,
                        asked=(task, model if training is None else training.model),
                        compiled=compiled,
                    )
                    yield Point(
                        cell=cell,
                        verdict=verdict,
                        parts=_parts(task),
                        model=model if training is None else training.model,
                        solver=solver,
                    )

    def _places(self, training: Point | None) -> Iterator[tuple[str, str, int, bool | str, int]]:
        """Device, dtype, threads, whether it is compiled, and seed: the experiment's, else the training's, else the budget's."""
        given, other = self.experiment, self._budget
        if training is None:
            default, seeds = (other.device, other.dtype, other.threads, other.compile), given.seed
        else:
            cell = training.cell
            default, seeds = ((cell.device,), (cell.dtype,), (cell.threads,), (cell.compile,)), (cell.seed,)
        asked = (given.device, given.dtype, given.threads, given.compile)
        return itertools.product(*(axis or instead for axis, instead in zip(asked, default, strict=True)), seeds)

    def _grids(
        self, solver: Resolved, policy: Resolved | None, training: Point | None
    ) -> list[tuple[dict[str, Any], str | None]]:
        """What the experiment offers this solver, or one empty grid and, unless the policy chooses, the reason why it offers nothing."""
        if solver.instance is None:
            return [({}, None)]
        name, experiment = solver.choice.name, self.experiment
        adaptive = attribute(solver.instance, "adaptive", False)
        if adaptive:
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
        if training is not None and experiment.factor is not None:
            trainer = training.solver
            with_tolerance = attribute(trainer.instance, "adaptive", False)
            # A policy that chose by itself may have given an adaptive solver steps: only the training tells.
            chosen = with_tolerance and not training.cell.grid
            if trainer.instance is None or chosen or with_tolerance == adaptive:
                offered += [{"factor": float(factor)} for factor in experiment.factor]
            else:
                ended = "a step, and no tolerance" if adaptive else "a tolerance, and no step"
                missing += (
                    f" Its training, with {trainer.choice.name!r}, ended with {ended} that `factor` could multiply."
                )
        if not offered and policy is not None and policy.instance is not None and _chooses_first(policy):
            return [({}, None)]
        return [(grid, None) for grid in offered] or [({}, missing)]


def _chooses_first(policy: Resolved) -> bool:
    return attribute(policy.instance, "chooses_first", False)


def _parts(task: Resolved) -> tuple[str, ...]:
    """The parts that a task declares, in the order of a record; every record has a quality."""
    try:
        declared = tuple(getattr(task.instance, "parts", PARTS))
    except Exception:  # noqa: BLE001 - a plugin's attribute may be anything
        declared = PARTS
    return tuple(part for part in PARTS if part == PARTS[0] or part in declared)
