"""What `odebench check` found, as `show` and the catalogue tell it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from odebench.errors import OdebenchError


def conformance_of(report: Mapping[str, Any]) -> dict[str, Any]:
    """How many checks of a plugin passed, are known to fail and fail, and what was said of those.

    Args:
        report: a plugin's part of `odebench check --json`.
    """
    from odebench.conformance.running import KNOWN, PASSED

    known = [one for one in report["checks"] if one["outcome"] == KNOWN]
    failures = {one["check"]: one["said"] for one in report["checks"] if one["outcome"] not in (KNOWN, PASSED)}
    failures |= {f"fault {number}": fault for number, fault in enumerate(report["faults"], 1)}
    return {
        "passed": sum(one["outcome"] == PASSED for one in report["checks"]),
        "known": len(known),
        "failed": len(failures),
        "failures": failures,
    }


def read_checks(path: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """What a file written by `odebench check --all --json` says, by kind and name.

    Raises:
        OdebenchError: it is no such file.
    """
    try:
        reports = json.loads(path.read_text(encoding="utf-8"))["plugins"]
        return {(one["kind"], one["name"]): conformance_of(one) for one in reports}
    except (OSError, ValueError, KeyError, TypeError) as cause:
        raise OdebenchError(
            f"{path}: this holds no checks ({type(cause).__name__}: {cause}). Write it with `odebench check --all --json > {path.name}`."
        ) from cause


def conformance_lines(found: Mapping[str, Any]) -> list[str]:
    """The same for people."""
    counts = f"{found['passed']} checks passed, {found['known']} known to fail, {found['failed']} failed"
    return [counts, *(f"{check}: {said}" for check, said in found["failures"].items())]
