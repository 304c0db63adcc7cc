"""What `odebench check` found, as `show` and the catalogue tell it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odebench.errors import OdebenchError

if TYPE_CHECKING:
    from odebench.plugins import Entry


def conformance_of(report: Mapping[str, Any], entry: Entry) -> dict[str, Any]:
    """How many checks of a plugin passed, are known to fail and fail, what was said of those, when, and whether it still holds.

    `changed` tells what the result depends on and is another thing today: it is empty where the result still holds, and None where
    the report does not say what it depends on.

    Args:
        report: a plugin's part of `odebench check --json`.
        entry: the plugin, as it is now.
    """
    from odebench.conformance.kept import changes, stamp_of
    from odebench.conformance.running import KNOWN, PASSED

    known = [one for one in report["checks"] if one["outcome"] == KNOWN]
    failures = {one["check"]: one["said"] for one in report["checks"] if one["outcome"] not in (KNOWN, PASSED)}
    failures |= {f"fault {number}": fault for number, fault in enumerate(report["faults"], 1)}
    return {
        "passed": sum(one["outcome"] == PASSED for one in report["checks"]),
        "known": len(known),
        "failed": len(failures),
        "failures": failures,
        "unavailable": report.get("unavailable"),
        "ended": report.get("ended") or None,
        "changed": changes(stamp, stamp_of(entry)) if (stamp := report.get("stamp")) else None,
    }


def last_conformance(entry: Entry) -> dict[str, Any] | None:
    """What `odebench check` found when it last checked this plugin here; None where it did not."""
    from odebench.conformance.kept import kept

    report = kept(entry)
    return None if report is None else conformance_of(report, entry)


def read_checks(path: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """The reports in a file written by `odebench check --all --json`, by kind and name.

    Raises:
        OdebenchError: it is no such file.
    """
    try:
        reports = json.loads(path.read_text(encoding="utf-8"))["plugins"]
        return {(one["kind"], one["name"]): one for one in reports if {"checks", "faults"} <= set(one)}
    except (OSError, ValueError, KeyError, TypeError) as cause:
        raise OdebenchError(
            f"{path}: this holds no checks ({type(cause).__name__}: {cause}). Write it with `odebench check --all --json > {path.name}`."
        ) from cause


def conformance_lines(found: Mapping[str, Any] | None, name: str) -> list[str]:
    """The same for people; None where nothing is known."""
    if found is None:
        return [f"not checked here: `odebench check {name}` does"]
    if found["unavailable"]:
        return [f"cannot be used here: {found['unavailable']}"]
    counts = f"{found['passed']} checks passed, {found['known']} known to fail, {found['failed']} failed"
    when = [f"checked at {found['ended']}"] if found["ended"] else []
    if found["changed"]:
        when.append(f"OUT OF DATE: {'; '.join(found['changed'])}. `odebench check {name}` checks again")
    return [counts, *when, *(f"{check}: {said}" for check, said in found["failures"].items())]
