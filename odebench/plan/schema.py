"""The suite file's keys as types: what each may hold, and nothing about what the names in it mean."""

from __future__ import annotations

import datetime
import math
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveInt,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from odebench.amounts import parse_duration, parse_size
from odebench.outcome import Outcome
from odebench.plan.claim_text import read_claim
from odebench.plan.expression import ExpressionError

Entry = TypeVar("Entry")

#: What to do about an experiment without a grid.
NO_GRID = (
    "It says nothing about the steps: add `steps` or `step_size` for fixed-step solvers, `tolerance` for adaptive ones"
)


def _as_tuple(value: Any) -> Any:
    if not isinstance(value, list):
        return (value,)
    if not value:
        raise PydanticCustomError("empty_axis", "An axis needs at least one value: fill it, or delete the key")
    return tuple(value)


def _list_as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _seconds(value: Any) -> Any:
    return parse_duration(value) if isinstance(value, str) else _unitless(value, '"120s" or "2m"')


def _bytes(value: Any) -> Any:
    return parse_size(value) if isinstance(value, str) else _unitless(value, '"8GiB"')


def _unitless(value: Any, example: str) -> Any:
    raise PydanticCustomError("unitless", f"It must be a string with a unit, such as {example}")


# An axis is one value or a list of them.
Axis = Annotated[tuple[Entry, ...], BeforeValidator(_as_tuple)]
Text = Annotated[str, StringConstraints(min_length=1)]
# The name of a suite is the name of a folder on every system.
FolderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Dtype = Literal["float64", "float32", "bfloat16", "float16"]
Compile = bool | Literal["auto"]
OutcomeWord = Literal[tuple(outcome.word for outcome in Outcome)]
Seed = Annotated[int, Field(ge=0)]
Tolerated = Annotated[float, Field(ge=0)]
Length = Annotated[float, Field(gt=0)]


class Table(BaseModel):
    """A table of a suite: exact types, no unknown keys, not to be changed."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        validate_default=False,
    )


class ChoiceEntry(Table):
    """A plugin as a suite names it: `"rk4"`, or a table `{ name = "mlp-field", width = [32, 64] }` whose lists are axes."""

    name: Text
    parameters: dict[str, Any]

    @model_validator(mode="before")
    @classmethod
    def _from_toml(cls, value: Any) -> Any:
        return cls.split(value)

    @staticmethod
    def split(value: Any) -> Any:
        """Name and parameters, as the fields have them, from what stands in the file."""
        if isinstance(value, str):
            return {"name": value, "parameters": {}}
        if not isinstance(value, dict):
            raise PydanticCustomError(
                "choice",
                'It must be a name, or a table such as { name = "…", parameter = 1 }',
            )
        parameters = {key: item for key, item in value.items() if key != "name"}
        for key, item in parameters.items():
            _check_parameter(item, (key,))
        return {"parameters": parameters} | {key: value[key] for key in ("name",) if key in value}


class TaskEntry(ChoiceEntry):
    """A task as a suite names it; a key `step_policy` in its table is a choice of its own, or a list of them.

    Attributes:
        step_policy: what decides the step while the task learns; None where the suite says nothing.
    """

    step_policy: Axis[ChoiceEntry] | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_toml(cls, value: Any) -> Any:
        if not isinstance(value, dict) or "step_policy" not in value:
            return ChoiceEntry.split(value)
        rest = {key: item for key, item in value.items() if key != "step_policy"}
        return ChoiceEntry.split(rest) | {"step_policy": value["step_policy"]}


class ToleranceEntry(Table):
    """What an adaptive solver aims at: `1e-6` for both, or `{ rtol = 1e-6, atol = 1e-9, batch = "per-sample" }`."""

    rtol: Tolerated
    atol: Tolerated
    batch: Literal["joint", "per-sample"] = "joint"

    @model_validator(mode="before")
    @classmethod
    def _from_toml(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return value
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise PydanticCustomError(
                "tolerance",
                "It must be a number, or a table such as { rtol = 1e-6, atol = 1e-9 }",
            )
        return {"rtol": value, "atol": value}

    @model_validator(mode="after")
    def _not_both_zero(self) -> ToleranceEntry:
        if self.rtol == 0 and self.atol == 0:
            raise PydanticCustomError(
                "tolerance",
                "Both tolerances are zero, which no step meets: raise one above zero",
            )
        return self


class Budget(Table):
    """What every cell runs under. `timeout_s` is in seconds, `memory_bytes` in bytes; `repeats` are timed calls in a round."""

    device: Axis[Text] = ("cpu",)
    dtype: Axis[Dtype] = ("float32",)
    threads: Axis[PositiveInt] = (1,)
    compile: Axis[Compile] = (False,)
    processes: PositiveInt = 3
    repeats: PositiveInt = 7
    timeout_s: Annotated[float, BeforeValidator(_seconds), Field(alias="timeout")] = 120.0
    memory_bytes: Annotated[int, BeforeValidator(_bytes), Field(alias="memory")] = 8 * 2**30


class Experiment(Table):
    """The product of its axes. `device`, `dtype`, `threads` and `compile` are None where the budget, or the training, says them.

    Attributes:
        trained: names of the experiments whose trainings this one reads: it is asked of each of their cells, with the model and
            the seed of that cell.
        factor: multiples of the step, or of the tolerance, with which those trainings ended.
    """

    name: Text
    task: TaskEntry
    trained: Axis[Text] | None = None
    model: Annotated[Axis[ChoiceEntry] | None, Field(validate_default=True)] = None
    solver: Axis[ChoiceEntry]
    gradient: Axis[ChoiceEntry] | None = None
    steps: Axis[PositiveInt] | None = None
    step_size: Axis[Length] | None = None
    tolerance: Axis[ToleranceEntry] | None = None
    factor: Axis[Length] | None = None
    seed: Axis[Seed] = (0,)
    device: Axis[Text] | None = None
    dtype: Axis[Dtype] | None = None
    threads: Axis[PositiveInt] | None = None
    compile: Axis[Compile] | None = None

    @field_validator("model", "seed", mode="before")
    @classmethod
    def _comes_with_the_training(cls, value: Any, info: ValidationInfo) -> Any:
        """Model and seed are asked for exactly where no training brings them."""
        trained = info.data.get("trained")
        if trained is not None and value is not None:
            raise PydanticCustomError("of_training", "The training in `trained` brings its own: delete the key")
        if trained is None and value is None and "trained" in info.data:
            raise PydanticCustomError("missing", "Add it")
        return value

    @field_validator("factor", mode="after")
    @classmethod
    def _multiplies_a_training(cls, value: Any, info: ValidationInfo) -> Any:
        if value is not None and info.data.get("trained", ()) is None:
            raise PydanticCustomError(
                "no_training",
                "It multiplies the step with which a training ended, and the experiment names none: add `trained`, or use `steps`, "
                "`step_size` or `tolerance`",
            )
        return value

    @property
    def divides_time(self) -> bool:
        """Whether it says anything about the steps."""
        return any(axis is not None for axis in (self.steps, self.step_size, self.tolerance, self.factor))

    @model_validator(mode="after")
    def _divides_time(self) -> Experiment:
        # A step policy may find the steps by itself; whether it does is known where its name is looked up.
        if not self.divides_time and self.task.step_policy is None:
            raise PydanticCustomError(
                "no_grid", NO_GRID + (", or `factor` of the training's own" if self.trained else "")
            )
        return self


def _claim(text: str) -> str:
    try:
        read_claim(text)
    except ExpressionError as error:
        raise PydanticCustomError("claim", "{fault}", {"fault": str(error)}) from error
    return text


class Claim(Table):
    """A sentence about the records: `that` is one of `claim_text`'s language, and stays as it is written.

    Attributes:
        name: what is claimed, in words.
        that: what is claimed, of the columns of the records.
        allow: outcomes besides `ok` that rows of its selections may have.
    """

    name: Text
    that: Annotated[Text, AfterValidator(_claim)]
    allow: Annotated[tuple[OutcomeWord, ...], BeforeValidator(_list_as_tuple)] = ()


class SuiteHead(Table):
    """`[suite]`: who it is, and which local code it wants."""

    name: FolderName
    title: str = ""
    plugins: Annotated[tuple[Text, ...], BeforeValidator(_list_as_tuple)] = ()


class PluginPlace(Table):
    """`[plugins.NAME]`: where an installed plugin lives, if not in the interpreter that runs the suite.

    Attributes:
        interpreter: path of another one, relative to the suite's file.
    """

    interpreter: Text


class SuiteFile(Table):
    """A whole suite file."""

    schema_version: Annotated[int, Field(alias="schema")]
    suite: SuiteHead
    plugins: dict[Text, PluginPlace] = {}
    budget: Budget = Budget()
    experiment: Annotated[tuple[Experiment, ...], BeforeValidator(_list_as_tuple), Field(min_length=1)]
    claim: Annotated[tuple[Claim, ...], BeforeValidator(_list_as_tuple)] = ()


def _check_parameter(value: Any, at: tuple[str | int, ...]) -> None:
    """Refuse what a parameter cannot be; the error's `at` leads to it from the table."""
    if isinstance(value, list):
        if not value and len(at) == 1:
            raise PydanticCustomError(
                "empty_axis",
                "A list is an axis and needs at least one value",
                {"at": at},
            )
        for index, item in enumerate(value):
            _check_parameter(item, (*at, index))
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_parameter(item, (*at, key))
    elif isinstance(value, float) and not math.isfinite(value):
        raise PydanticCustomError("not_finite", "It must be a finite number", {"at": at})
    elif isinstance(value, datetime.date | datetime.time):
        raise PydanticCustomError(
            "date",
            "A parameter is a number, a string, a boolean, a list or a table",
            {"at": at},
        )
