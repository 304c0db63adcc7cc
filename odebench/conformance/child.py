"""The child: loads one plugin and runs the checks of one thing that it offers, in a process that nobody needs afterwards."""

from __future__ import annotations

import inspect
import json
import os
import sys
import time
import traceback
import warnings
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

# `torch.func` and others import it when first used, which takes a second and changes the environment: before any check.
import torch._dynamo

from odebench.conformance.checks import CHECKED_KINDS, checks_of, unavailable
from odebench.conformance.failure import Failure
from odebench.conformance.kept import stamp_of
from odebench.conformance.parametrize import refuse_stale_known_failures
from odebench.plugins import ENTRY_POINT_GROUP, Registry, build_registry

REQUEST_FILE = "request.json"
RESULT_FILE = "result.json"
LINES_FILE = "checks.jsonl"
CIRCUMSTANCES_FILE = "circumstances.json"
WORK_FOLDER = "work"
#: Frames of an unexpected error that are told, from its end.
_FRAMES = 3
_NEEDS = (
    "It cannot be checked as it is: {} must be given. Give a default; or check instances of it in a test, with "
    "`odebench.conformance.parametrize_with_checks([…])`."
)


def serve(folder: Path, begun: int) -> None:
    """Do what `folder`'s request asks, and leave the result there.

    Args:
        folder: absolute, with a request in it: `task` is "list" or "check".
        begun: descriptor to which a byte is written when the time limit begins: at once, since loading may hang.
    """
    os.write(begun, b".")
    os.close(begun)
    request = json.loads((folder / REQUEST_FILE).read_text(encoding="utf-8"))
    os.chdir(folder / WORK_FOLDER)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    warnings.simplefilter("ignore")  # they are the author's business, and would stand in what the plugin prints
    prefix, local_file = request["prefix"], request["local_file"]
    registry = build_registry(
        prefixes=() if prefix is None else (prefix,), local_files=() if local_file is None else (local_file,)
    )
    if request["task"] == "list":
        result = _listed(registry, prefix, local_file)
    else:
        result = _checked(registry, request["kind"], request["name"], folder / LINES_FILE)
    temporary = folder / f"{RESULT_FILE}.tmp"
    temporary.write_text(json.dumps(result), encoding="utf-8")
    os.replace(temporary, folder / RESULT_FILE)


def _listed(registry: Registry, prefix: str | None, local_file: str | None) -> dict[str, Any]:
    """What a plugin offers that there are checks for, why it did not load, and which other plugins are installed."""
    plugin = local_file or prefix or "odebench"
    entries = [entry for kind in CHECKED_KINDS for entry in registry.entries(kind) if entry.origin.plugin == plugin]
    return {
        "entries": [
            {"kind": entry.kind, "name": entry.name, "distribution": entry.distribution, "version": entry.version}
            for entry in entries
        ],
        "failures": [failure.message for failure in registry.failures if failure.plugin == plugin],
        "prefixes": sorted({point.name for point in metadata.entry_points(group=ENTRY_POINT_GROUP)}),
    }


def _checked(registry: Registry, kind: str, name: str, lines: Path) -> dict[str, Any]:
    """Run all checks of one entry, and write a line before and after each."""
    try:
        entry = registry.get(kind, name)
        circumstances = {"environment": sys.prefix, "stamp": stamp_of(entry)}
        (lines.parent / CIRCUMSTANCES_FILE).write_text(json.dumps(circumstances), encoding="utf-8")
        if missing := [name for name, default in entry.parameters().items() if default is inspect.Parameter.empty]:
            return {"fault": _NEEDS.format(", ".join(missing))}
        plugin = entry.build()
        if reason := unavailable(plugin):
            return {"fault": None, "unavailable": reason}
        chosen = checks_of(plugin)
        refuse_stale_known_failures(plugin, chosen)
    except Exception as error:  # noqa: BLE001 - a plugin's code, or what it declares
        return {"fault": f"It cannot be checked. {_told(error)}"}
    with lines.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"chosen": [check.__name__ for check in chosen]}) + "\n")
        for check in chosen:
            known = plugin.known_failures.get(check.__name__)
            file.write(json.dumps({"begun": check.__name__, "known": known}) + "\n")
            file.flush()
            start = time.perf_counter()
            try:
                said, failed = check(plugin), False
            except Failure as failure:
                said, failed = str(failure), True
            except BaseException as error:  # noqa: BLE001 - sys.exit in a plugin, too, is its check's failure
                said, failed = f"The check could not be finished: {_told(error)}", True
            seconds = time.perf_counter() - start
            ended = {"ended": check.__name__, "failed": failed, "said": said, "known": known, "seconds": seconds}
            file.write(json.dumps(ended) + "\n")
            file.flush()
    return {"fault": None}


def _told(error: BaseException) -> str:
    """An error nobody foresaw, with the last places that it passed."""
    if isinstance(error, SystemExit):
        return f"it tried to leave the process: sys.exit({error.code!r})"
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    places = ", ".join(f"{Path(frame.filename).name}:{frame.lineno} in {frame.name}" for frame in frames)
    return f"{type(error).__name__}: {error} (at {places})"


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
