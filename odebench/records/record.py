"""What a cell gave: the stored form of a record, read with its schema checked, and how its outcome follows from its parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationError

from odebench.errors import RecordError, nearest
from odebench.outcome import Outcome

#: The schema that is written.
SCHEMA = 1
#: Version → what turns a record of that version into one of the next. Old records are migrated when read, never edited.
MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
#: The parts of a record in the order in which they decide its outcome.
PARTS = ("quality", "memory", "timing")


def _outcome(value: Any) -> Any:
    if isinstance(value, str):
        words = [outcome.word for outcome in Outcome]
        if value not in words:
            raise ValueError(
                f"{value!r} is no outcome; did you mean {nearest(value, words)!r}? One of {', '.join(words)}"
            )
        return Outcome.from_word(value)
    return value


def as_tuple(value: Any) -> Any:
    """A list of JSON as the tuple that a frozen model holds; anything else as it is, for validation to refuse."""
    return tuple(value) if isinstance(value, list) else value


def _figure(value: Any) -> Any:
    if value is not None and not isinstance(value, bool | int | float | str):
        raise ValueError(f"a figure is a number, a string, a boolean or null, and this is a {type(value).__name__}")
    return value


StoredOutcome = Annotated[Outcome, BeforeValidator(_outcome), PlainSerializer(lambda outcome: outcome.word)]
Names = Annotated[tuple[str, ...], BeforeValidator(as_tuple)]
Samples = Annotated[tuple[float | None, ...], BeforeValidator(as_tuple)]
Figure = Annotated[Any, BeforeValidator(_figure)]


class Stored(BaseModel):
    """Exact types, finite numbers, not to be changed."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)


class Measured(Stored):
    """What every measurement tells; further keys that a worker writes are kept.

    Attributes:
        outcome: how it ended.
        reason: why, where that is not `OK`.
        traceback: of the error, scrubbed.
        seconds: wall time that it took altogether.
    """

    model_config = ConfigDict(extra="allow")

    outcome: StoredOutcome
    reason: str | None = None
    traceback: str | None = None
    seconds: float | None = None


class Part(Measured):
    """Quality or memory: figures by column, and for each null among them why it is null."""

    values: dict[str, Figure] = {}
    reasons: dict[str, str] = {}


class Round(Measured):
    """One timing round, a fresh process.

    Attributes:
        round: its number, from 0.
        samples: seconds of each timed call, by column; every sample is kept.
        time_first_s: the first call, never pooled with the rest.
        time_prepare_s: warm-up and compilation.
        cpu_over_wall: CPU time over wall time.
        valid: whether the machine was this round's alone and nothing else spoilt it; else `reason_invalid` says what did.
    """

    round: Annotated[int, Field(ge=0)]
    samples: dict[str, Samples] = {}
    time_first_s: float | None = None
    time_prepare_s: float | None = None
    cpu_over_wall: float | None = None
    valid: bool = True
    reason_invalid: str | None = None


class Timing(Stored):
    """All timing rounds, by number."""

    rounds: Annotated[tuple[Round, ...], BeforeValidator(as_tuple)] = ()


class Parts(Stored):
    """What was measured so far; None is not measured."""

    quality: Part | None = None
    memory: Part | None = None
    timing: Timing | None = None


class Record(Stored):
    """One cell on one machine.

    Attributes:
        schema_version: stored as `schema`.
        cell_id: hash of the question, `cell` the question itself.
        suite, experiments: who asks it.
        freshness: hash of what could change the answer.
        machine_id: hash of where it was measured.
        versions: of odebench, torch and the distributions that the cell uses.
        outcome: the first that is not `OK` among quality, memory and timing, or what planning settled.
        reason, traceback: of that outcome.
        outcome_of: outcomes of the parts.
        parts: the figures.
    """

    schema_version: Annotated[int, Field(alias="schema")] = SCHEMA
    cell_id: Annotated[str, Field(pattern="^[0-9a-f]{16}$")]
    cell: dict[str, Any]
    suite: str
    experiments: Names
    freshness: str
    machine_id: Annotated[str, Field(pattern="^[0-9a-f]{16}$")]
    versions: dict[str, str] = {}
    outcome: StoredOutcome = Outcome.OK
    reason: str | None = None
    traceback: str | None = None
    outcome_of: dict[str, StoredOutcome] = {}
    parts: Parts = Parts()

    def to_json(self) -> dict[str, Any]:
        """The record as JSON values; parts that were not measured are left out."""
        data = self.model_dump(mode="json", by_alias=True)
        data["parts"] = {name: part for name, part in data["parts"].items() if part is not None}
        return data

    @classmethod
    def from_json(
        cls, data: Any, migrations: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] | None = None
    ) -> Record:
        """The record that `to_json` of this or an earlier version wrote.

        Args:
            data: JSON values.
            migrations: None takes `MIGRATIONS`.

        Raises:
            RecordError: it is no record, or of a newer schema.
        """
        data = _migrated(data, MIGRATIONS if migrations is None else migrations)
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"]))
            more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
            raise RecordError(f"this is no record: `{where}`: {first['msg']}{more}") from None

    @property
    def curable(self) -> bool:
        """Whether it ended by a fault of the machine, such as data that were not there: the next run asks again."""
        rounds = self.parts.timing.rounds if self.parts.timing else ()
        measured = (part for part in (self.parts.quality, self.parts.memory, *rounds) if part is not None)
        return any((part.model_extra or {}).get("curable") for part in measured)

    def with_part(self, name: str, measured: Part | Round) -> Record:
        """This record with a part replaced, or a timing round added or replaced, and the outcome that follows.

        Raises:
            RecordError: a record has no part of that name, or the part is not of its type.
        """
        wanted = {"quality": Part, "memory": Part, "timing": Round}.get(name)
        if wanted is None or not isinstance(measured, wanted):
            raise RecordError(
                f"{type(measured).__name__} given as part {name!r} of cell {self.cell_id}. Parts are quality and memory, a `Part`, "
                f"and timing, given one `Round` at a time."
            )
        new = measured
        if isinstance(measured, Round):
            others = () if self.parts.timing is None else self.parts.timing.rounds
            rounds = [*(other for other in others if other.round != measured.round), measured]
            new = Timing(rounds=tuple(sorted(rounds, key=lambda one: one.round)))
        return self.settled_by(self.parts.model_copy(update={name: new}))

    def settled_by(self, parts: Parts) -> Record:
        """This record with these parts and the outcome that follows from them."""
        decisive = {name: found for name in PARTS if (found := _decisive(parts, name)) is not None}
        first = next((part for part in decisive.values() if part.outcome is not Outcome.OK), None)
        return self.model_copy(
            update={
                "parts": parts,
                "outcome_of": {name: part.outcome for name, part in decisive.items()},
                "outcome": first.outcome if first else Outcome.OK,
                # Every outcome but OK has a reason; the outcome's own sentence is the least there is to say.
                "reason": (first.reason or first.outcome.value) if first else None,
                "traceback": first.traceback if first else None,
            }
        )


def _decisive(parts: Parts, name: str) -> Measured | None:
    """What decides the outcome of a part: of timing, the first round that did not end well, or the first."""
    part = getattr(parts, name)
    if isinstance(part, Timing):
        bad = (one for one in part.rounds if one.outcome is not Outcome.OK)
        return next(bad, part.rounds[0] if part.rounds else None)
    return part


def _migrated(data: Any, migrations: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]]) -> dict[str, Any]:
    version = data.get("schema") if isinstance(data, dict) else None
    if isinstance(version, bool) or not isinstance(version, int):
        raise RecordError("this is no record: it has no `schema`")
    newest = max([SCHEMA, *(known + 1 for known in migrations)])
    if version > newest:
        raise RecordError(f"its schema is {version}, and this odebench reads up to {newest}: install a newer odebench")
    while version < newest:
        if version not in migrations:
            raise RecordError(f"its schema {version} is not known to this odebench, which writes {newest}")
        data = migrations[version](dict(data)) | {"schema": version + 1}
        version += 1
    return data
