"""What is wrong with a suite, in words: file, key, what was found, the nearest valid word, what to do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from odebench.errors import SuiteError, nearest
from odebench.plan.schema import (
    Budget,
    ChoiceEntry,
    Claim,
    Experiment,
    PluginPlace,
    SuiteFile,
    SuiteHead,
    ToleranceEntry,
)

if TYPE_CHECKING:
    from odebench.plan.overrides import Override

KeyPath = tuple[str | int, ...]

_TABLES = {
    "suite": SuiteHead,
    "experiment": Experiment,
    "tolerance": ToleranceEntry,
    "claim": Claim,
}
_TYPES = {
    str: "a string",
    bool: "a boolean",
    int: "an integer",
    float: "a number",
    list: "a list",
}
_MUST_BE = {
    "string_type": "a string",
    "int_type": "an integer",
    "float_type": "a number",
    "finite_number": "a finite number",
    "tuple_type": "a list",
    "model_type": "a table",
    "dict_type": "a table",
    "greater_than": "above {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "string_pattern_mismatch": (
        "the name of a folder: letters, digits, '.', '_' and '-', beginning with a letter or a digit"
    ),
}
_ADD = {
    "`suite`": 'Add a table [suite] with `name = "…"`.',
    "`experiment`": "A suite asks at least one question: add a table [[experiment]].",
}
_MISSING = object()
#: Longer lists of known words are not worth reading in a message.
_FEW = 16
#: More faults than this are counted, not shown.
_SHOWN = 12


def suite_error(faults: Sequence[str]) -> SuiteError:
    """The error that tells these faults, or the first of many."""
    more = [f"… and {len(faults) - _SHOWN} more."] if len(faults) > _SHOWN else []
    return SuiteError("\n".join([*faults[:_SHOWN], *more]))


def key_path(path: Iterable[str | int]) -> str:
    """A path of keys and indices as text: `experiment[1].solver[2].name`; indices count from 0."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def choose(word: object, known: Iterable[str]) -> str:
    """ "Did you mean …?" where a known word is close, and all of them where they are few."""
    known = list(known)
    close = nearest(str(word), known)
    hint = f"Did you mean {close!r}? " if close else ""
    return (f"{hint}Known here: {', '.join(known)}." if 0 < len(known) <= _FEW else hint).strip()


def describe(value: object) -> str:
    """A value of a suite and its type, cut to a readable length."""
    if isinstance(value, dict) and value:
        return f"a table with {', '.join(map(str, value))}"
    text = repr(value)
    text = text if len(text) <= 60 else text[:57] + "…"
    kind = next(
        (name for cls, name in _TYPES.items() if type(value) is cls),
        type(value).__name__,
    )
    return f"{text} ({kind})"


def explain(
    error: ValidationError,
    raw: Any,
    file: Path | str,
    prefix: KeyPath = (),
    overrides: Sequence[Override] = (),
) -> list[str]:
    """One sentence or two for each thing that pydantic found wrong in `raw`, the suite as TOML gave it.

    Args:
        error: what validation raised.
        raw: the data that was validated.
        file: leads each message; the override that put the key there does instead, if one did.
        prefix: the keys that lead to `raw` in the file.
        overrides: those that were applied to it.
    """
    faults = []
    for detail in error.errors(include_url=False):
        path, found = _locate(raw, (*detail["loc"], *detail.get("ctx", {}).get("at", ())))
        sentence = _sentence(detail, raw, path, found, prefix)
        full = (*prefix, *path)
        blamed = next((o for o in overrides if full[: len(o.path)] == o.path), None)
        if sentence:
            faults.append(f"`--set {blamed.text}`: {sentence}" if blamed else f"{file}: {sentence}")
    return faults


def _sentence(detail: dict[str, Any], raw: Any, path: KeyPath, found: Any, prefix: KeyPath) -> str | None:
    """The fault in words; None where another fault of the same error says it better."""
    kind, context = detail["type"], detail.get("ctx", {})
    where = f"`{key_path((*prefix, *path))}`"
    table = _table_of((*prefix, *path))
    if kind == "extra_forbidden":
        return f"{where} is not a key of a suite. {choose(path[-1], _keys(table))} Rename or delete it."
    if kind == "missing":
        near = _misspelt(raw, path, table)
        if near and table is not ChoiceEntry:
            return None  # The misspelt key is a fault of its own, and names this one.
        return f"{where} is missing. " + (f"{near!r} stands there: rename it." if near else _ADD.get(where, "Add it."))
    got = f"{where}:" if found is _MISSING or kind == "no_grid" else f"{where} is {describe(found)}."
    if kind == "claim":
        return f"{where}: {detail['msg']}"  # It quotes the place that it points at.
    if kind == "literal_error":
        return f"{got} {choose(found, _quoted(context['expected']))}"
    if kind in _MUST_BE:
        return f"{got} It must be {_MUST_BE[kind].format(**context)}."
    if kind == "value_error":
        return f"{got} {_sentence_case(str(context['error']))}."
    if kind in ("too_short", "string_too_short"):
        return f"{got} It is empty. " + _ADD.get(where, "Fill it, or delete the key.")
    return f"{got} {detail['msg']}."


def _table_of(path: KeyPath) -> type[BaseModel]:
    """The type of the table that the last key of `path` stands in."""
    around = [part for part in path[:-1] if isinstance(part, str)]
    if not around:
        return SuiteFile
    if around[0] == "budget" and "experiment" not in around:
        return Budget
    if around[0] == "plugins":
        return PluginPlace
    return _TABLES.get(around[-1], ChoiceEntry)


def _locate(raw: Any, loc: KeyPath) -> tuple[KeyPath, Any]:
    """The path of `loc` in the file, and what stands there, or `_MISSING`.

    Validation adds steps that no file has: an index where a scalar stood for a list, a key where a bare name or number stood for
    a table, and "parameters".
    """
    path: list[str | int] = []
    value = raw
    for part in loc:
        if value is not _MISSING:
            if not isinstance(value, list if isinstance(part, int) else dict):
                continue
            if part == "parameters" and part not in value:
                continue
            there = part < len(value) if isinstance(part, int) else part in value
            value = value[part] if there else _MISSING
        path.append(part)
    return tuple(path), value


def _keys(table: type[BaseModel]) -> list[str]:
    return [info.alias or name for name, info in table.model_fields.items()]


def _misspelt(raw: Any, path: KeyPath, table: type[BaseModel]) -> str | None:
    """A key beside the missing one that its table does not have and that looks like it."""
    for part in path[:-1]:
        raw = raw[part]
    strangers = [key for key in raw if key not in _keys(table)] if isinstance(raw, dict) else []
    return nearest(str(path[-1]), strangers)


def _quoted(expected: str) -> list[str]:
    return [word for word in expected.split("'") if word.strip() and word.strip() not in {",", "or"}]


def _sentence_case(text: str) -> str:
    return text[:1].upper() + text[1:]
