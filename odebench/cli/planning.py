"""From the words of a command to a plan on this machine: what `run` and `plan` have in common."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odebench.errors import SuiteError, nearest

if TYPE_CHECKING:
    from odebench.plan.estimate import Estimate
    from odebench.plan.plan import Plan, PlannedCell
    from odebench.plan.suite import Suite
    from odebench.plugins import Registry


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A suite, planned.

    Attributes:
        plan: every cell.
        registry: the plugins that it needs.
        local_files: plugin files, those of the command line first.
        folder: where its results lie.
    """

    plan: Plan
    registry: Registry
    local_files: tuple[Path, ...]
    folder: Path


def prepare(
    suite_file: Path,
    *,
    budget: str | None,
    overrides: tuple[str, ...],
    into: Path | None,
    local_files: tuple[Path, ...],
    allow_local_plugins: bool,
    strict_plugins: bool,
    interpreters: Mapping[str, Path],
) -> Prepared:
    """Read a suite, load the plugins that it names, and plan it for this machine.

    Args:
        suite_file, budget, overrides: the suite, and how it is adjusted.
        into: the folder of results; None takes the suite's.
        local_files: plugin files of the command line.
        allow_local_plugins: whether files that the suite itself names may be run.
        strict_plugins: whether a plugin that does not load ends all.
        interpreters: where installed plugins live, by name; they take the place of the suite's.

    Raises:
        SuiteError: the suite has a fault, or names code, of its own or by a parameter, that the user did not allow.
        InterpreterError: an interpreter cannot be used. Nothing is settled then, and nothing that was measured is put aside.
        PluginError: with `strict_plugins`, a plugin did not load.
    """
    from odebench.interpreters.registry import build_wide_registry
    from odebench.plan.expand import expand
    from odebench.plan.suite import read_suite
    from odebench.run.devices import device_reason

    suite = read_suite(suite_file, budget=budget, overrides=overrides)
    if suite.plugins and not allow_local_plugins:
        names = ", ".join(str(path) for path in suite.plugins)
        raise SuiteError(
            f"{suite_file}: `suite.plugins` names Python files: {names}. Running the suite runs them. Read them, then pass "
            f"--allow-local-plugins."
        )
    prefixes = prefixes_of(suite)
    places = _places(suite, suite_file, prefixes, interpreters, allowed=allow_local_plugins)
    files = tuple(dict.fromkeys(path.resolve() for path in (*local_files, *suite.plugins)))
    registry = build_wide_registry(places, prefixes=prefixes, local_files=files, strict=strict_plugins)
    if not allow_local_plugins and (named := code_named_by(suite, registry)):
        raise SuiteError(
            f"{suite_file}: parameters of solvers say where code lies: {', '.join(named)}. Running the suite runs that code. Look at "
            f"it, then pass --allow-local-plugins."
        )
    with registry:
        try:
            plan = expand(suite, registry, device_reason)
        finally:
            registry.refuse_silence()
    return Prepared(plan=plan, registry=registry, local_files=files, folder=into or Path("results") / suite.name)


def _places(
    suite: Suite, suite_file: Path, prefixes: Collection[str], given: Mapping[str, Path], *, allowed: bool
) -> dict[str, Path]:
    """Where the plugins that a suite names live, if not here: what the command line says goes before what the suite says.

    Raises:
        SuiteError: a name that the suite does not use and that looks like one that it does, or an interpreter that only the suite
            names and that the user did not allow.
    """
    tables = {name: f"{suite_file}: `plugins.{name}`" for name in suite.interpreters if name not in given}
    for name, where in (tables | {name: f"`--interpreter {name}={path}`" for name, path in given.items()}).items():
        near = nearest(name, prefixes - suite.interpreters.keys() - given.keys()) if name not in prefixes else None
        if near:
            raise SuiteError(f"{where}: the suite names nothing of a plugin {name!r}. Did you mean {near!r}?")
    found = {name: path for name, path in (dict(suite.interpreters) | dict(given)).items() if name in prefixes}
    unread = [name for name in found if name not in given]
    if unread and not allowed:
        said = ", ".join(f"{found[name]} for {name!r}" for name in unread)
        again = " ".join(f"--interpreter {name}={found[name]}" for name in unread)
        raise SuiteError(
            f"{suite_file}: `plugins` names other interpreters: {said}. Running the suite runs them. See that they are what they should "
            f"be, then pass {again}, or --allow-local-plugins."
        )
    return found


def code_named_by(suite: Suite, registry: Registry) -> list[str]:
    """Parameters by which the suite tells solvers where code lies that they run, such as `anode/rk4: source = "/tmp/anode"`."""
    found = []
    for entry in (entry for experiment in suite.experiments for entry in experiment.solver):
        if entry.name in registry.names("solver"):
            telling = getattr(registry.get("solver", entry.name).factory, "code_parameters", ())
            given = {key: value for key, value in entry.parameters.items() if key in telling}
            found += [f"{entry.name}: {key} = {json.dumps(value)}" for key, value in given.items()]
    return list(dict.fromkeys(found))


def prefixes_of(suite: Suite) -> set[str]:
    """The entry points of the installed plugins that a suite names: `torchdiffeq` for `torchdiffeq/dopri5`.

    Names inside of tables count too, since a wrapper is told its base by name.
    """
    found = set()
    for experiment in suite.experiments:
        others = (experiment.model, experiment.gradient, experiment.task.step_policy)
        chosen = (experiment.task, *experiment.solver, *(entry for axis in others for entry in axis or ()))
        for text in (text for entry in chosen for text in _texts((entry.name, entry.parameters))):
            prefix, slash, _ = text.partition("/")
            if slash:
                found.add(prefix)
    return found


def _texts(value: Any) -> Iterator[str]:
    """Every string in a value, at any depth."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from _texts(value.values())
    elif isinstance(value, Iterable):
        for item in value:
            yield from _texts(item)


@dataclass(frozen=True, kw_only=True)
class CellState:
    """A cell of a plan and what of it is stored.

    Attributes:
        planned: the cell, and why it will not run where planning settled that.
        missing: by part, how often it is still to be measured; empty where nothing is.
    """

    planned: PlannedCell
    missing: dict[str, int]

    @property
    def word(self) -> str:
        """`to run`, `begun`, `done`, or the outcome that planning settled."""
        if self.planned.outcome is not None:
            return self.planned.outcome.word.replace("_", " ")
        if not self.missing:
            return "done"
        return "to run" if "quality" in self.missing else "begun"


def states_of(prepared: Prepared) -> tuple[list[CellState], Estimate]:
    """Every cell with what is missing of it on this machine, in the order of the plan, and how long the rest will take."""
    from odebench.plan.estimate import estimate, part_times
    from odebench.records import Record, ResultFolder, describe_machine, missing_parts
    from odebench.run.artefacts import Artefacts
    from odebench.run.devices import accelerator_names
    from odebench.run.identity import identities_of
    from odebench.run.schedule import parts_at_once
    from odebench.run.studies import STOPPED, is_study

    folder, machine = ResultFolder(prepared.folder), describe_machine(accelerator_names())
    rounds = prepared.plan.suite.budget.processes
    identities = identities_of((planned.cell for planned in prepared.plan.cells), prepared.registry)
    artefacts = Artefacts(prepared.folder, machine.id)
    states = []
    for planned in prepared.plan.cells:
        missing: dict[str, int] = {}
        if planned.outcome is None:
            stored = folder.read_record(planned.cell.id, machine.id)
            fresh = isinstance(stored, Record) and stored.freshness == identities[planned.cell.id].freshness
            study = is_study(planned.cell, prepared.registry)
            stopped = study and fresh and stored.outcome in STOPPED  # It goes on from its checkpoint.
            for part in missing_parts(stored if fresh and not stopped else None, rounds, planned.parts):
                missing[part.name] = missing.get(part.name, 0) + 1
            if missing and study and artefacts.of(planned.cell.id, identities[planned.cell.id].freshness).finished():
                missing = {}  # What the run of another suite did is taken from there.
        states.append(CellState(planned=planned, missing=missing))
    measured = part_times(folder.iter_records())
    wanted = {state.planned.cell.id: state.missing for state in states}
    return states, estimate(prepared.plan, measured, wanted, workers=parts_at_once())
