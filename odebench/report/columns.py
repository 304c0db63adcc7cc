"""Every documented column of a result: its unit, its meaning, and how a figure shows it.

This one table drives `load()`, the scales and labels of figures, the headings of tables and the glossary of the page.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """What sort of figure a column holds; it decides units, scale and format."""

    IDENTITY = "says which question was asked"
    PARAMETER = "a number that the suite chose"
    OUTCOME = "how it ended"
    ERROR = "an error, relative and without unit"
    COUNT = "a count, free of noise"
    BYTES = "bytes, free of noise"
    SECONDS = "seconds, noisy"
    SCORE = "a score of a training"
    FLAG = "yes or no"
    TEXT = "words"


class Part(Enum):
    """Where in a record the value of a column stands."""

    CELL = "cell"
    RECORD = "record"
    QUALITY = "quality"
    MEMORY = "memory"
    TIMING = "timing"


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of the frame.

    Attributes:
        name: as in the frame; units stand in names.
        kind: what sort of figure it holds.
        meaning: one sentence.
        label: words for an axis or a heading, without the unit.
        unit: "s", "bytes", or "" where there is none.
        dtype: pandas' nullable dtype.
        part: where its value stands in a record.
        log: whether a log axis suits it wherever its values span decades.
        better: "lower", "higher", or None where neither is better.
    """

    name: str
    kind: Kind
    meaning: str
    label: str
    unit: str = ""
    dtype: str = "Float64"
    part: Part = Part.QUALITY
    log: bool = False
    better: str | None = None


def _text(name: str, label: str, meaning: str, part: Part, kind: Kind = Kind.IDENTITY) -> Column:
    return Column(name=name, kind=kind, meaning=meaning, label=label, dtype="string", part=part)


def _flag(name: str, label: str, meaning: str) -> Column:
    return Column(name=name, kind=Kind.FLAG, meaning=meaning, label=label, dtype="boolean", part=Part.TIMING)


def _asked(name: str, label: str, meaning: str, dtype: str = "Float64", log: bool = True) -> Column:
    return Column(name=name, kind=Kind.PARAMETER, meaning=meaning, label=label, dtype=dtype, part=Part.CELL, log=log)


def _error(name: str, label: str, meaning: str, part: Part = Part.QUALITY) -> Column:
    return Column(name=name, kind=Kind.ERROR, meaning=meaning, label=label, part=part, log=True, better="lower")


def _count(name: str, label: str, meaning: str, part: Part = Part.QUALITY) -> Column:
    return Column(
        name=name, kind=Kind.COUNT, meaning=meaning, label=label, dtype="Int64", part=part, log=True, better="lower"
    )


def _bytes(name: str, label: str, meaning: str) -> Column:
    return Column(
        name=name,
        kind=Kind.BYTES,
        meaning=meaning,
        label=label,
        unit="bytes",
        dtype="Int64",
        part=Part.MEMORY,
        log=True,
        better="lower",
    )


def _seconds(name: str, label: str, meaning: str, part: Part = Part.TIMING) -> Column:
    return Column(
        name=name, kind=Kind.SECONDS, meaning=meaning, label=label, unit="s", part=part, log=True, better="lower"
    )


def _score(name: str, label: str, meaning: str, better: str, log: bool = False) -> Column:
    return Column(name=name, kind=Kind.SCORE, meaning=meaning, label=label, log=log, better=better)


# In the order of the frame.
DOCUMENTED: tuple[Column, ...] = (
    _text("cell_id", "cell", "Hash of the question: all parameters, none of the versions.", Part.RECORD),
    _text("suite", "suite", "Name of the suite that asked.", Part.RECORD),
    _text("experiment", "experiment", "Experiments of the suite that hold this cell, joined by '; '.", Part.RECORD),
    _text("task", "task", "What was done with model, solver and gradient method.", Part.CELL),
    _text("model", "model", "The problem that was solved.", Part.CELL),
    _text("solver", "solver", "The method that stepped through time.", Part.CELL),
    _text(
        "gradient", "gradient method", "The method that differentiated the solution; missing without one.", Part.CELL
    ),
    _asked("steps", "steps asked", "Uniform steps that the suite asked for; missing for an adaptive solver.", "Int64"),
    _asked("step_size", "step size", "Step that the suite asked for, in the model's unit of time."),
    _asked("rtol", "relative tolerance", "Relative tolerance that the suite asked for; missing for fixed steps."),
    _asked("atol", "absolute tolerance", "Absolute tolerance that the suite asked for; missing for fixed steps."),
    _text("device", "device", "Where it ran: cpu, cuda, mps.", Part.CELL),
    _text("dtype", "number format", "Floating-point format of the state.", Part.CELL),
    _asked("threads", "threads", "Threads that torch was given.", "Int64", log=False),
    _asked("seed", "seed", "Seed of the model and its initial states.", "Int64", log=False),
    _text("outcome", "outcome", "How the cell ended; only `ok` counts as a success.", Part.RECORD, Kind.OUTCOME),
    _text("reason", "reason", "Why it ended so, where it is not ok.", Part.RECORD, Kind.OUTCOME),
    _error("error_final", "relative error of the final state", "Relative l2 error at t1 against the reference."),
    _error(
        "error_trajectory_max",
        "largest relative error over the output times",
        "Largest relative l2 error over the output times, against the reference.",
    ),
    _error(
        "error_trajectory_rms",
        "rms relative error over the output times",
        "Root mean square of the relative l2 errors over the output times, against the reference.",
    ),
    _text("reference", "reference", "Where the reference solution comes from.", Part.QUALITY, Kind.TEXT),
    Column(
        name="reference_digits",
        kind=Kind.SCORE,
        label="digits of the reference",
        better="higher",
        meaning="Decimal digits that the reference is good for; no error below ten times that is reported.",
    ),
    _error(
        "grad_error_y0",
        "error of the gradient in y0, continuous problem",
        "Relative l2 error of the gradient in y0 against that of the continuous problem.",
    ),
    _error(
        "grad_error_params",
        "error of the gradient in the parameters, continuous problem",
        "Relative l2 error of the gradient in the parameters against that of the continuous problem.",
    ),
    _error(
        "grad_error_discrete",
        "error of the gradient, same grid",
        "Relative l2 error of the gradient against the exact gradient of the discrete solution on the same grid, "
        "computed in float64.",
    ),
    _score("grad_cosine", "cosine to the true gradient", "Cosine between the gradient and the true one.", "higher"),
    _count("nfe_forward", "evaluations of the field, forward", "Evaluations of the vector field in the forward pass."),
    _count(
        "nfe_backward", "evaluations of the field, backward", "Evaluations of the vector field in the backward pass."
    ),
    _text(
        "nfe_method",
        "how evaluations were counted",
        "`counted` by the host, read from a `loop_counter`, or only `declared`.",
        Part.QUALITY,
        Kind.TEXT,
    ),
    _count("vjps", "vector-Jacobian products", "Vector-Jacobian products of the field."),
    _count("steps_accepted", "accepted steps", "Steps that the solver took and kept."),
    _count("steps_rejected", "rejected steps", "Steps that the solver took and threw away."),
    _bytes("memory_peak_bytes", "peak memory", "Most bytes alive at once beyond inputs and parameters."),
    _bytes("memory_forward_bytes", "memory after the forward pass", "Bytes alive between forward and backward pass."),
    _bytes("memory_left_bytes", "memory left", "Bytes alive after the backward pass beyond the gradients: a leak."),
    _text("memory_method", "how memory was measured", "Which instrument followed the memory.", Part.MEMORY, Kind.TEXT),
    _seconds("time_prepare_s", "time to prepare", "Warm-up, transfer and compilation, before the first call."),
    _seconds("time_first_s", "time of the first call", "The first timed call, never pooled with the rest."),
    _seconds("time_forward_s", "time, forward", "Forward pass; median of the samples of all processes."),
    _seconds("time_backward_s", "time, backward", "Backward pass; median of the samples of all processes."),
    _seconds("time_total_s", "time", "Forward and backward pass; median of the samples of all processes."),
    _flag("timing_valid", "timing valid", "No where another load, or threads behind our back, spoiled the timing."),
    _error("roundtrip_error", "round-trip error", "Relative l2 error after solving forward and then backward."),
    _score("loss_train", "training loss", "Loss on the training data at the end of the training.", "lower", log=True),
    _score("accuracy_train", "accuracy, training", "Share of the training data classified rightly.", "higher"),
    _score("accuracy_test", "accuracy, test", "Share of the test data classified rightly.", "higher"),
    _seconds("time_to_target_s", "time to target", "Time of training until the target was reached.", Part.QUALITY),
    _count("nfe_to_target", "evaluations to target", "Evaluations of the field until the target was reached."),
    _text("machine_id", "machine", "Hash of processor, memory, accelerator and operating system.", Part.RECORD),
    _text("odebench_version", "odebench", "Version of odebench that measured.", Part.RECORD),
    _text("plugin_versions", "versions", "Versions of torch and of the plugins that took part.", Part.RECORD),
)

# What helps to judge the documented columns, statistics of the timed samples, and why figures are missing; they come after.
DERIVED: tuple[Column, ...] = (
    _error(
        "grad_rounding",
        "what rounding does to the gradient, same grid",
        "Relative change of that exact gradient when the initial state changes by one unit in its last place: an error of "
        "this size is rounding, amplified by the grid.",
    ),
    _bytes(
        "memory_grid_bytes",
        "memory of the grid",
        "Bytes of the accepted steps that the solve returns, within the peak.",
    ),
    *(
        _seconds(f"time_{which}_{end}_s", f"{words}, {end} end", f"{end.capitalize()} end of the 95 % interval: {how}")
        for which, words in (("forward", "time, forward"), ("backward", "time, backward"), ("total", "time"))
        for end in ("low", "high")
        for how in ["bootstrap over processes, then samples; with one process, the spread of its samples."]
    ),
    *(
        _seconds(f"time_{which}_min_s", f"{words}, least", "The least of the timed samples.")
        for which, words in (("forward", "time, forward"), ("backward", "time, backward"), ("total", "time"))
    ),
    _count("timing_processes", "timing processes", "Processes that the timed samples come from.", Part.TIMING),
    _count("timing_samples", "timing samples", "Timed samples of all processes.", Part.TIMING),
    _flag("timing_indicative", "timing indicative", "Yes where fewer than three processes timed it: no proof."),
    _text("missing", "what is missing", "Why figures are missing, one sentence a column.", Part.RECORD, Kind.TEXT),
)

COLUMNS: dict[str, Column] = {column.name: column for column in (*DOCUMENTED, *DERIVED)}

_CHOICE_WORDS = {
    "model": "model",
    "solver": "solver",
    "gradient": "gradient method",
    "task": "task",
    "policy": "step policy",
    "grid": "grid",
}


def column(name: str) -> Column:
    """The description of any column of a frame, documented or not.

    A column `model.width` is the parameter `width` of the model; any other unknown name is a figure that a plugin's
    task gave, described as well as its name allows (a name that ends in `_s` or `_bytes` holds seconds or bytes).
    """
    if name in COLUMNS:
        return COLUMNS[name]
    owner, dot, parameter = name.partition(".")
    if dot and owner in _CHOICE_WORDS:
        words = _CHOICE_WORDS[owner]
        return Column(
            name=name, kind=Kind.PARAMETER, meaning=f"Parameter `{parameter}` of the {words}.",
            label=f"{parameter.replace('_', ' ')} of the {words}", part=Part.CELL, log=True,
        )  # fmt: skip
    words = name.replace("_", " ")
    if name.endswith("_s"):
        return _seconds(name, words[:-2], "A time that the task gave.", Part.QUALITY)
    if name.endswith("_bytes"):
        return _bytes(name, words[:-6], "A size that the task gave.")
    if "error" in name:
        return _error(name, words, "An error that the task gave.")
    return Column(name=name, kind=Kind.SCORE, meaning="A figure that the task gave.", label=words, log=True)


def names(kind: Kind) -> list[str]:
    """Names of the documented columns of one kind, in the order of the frame."""
    return [c.name for c in COLUMNS.values() if c.kind is kind]
