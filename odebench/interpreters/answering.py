"""The child that speaks for the plugins of another interpreter: it is asked in lines of JSON, and answers each with one.

Run there as `python -m odebench.interpreters.answering REQUEST`, with the plugins to load; it ends with its standard input. What a
plugin raises is an answer too, told so that the asker can say the same as if the plugin were its own.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
from collections.abc import Mapping
from typing import IO, Any

from odebench.contract import Study
from odebench.errors import OdebenchError
from odebench.plan.cell import CellError, plain
from odebench.plugins import KINDS, Entry, Registry, build_registry
from odebench.run import processes


def answer(registry: Registry, question: Mapping[str, Any]) -> Any:
    """The answer to one question: to `describe` about all plugins, to others about one entry with parameters.

    Args:
        registry: the plugins there.
        question: `ask` is "describe", or "complete", "build" or "supports" with `kind`, `name` and `given`; "supports" has a
            `solver` with `name` and `given` besides.
    """
    if question["ask"] == "describe":
        return _described(registry, question["prefix"])
    entry = registry.get(question["kind"], question["name"])
    if question["ask"] == "complete":
        return plain(entry.completed(question["given"]))
    instance = entry.build(**question["given"])
    if question["ask"] == "build":
        return declared(instance, entry.kind)
    solver = question["solver"]
    reason = instance.supports(registry.get("solver", solver["name"]).build(**solver["given"]))
    return {"reason": reason} if reason is None or isinstance(reason, str) else {"no_reason": repr(reason)}


def declared(thing: Any, kind: str) -> dict[str, Any]:
    """What a plugin, or its class, declares of what the contract of its kind names: JSON values only, and what can be had."""
    promised = KINDS[kind][1]
    names = {name for cls in promised.__mro__ for name in (*vars(cls), *inspect.get_annotations(cls))}
    found = {}
    for name in sorted(name for name in names if not name.startswith("_")):
        try:
            value = getattr(thing, name)
            value = dict(value) if isinstance(value, Mapping) else value
            if not callable(value):
                found[name] = plain(value)
        except Exception:  # noqa: BLE001 - a plugin's property may raise anything, and a class's are no values
            continue
    return found


def told(error: BaseException) -> dict[str, Any]:
    """An exception as it crosses: of which class, what it says, and how it is shown."""
    text = str(error)
    return {
        "type": type(error).__name__,
        "text": text,
        "repr": repr(error),
        "ours": isinstance(error, OdebenchError),
    }


def _described(registry: Registry, prefix: str) -> dict[str, Any]:
    """What a plugin offers, or why it did not load."""
    entries = [entry for kind in KINDS for entry in registry.entries(kind) if entry.origin.plugin == prefix]
    failures = [failure for failure in registry.failures if failure.plugin == prefix]
    return {
        "entries": [_entry(entry) for entry in entries],
        "failures": [
            {"hook": failure.hook, "message": failure.message, "traceback": failure.traceback, "names": failure.names}
            for failure in failures
        ],
    }


def _entry(entry: Entry) -> dict[str, Any]:
    factory = entry.factory
    made_of = factory if isinstance(factory, type) else type(factory)
    about = {
        "kind": entry.kind,
        "name": entry.name,
        "text": inspect.getdoc(factory) or "",
        "declared": declared(factory, entry.kind),
        "study": issubclass(made_of, Study),
        "parameters": None,
        "fault": None,
    }
    try:
        given = entry.parameters()
        required = [name for name, default in given.items() if default is inspect.Parameter.empty]
        about["parameters"] = [
            [name, None if name in required else plain(default, f"{entry.name}.{name}"), name in required]
            for name, default in given.items()
        ]
    except CellError as error:
        about["fault"] = told(error) | {"cell": True}
    except Exception as error:  # noqa: BLE001 - a plugin's signature may raise anything
        about["fault"] = told(error)
    return about


def serve(request: Mapping[str, Any], questions: IO[str], answers: IO[str]) -> None:
    """Answer until there are no more questions."""
    registry = build_registry(prefixes=request["prefixes"], local_files=request["local_files"])
    for line in questions:
        try:
            reply = {"answer": answer(registry, json.loads(line))}
            text = json.dumps(reply)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin's code: whatever it raises is the answer
            text = json.dumps({"raised": told(error)})
        answers.write(text + "\n")
        answers.flush()


def main() -> None:
    """Give the asker a channel that no plugin prints into, then serve."""
    processes.die_with(os.getppid())
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    serve(json.loads(sys.argv[1]), sys.stdin, answers)


if __name__ == "__main__":
    main()
