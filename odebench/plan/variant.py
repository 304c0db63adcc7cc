"""`[budget.<name>]`, chosen by `--budget`: what it names replaces the above, keys of `[budget]` and keys of experiments."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from odebench.errors import SuiteError
from odebench.plan.messages import choose, describe, explain, key_path, suite_error
from odebench.plan.overrides import Override, apply_override
from odebench.plan.schema import Budget, Experiment

#: The key of a variant that holds what replaces keys of experiments: `[[budget.quick.experiment]]`.
_CHANGES = "experiment"


def with_budget(
    raw: Mapping[str, Any], file: Path, chosen: str | None, overrides: Sequence[Override]
) -> dict[str, Any]:
    """A suite with the chosen variant folded in, the other variants checked and dropped, and overrides applied.

    A variant's keys replace those of `[budget]`. Each of its `[[budget.<name>.experiment]]` names an experiment and replaces the keys
    of that: a table of the task replaces parameter by parameter, everything else as a whole.

    An override of the variant itself counts before it is folded in, every other one after: `--set budget.repeats=3` wins.

    Args:
        raw: the suite as TOML gave it; it is not changed.
        file: leads each message.
        chosen: name of the variant, or None.
        overrides: as the user gave them.

    Raises:
        SuiteError: there is no such variant, or one of them, chosen or not, has a fault.
    """
    raw = copy.deepcopy(dict(raw))
    table = raw.get("budget", {})
    if not isinstance(table, dict):
        raise SuiteError(f"{file}: `budget` is {describe(table)}. It must be a table: [budget].")
    keys = {info.alias or name for name, info in Budget.model_fields.items()}
    names = [key for key, value in table.items() if isinstance(value, dict) and key not in keys]
    early = [
        override
        for override in overrides
        if override.path[0] == "budget" and override.path[1:2] and override.path[1] in names
    ]
    for override in early:
        apply_override(raw, override)
    variants = {key: table.pop(key) for key in names}
    faults = [fault for key, variant in variants.items() for fault in _faults_of(variant, raw, file, key, early)]
    if faults:
        raise suite_error(faults)
    if chosen is not None and chosen not in variants:
        hint = choose(chosen, variants) if variants else "The suite has only [budget]: leave `--budget` out."
        raise SuiteError(f"{file}: there is no [budget.{chosen}]. {hint}")
    if chosen is not None:
        variant = variants[chosen]
        raw["budget"] = table | {key: value for key, value in variant.items() if key != _CHANGES}
        for change in variant.get(_CHANGES, ()):
            place = _place_of(change, raw)
            raw["experiment"][place] = _changed(raw["experiment"][place], change)
    for override in overrides:
        if override not in early:
            apply_override(raw, override)
    return raw


def _faults_of(
    variant: dict[str, Any], raw: dict[str, Any], file: Path, name: str, overrides: Sequence[Override]
) -> list[str]:
    path = ("budget", name)
    budget = {key: value for key, value in variant.items() if key != _CHANGES}
    faults = _explained(Budget, budget, file, path, overrides)
    changes = variant.get(_CHANGES, [])
    where = key_path((*path, _CHANGES))
    if not isinstance(changes, list) or not all(isinstance(change, dict) for change in changes):
        told = f"`{where}` is {describe(changes)}. It must be tables that replace keys of experiments: [[{where}]]."
        return [*faults, f"{file}: {told}"]
    for index, change in enumerate(changes):
        faults += _faults_of_change(change, raw, file, (*path, _CHANGES, index), overrides)
    return faults


def _faults_of_change(
    change: dict[str, Any], raw: dict[str, Any], file: Path, path: tuple[str | int, ...], overrides: Sequence[Override]
) -> list[str]:
    where = f"{file}: `{key_path((*path, 'name'))}`"
    if "name" not in change:
        return [f"{where} is missing. It says which experiment's keys are replaced: add it."]
    place = _place_of(change, raw)
    if place is None:
        names = [str(experiment["name"]) for experiment in _experiments(raw) if "name" in experiment]
        return [f"{where} is {change['name']!r}, and no experiment has that name. {choose(change['name'], names)}"]
    before = raw["experiment"][place]
    if _explained(Experiment, before, file, path, ()):
        return []  # What is wrong without the change is told where it stands.
    return _explained(Experiment, _changed(before, change), file, path, overrides)


def _explained(
    table: type[BaseModel], raw: Any, file: Path, path: tuple[str | int, ...], overrides: Sequence[Override]
) -> list[str]:
    try:
        table.model_validate(raw)
    except ValidationError as error:
        return explain(error, raw, file, path, overrides)
    return []


def _experiments(raw: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The experiments, as far as they are tables; anything else is told when the suite itself is checked."""
    found = raw.get("experiment")
    return [entry if isinstance(entry, dict) else {} for entry in found] if isinstance(found, list) else []


def _place_of(change: Mapping[str, Any], raw: Mapping[str, Any]) -> int | None:
    """Which experiment a change is for."""
    named = (place for place, entry in enumerate(_experiments(raw)) if entry.get("name") == change["name"])
    return next(named, None)


def _changed(experiment: dict[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """An experiment with the keys of a change."""
    task, asked = experiment.get("task"), change.get("task")
    merged = experiment | dict(change)
    if isinstance(asked, dict) and isinstance(task, dict | str):
        own = {"name": task} if isinstance(task, str) else task
        # Another task has other parameters.
        merged["task"] = own | asked if asked.get("name", own.get("name")) == own.get("name") else asked
    return merged
