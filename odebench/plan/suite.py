"""Reading a suite file: TOML, the chosen budget, overrides, validation; every fault as a `SuiteError` that says what to do."""

from __future__ import annotations

import hashlib
import os
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from odebench.errors import SuiteError
from odebench.plan.messages import choose, describe, explain, suite_error
from odebench.plan.overrides import apply_override, parse_override
from odebench.plan.schema import Budget, Claim, Experiment, SuiteFile
from odebench.plan.variant import with_budget

#: The newest suite schema that this version reads.
SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A suite that was read and checked; names of plugins in it are not looked up yet.

    Attributes:
        name, title: from `[suite]`.
        plugins: local plugin files, resolved relative to the suite's file. They are code: see `names_local_code`.
        interpreters: where installed plugins live that do not live here, by the plugin's name; resolved likewise, and code too.
        budget: the chosen budget, overrides applied.
        experiments, claims: in the order of the file.
        file: where it was read from.
        text: the file as it is, and `sha256` of it, hexadecimal.
        budget_name: the chosen `[budget.<name>]`, or None.
        overrides: as the user wrote them.
    """

    name: str
    title: str
    plugins: tuple[Path, ...]
    budget: Budget
    experiments: tuple[Experiment, ...]
    claims: tuple[Claim, ...]
    file: Path
    text: str
    sha256: str
    budget_name: str | None = None
    overrides: tuple[str, ...] = ()
    interpreters: Mapping[str, Path] = field(default_factory=dict)

    @property
    def names_local_code(self) -> bool:
        """Whether running it executes files that the suite names: ask the user before."""
        return bool(self.plugins or self.interpreters)


def read_suite(file: Path | str, *, budget: str | None = None, overrides: Sequence[str] = ()) -> Suite:
    """Read the suite at `file`.

    Args:
        file: a TOML file.
        budget: name of a `[budget.<name>]` table whose keys replace those of `[budget]`, and whose `[[budget.<name>.experiment]]` replace
            keys of experiments; None takes the suite as it is.
        overrides: `path=value` texts that replace keys last of all.

    Raises:
        SuiteError: the file is missing, is no TOML, or holds a key, type, value or name that a suite cannot have. All faults of
            one kind are named at once.
    """
    file = Path(file)
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        there = sorted(path.name for path in file.parent.glob("*.toml")) if file.parent.is_dir() else []
        hint = choose(file.name, there) if there else "Check the path."
        raise SuiteError(f"{file}: there is no such file. {hint}") from error
    except OSError as error:
        raise SuiteError(f"{file}: cannot be read: {error.strerror}. Give the path of a suite's TOML file.") from error
    except UnicodeDecodeError as error:
        raise SuiteError(
            f"{file}: byte {error.start} is not UTF-8, which TOML is written in. Save the file as UTF-8."
        ) from error
    return parse_suite(text, file, budget=budget, overrides=overrides)


def parse_suite(
    text: str,
    file: Path | str,
    *,
    budget: str | None = None,
    overrides: Sequence[str] = (),
) -> Suite:
    """As `read_suite`, from the text of the file; `file` names it in messages and anchors relative plugin paths."""
    file = Path(file)
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SuiteError(f"{file}: this is not TOML: {error}.{_line(text, str(error))}") from error
    _check_schema(raw, file)
    given = [parse_override(override) for override in overrides]
    raw = with_budget(raw, file, budget, given)
    try:
        parsed = SuiteFile.model_validate(raw)
    except ValidationError as error:
        raise suite_error(explain(error, raw, file, overrides=given)) from None
    _check_unique(parsed, file)
    return Suite(
        name=parsed.suite.name,
        title=parsed.suite.title or parsed.suite.name,
        plugins=_local_plugins(parsed.suite.plugins, file),
        budget=parsed.budget,
        experiments=parsed.experiment,
        claims=parsed.claim,
        file=file,
        text=text,
        sha256=hashlib.sha256(text.encode()).hexdigest(),
        budget_name=budget,
        overrides=tuple(overrides),
        interpreters={name: _beside(file, place.interpreter) for name, place in parsed.plugins.items()},
    )


def claims_of(text: str, file: Path | str, overrides: Sequence[str] = ()) -> tuple[Claim, ...]:
    """The claims of a suite that was read before, wherever its plugins and budgets have gone since.

    Args:
        text: the suite's file.
        file: names it in messages.
        overrides: as they were given then.

    Raises:
        SuiteError: the text is no TOML, or a claim cannot be read.
    """
    file = Path(file)
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SuiteError(f"{file}: the suite in it is not TOML: {error}. Run the suite again.") from error
    given = [override for override in map(parse_override, overrides) if override.path[0] == "claim"]
    for override in given:
        apply_override(raw, override)
    tables = raw.get("claim", [])
    try:
        return TypeAdapter(tuple[Claim, ...]).validate_python(tuple(tables) if isinstance(tables, list) else tables)
    except ValidationError as error:
        raise suite_error(explain(error, tables, file, ("claim",), given)) from None


def _line(text: str, message: str) -> str:
    """The line that tomllib's message points at, quoted."""
    words = message.rpartition("(at line ")[2].split(",")[0]
    lines = text.splitlines()
    if words.isdigit() and 0 < int(words) <= len(lines):
        return f" That line reads: {lines[int(words) - 1].strip()!r}"
    return ""


def _check_schema(raw: dict[str, Any], file: Path) -> None:
    """Before anything else: a newer schema may have keys that mean nothing here."""
    schema = raw.get("schema")
    if schema is None:
        raise SuiteError(f"{file}: `schema` is missing. Write `schema = {SCHEMA}` as the first line, above all tables.")
    if isinstance(schema, bool) or not isinstance(schema, int) or schema < 1:
        raise SuiteError(
            f"{file}: `schema` is {describe(schema)}. It is the version of the format: write `schema = {SCHEMA}`."
        )
    if schema > SCHEMA:
        raise SuiteError(
            f"{file}: `schema` is {schema}, and this odebench reads up to {SCHEMA}. Install a newer odebench, or write it for {SCHEMA}."
        )


def _check_unique(parsed: SuiteFile, file: Path) -> None:
    faults = []
    for key, tables in (("experiment", parsed.experiment), ("claim", parsed.claim)):
        first: dict[str, int] = {}
        for index, table in enumerate(tables):
            if table.name in first:
                faults.append(
                    f"{file}: `{key}[{index}].name` is {table.name!r}, and so is `{key}[{first[table.name]}].name`. "
                    f"Names tell results apart: rename one."
                )
            first.setdefault(table.name, index)
    if faults:
        raise suite_error(faults)


def _beside(file: Path, name: str) -> Path:
    """A path that a suite names. Links are not followed: the interpreter of a virtual environment is one."""
    return Path(os.path.abspath(file.parent / Path(name).expanduser()))


def _local_plugins(names: Iterable[str], file: Path) -> tuple[Path, ...]:
    paths = [(file.parent / name).resolve() for name in names]
    for index, (name, path) in enumerate(zip(names, paths, strict=True)):
        if not path.is_file():
            there = sorted(other.name for other in path.parent.glob("*.py")) if path.parent.is_dir() else []
            hint = choose(path.name, there) if there else ""
            raise SuiteError(
                f"{file}: `suite.plugins[{index}]` is {name!r}, and there is no file {path}. {hint} "
                f"Paths are relative to the suite's file."
            )
    return tuple(paths)
