"""Runs the checks of plugins, each in a child process with a time limit: whatever a plugin does costs itself only.

Nothing here needs torch, and no plugin is loaded in this process: a file that hangs when it is imported, ends the process or
prints escape sequences is a failure of that plugin like any other.
"""

from __future__ import annotations

import datetime
import json
import signal
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from odebench.conformance.slots import Job, Slots
from odebench.errors import OdebenchError, nearest
from odebench.interpreters.interpreter import homes_of

PASSED, FAILED, KNOWN, SURPRISE = "passed", "failed", "known failure", "passes, against what is declared"
TIMEOUT_S = 120.0
_LONGEST_SHOWN = 200
_FEW_PLACES = 2


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """How one check of one plugin ended.

    Attributes:
        check: its name.
        outcome: `PASSED`, `FAILED`, `KNOWN` or `SURPRISE`: a known failure that passes, which is a failure.
        said: what was measured, or what failed.
        reason: why the plugin declares that the check fails; None where it does not.
        seconds: how long it took.
    """

    check: str
    outcome: str
    said: str
    reason: str | None
    seconds: float


@dataclass(frozen=True, kw_only=True)
class PluginReport:
    """How all checks of one plugin ended.

    Attributes:
        kind: "solver", "gradient" or "model"; "plugin" where it could not even be loaded.
        name: its name.
        distribution, version: where it comes from; None for a local file.
        checks: one result for each check that ran.
        faults: what went wrong besides: it does not load, hangs, ends the process, prints.
        seconds: wall time of its process.
        unavailable: why it cannot be used on this machine, so that nothing was checked; None where it can.
        plugin: the prefix or the local file that offers it; "odebench" for what is built in.
        environment: `sys.prefix` of the interpreter that checked it; empty where its process did not get so far.
        stamp: what the result depends on, as `kept.stamp_of` gives it.
        ended: when, as ISO 8601 in UTC.
    """

    kind: str
    name: str
    distribution: str | None = None
    version: str | None = None
    checks: tuple[CheckResult, ...] = ()
    faults: tuple[str, ...] = ()
    seconds: float = 0.0
    unavailable: str | None = None
    plugin: str = ""
    environment: str = ""
    stamp: dict[str, str] = field(default_factory=dict)
    ended: str = ""

    @property
    def passed(self) -> bool:
        """Whether nothing failed but what is declared to."""
        return not self.faults and all(result.outcome in (PASSED, KNOWN) for result in self.checks)

    def count(self, *outcomes: str) -> int:
        """The number of checks that ended so."""
        return sum(result.outcome in outcomes for result in self.checks)


def check_plugins(
    names: Sequence[str] = (),
    *,
    everything: bool = False,
    kinds: Sequence[str] = (),
    local_files: Sequence[Path] = (),
    timeout_s: float = TIMEOUT_S,
    interpreters: Mapping[str, Path] = MappingProxyType({}),
) -> Iterator[PluginReport]:
    """The report of each plugin, when its checks are over.

    Args:
        names: what to check, as `name` or `kind:name`.
        everything: all that is offered by odebench, by installed plugins and by the local files.
        kinds: only these kinds; all where none is named.
        local_files: Python files to load as plugins besides.
        timeout_s: the checks of one plugin, its loading included, may take so long.
        interpreters: where installed plugins live that do not live here, by name; they are checked there.

    Raises:
        OdebenchError: there is no plugin of such a name, or several kinds have it.
        InterpreterError: an interpreter that is needed cannot be used, or lacks its plugin.
    """
    asked_for = {_bare(name).partition("/")[0] for name in names if "/" in name}
    homes = homes_of({name: path for name, path in interpreters.items() if everything or name in asked_for})
    with Slots() as slots:
        offered, broken = _offered(slots, asked_for, everything, local_files, timeout_s, homes)
        chosen = offered if everything else asked(names, offered, broken=bool(broken))
        yield from broken
        jobs = [
            Job(
                request={"task": "check", **entry},
                limit_s=timeout_s,
                label=entry,
                interpreter=homes.get(entry["prefix"]),
            )
            for entry in chosen
            if not kinds or entry["kind"] in kinds
        ]
        for job in slots.run(jobs):
            yield _report(job)


def _offered(
    slots: Slots,
    asked_for: Collection[str],
    everything: bool,
    local_files: Sequence[Path],
    timeout_s: float,
    homes: Mapping[str, str],
) -> tuple[list[dict[str, Any]], list[PluginReport]]:
    """What can be checked, and a report on each plugin that could not be loaded."""
    places: list[tuple[str | None, str | None]] = [(None, str(path.resolve())) for path in local_files]
    places += [(prefix, None) for prefix in sorted(asked_for)]
    places += [(None, None)]
    entries: list[dict[str, Any]] = []
    broken: list[PluginReport] = []

    def look(places: Sequence[tuple[str | None, str | None]]) -> list[str]:
        prefixes: list[str] = []
        jobs = [
            Job(
                request={"task": "list", "prefix": prefix, "local_file": path},
                limit_s=timeout_s,
                label=(prefix, path),
                interpreter=homes.get(prefix),
            )
            for prefix, path in places
        ]
        # To load one plugin takes less than to start another process that could load it at the same time.
        for job in slots.run(jobs, most=1 if len(jobs) <= _FEW_PLACES else None):
            prefix, path = job.label
            result = _result_of(job)
            where = {"prefix": prefix, "local_file": path}
            entries.extend(where | entry for entry in result.get("entries", ()))
            faults = _faults(job, "loading it") + [_plain(text) for text in result.get("failures", ())]
            if faults:
                broken.append(
                    PluginReport(kind="plugin", name=_short(path or prefix or "odebench"), faults=tuple(faults))
                )
            prefixes.extend(result.get("prefixes", ()))
        return prefixes

    installed = look(places)
    if everything:
        look([(prefix, None) for prefix in sorted({*installed, *homes}) if (prefix, None) not in places])
    order = {"solver": 0, "gradient": 1, "model": 2}
    entries.sort(key=lambda entry: (order[entry["kind"]], "/" in entry["name"], entry["name"]))
    return entries, broken


def asked(names: Sequence[str], offered: list[dict[str, Any]], *, broken: bool) -> list[dict[str, Any]]:
    """The entries of these names, among those that are offered.

    Args:
        broken: whether a plugin did not load: a name that is not found may be its, and its report says why.

    Raises:
        OdebenchError: a name is not found, or several kinds have it.
    """
    chosen = []
    for name in names:
        kind, bare = name.partition(":")[0] if ":" in name else None, _bare(name)
        found = [entry for entry in offered if entry["name"] == bare and kind in (None, entry["kind"])]
        if len(found) > 1:
            words = " or ".join(f"{entry['kind']}:{bare}" for entry in found)
            raise OdebenchError(f"{bare!r} is the name of several things. Write {words}.")
        if not found and not broken:
            near = nearest(bare, [entry["name"] for entry in offered])
            hint = f"did you mean {near!r}? " if near else ""
            raise OdebenchError(
                f"No plugin registers {name!r} as a solver, a gradient method or a model; {hint}"
                "`odebench list solvers` and its like show all."
            )
        chosen += found
    return chosen


def _report(job: Job) -> PluginReport:
    results, running, left = _results_of(job)
    faults = _faults(job, f"{running} was running" if running else "its checks had not begun")
    fault = _result_of(job).get("fault")
    faults += [_plain(fault)] if fault else []
    if left and (faults or running):
        faults.append(f"{len(left)} checks were not run: {', '.join(left)}.")
    return PluginReport(
        **{key: job.label[key] for key in ("kind", "name", "distribution", "version")},
        checks=tuple(results),
        faults=tuple(faults),
        seconds=job.message["seconds"] if job.message else 0.0,
        unavailable=_plain(reason) if (reason := _result_of(job).get("unavailable")) else None,
        plugin=job.label["local_file"] or job.label["prefix"] or "odebench",
        ended=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        **_circumstances(job),
    )


def _results_of(job: Job) -> tuple[list[CheckResult], str | None, list[str]]:
    """The results that were written, the check that had begun and not ended, and those that had not begun."""
    results: list[CheckResult] = []
    running, left = None, []
    for line in job.read("checks.jsonl").splitlines():
        try:
            told = json.loads(line)
        except ValueError:  # cut off where the process was killed
            continue
        if "chosen" in told:
            left = list(told["chosen"])
        elif "begun" in told:
            running = told["begun"]
            left = [name for name in left if name != running]
        else:
            running = None
            outcome = (
                (KNOWN if told["known"] else FAILED) if told["failed"] else (SURPRISE if told["known"] else PASSED)
            )
            results.append(
                CheckResult(
                    check=told["ended"],
                    outcome=outcome,
                    said=_plain(told["said"] or ""),
                    reason=_plain(told["known"]) if told["known"] else None,
                    seconds=told["seconds"],
                )
            )
    return results, running, left


def _circumstances(job: Job) -> dict[str, Any]:
    """Where it was checked, and what the result depends on."""
    try:
        told = json.loads(job.read("circumstances.json"))
        return {"environment": told["environment"], "stamp": dict(told["stamp"])}
    except (ValueError, KeyError, TypeError):
        return {}


def _result_of(job: Job) -> dict[str, Any]:
    try:
        result = json.loads(job.read("result.json"))
    except ValueError:
        return {}
    return result if isinstance(result, dict) else {}


def _faults(job: Job, doing: str) -> list[str]:
    """What the way in which a process ended says against its plugin."""
    message = job.message
    if message is None:
        return [f"It took the process along that supervises it, while {doing}."]
    faults = []
    if message["timed_out"]:
        faults.append(f"It was stopped after {job.limit_s:g} s, while {doing}: it hangs, or needs a longer --timeout.")
    elif (code := message["exit_code"]) < 0:
        name = signal.Signals(-code).name if -code in signal.valid_signals() else f"signal {-code}"
        faults.append(f"Its process was killed by {name}, while {doing}.")
    elif not job.read("result.json"):
        faults.append(f"Its process left with exit code {code}, while {doing}.")
    if message["left_behind"]:
        faults.append("It left processes running, which had to be killed.")
    if message["output_bytes"]:
        shown = _plain(message["output"].strip(), _LONGEST_SHOWN)
        faults.append(
            f"It printed {message['output_bytes']} bytes, while a plugin returns what it has to say: “{shown}”."
        )
    return faults


def _plain(text: str, longest: int | None = None) -> str:
    """Text from a plugin's process that cannot command a terminal: what is not printable is spelt out."""
    spelt = "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)
    return spelt if longest is None or len(spelt) <= longest else spelt[: longest - 2] + " …"


def _bare(name: str) -> str:
    return name.rpartition(":")[2]


def _short(place: str) -> str:
    return Path(place).name if place.endswith(".py") else place
