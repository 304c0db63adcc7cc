"""`--set budget.repeats=3`: replace one key of a suite from outside the file."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from typing import Any

from odebench.errors import SuiteError
from odebench.plan.messages import choose, describe, key_path

_PATH = re.compile(r"[A-Za-z0-9_-]+(\[\d+\])*(\.[A-Za-z0-9_-]+(\[\d+\])*)*")
_PART = re.compile(r"[A-Za-z0-9_-]+|\[(\d+)\]")
_BARE_WORD = re.compile(r"[A-Za-z0-9_./:-]+")


@dataclass(frozen=True, kw_only=True)
class Override:
    """One replaced key.

    Attributes:
        path: keys and indices from the top of the file.
        value: what stands there instead.
        text: as the user wrote it.
    """

    path: tuple[str | int, ...]
    value: Any
    text: str


def parse_override(text: str) -> Override:
    """Read `path=value`; the value is TOML, and a bare word without quotes (`cuda`, `2m`) is a string.

    Raises:
        SuiteError: no `=`, a path that is none, a value that is neither TOML nor a word.
    """
    path, equals, value = (part.strip() for part in text.partition("="))
    if not equals or not _PATH.fullmatch(path):
        raise SuiteError(
            f"`--set {text}` is not `path=value`. Write a key and a TOML value, as in `--set budget.repeats=3`."
        )
    parts = tuple(int(match[1]) if match[1] else match[0] for match in _PART.finditer(path))
    try:
        parsed = tomllib.loads(f"value = {value}")
        if parsed.keys() != {"value"}:
            raise tomllib.TOMLDecodeError("more than one value")
        return Override(path=parts, value=parsed["value"], text=text)
    except tomllib.TOMLDecodeError as error:
        if _BARE_WORD.fullmatch(value):
            return Override(path=parts, value=value, text=text)
        raise SuiteError(
            f'`--set {text}`: {value!r} is no TOML value ({error}). Quote it for the shell and for TOML: --set \'{path}=["a", "b"]\'.'
        ) from error


def apply_override(raw: dict[str, Any], override: Override) -> None:
    """Replace the key in `raw`, in place; tables on the way to a new key are made, list entries must exist.

    Raises:
        SuiteError: the path leads through something that is no table or list, or past the end of a list.
    """
    *way, last = override.path
    place: Any = raw
    for depth, part in enumerate(way):
        if isinstance(place, dict) and isinstance(part, str) and part not in place:
            # An unknown key on the way is reported by validation, with the nearest known one, unless an index follows.
            place[part] = {}
        place = _at(place, part, override, depth)
    _at(place, last, override, len(way), assign=True)
    place[last] = override.value


def _at(place: Any, part: str | int, override: Override, depth: int, *, assign: bool = False) -> Any:
    where = key_path(override.path[:depth]) or "the suite"
    if isinstance(part, int) and isinstance(place, list):
        if part < len(place):
            return place[part]
        raise SuiteError(
            f"`--set {override.text}`: `{where}` has {len(place)} entries, counted from 0; there is no [{part}]."
        )
    if isinstance(part, str) and isinstance(place, dict):
        return place.get(part) if assign else place[part]
    hint = (
        choose(part, map(str, place))
        if isinstance(place, dict)
        else "Write the whole key, as in `experiment[0].steps=[64]`."
    )
    raise SuiteError(f"`--set {override.text}`: `{where}` is {describe(place)}, which has no {part!r}. {hint}")
