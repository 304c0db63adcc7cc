"""What was run, where and with what, as pairs of words for the page."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from typing import Any

from odebench.report.labels import joined
from odebench.report.sources import Source


def title_of(sources: Sequence[Source]) -> str:
    """The title of the suite, its name where it has none; of several suites all titles."""
    titles = dict.fromkeys(_suite(source).get("title") or _name(source) for source in sources)
    return " / ".join(map(str, titles))


def facts(source: Source) -> list[tuple[str, str]]:
    """What was run and where, the empty facts left out."""
    machine, run = source.machine, source.run
    memory = f"{machine['memory_gib']} GiB" if machine.get("memory_gib") else ""
    cores = f"{machine['cores']} cores" if machine.get("cores") else ""
    used = source.frame
    pairs = [
        ("suite", _name(source)),
        ("command", _command(source)),
        ("budget", _budget(source)),
        ("last run", run.updated.replace("T", " ").replace("+00:00", " UTC") if run else ""),
        ("machine", joined([machine.get("cpu_model"), cores, memory, *machine.get("accelerators", ())])),
        ("system", joined([machine.get("system"), machine.get("architecture"), machine.get("python")])),
        ("machine id", source.machine_id),
        ("devices", ", ".join(sorted(used["device"].dropna().unique()))),
        ("number formats", ", ".join(sorted(used["dtype"].dropna().unique()))),
        ("odebench", ", ".join(sorted(used["odebench_version"].dropna().unique()))),
        (
            "versions",
            "; ".join(sorted(used.loc[used["outcome"] != "unsupported", "plugin_versions"].dropna().unique())),
        ),
        ("plugins", ", ".join(f"{name} {version}" for name, version in run.plugins.items()) if run else ""),
        *_interpreters(source),
        ("folder", str(source.folder)),
        ("suite hash", run.sha256[:16] if run else ""),
    ]
    return [(name, value) for name, value in pairs if value]


def _interpreters(source: Source) -> list[tuple[str, str]]:
    """The other interpreters that took part: where each is, and what is there."""
    return [
        (
            f"interpreter of {joined(one.plugins)}",
            joined([one.python, *(f"{name} {version}" for name, version in sorted(one.versions.items())), one.path]),
        )
        for one in (source.run.interpreters if source.run else ())
    ]


def _name(source: Source) -> str:
    return source.run.suite if source.run else joined(sorted(source.frame["suite"].dropna().unique()))


def _suite(source: Source) -> dict[str, Any]:
    """The table `[suite]` of the suite's text, {} where there is none."""
    table = _tables(source).get("suite")
    return table if isinstance(table, dict) else {}


def _tables(source: Source) -> dict[str, Any]:
    try:
        return tomllib.loads(source.run.text) if source.run else {}
    except tomllib.TOMLDecodeError:
        return {}


def _command(source: Source) -> str:
    """The command that runs the same again; the suite's file may lie elsewhere."""
    if source.run is None:
        return ""
    budget = [f"--budget {source.run.budget_name}"] if source.run.budget_name else []
    overrides = [f"--set {override}" for override in source.run.overrides]
    places = [f"--interpreter {name}={one.path}" for one in source.run.interpreters for name in one.plugins]
    return " ".join([f"odebench run {source.run.suite}.toml", *budget, *overrides, *places])


def _budget(source: Source) -> str:
    """The budget as the suite states it, what was chosen on the command line put over it."""
    if source.run is None:
        return ""
    budget = _tables(source).get("budget")
    budget = dict(budget) if isinstance(budget, dict) else {}
    named = {name: value for name, value in budget.items() if isinstance(value, dict)}
    stated = {name: value for name, value in budget.items() if name not in named}
    stated |= named.get(source.run.budget_name or "", {})
    chosen = dict(
        override.removeprefix("budget.").split("=", 1) for override in source.run.overrides if "=" in override
    )
    return joined([f"{name} {_value(value)}" for name, value in (stated | chosen).items()])


def _value(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
