"""Every documented column of a result: its unit, its meaning, and how a figure shows it.

This one table drives `load()`, the scales and labels of figures, the headings of tables and the glossary of the page.
"""

from __future__ import annotations

from dataclasses import replace

from odebench.report.column import Column as Column
from odebench.report.column import Kind as Kind
from odebench.report.column import Part as Part
from odebench.report.column import (
    asked_column,
    bytes_column,
    count_column,
    error_column,
    flag_column,
    score_column,
    seconds_column,
    text_column,
)
from odebench.report.compiled_columns import COMPILED as COMPILED
from odebench.report.evolving_columns import EVOLVING as EVOLVING
from odebench.report.training_columns import TRAINING as TRAINING

# In the order of the frame.
DOCUMENTED: tuple[Column, ...] = (
    text_column("cell_id", "cell", "Hash of the question: all parameters, none of the versions.", Part.RECORD),
    text_column("suite", "suite", "Name of the suite that asked.", Part.RECORD),
    text_column(
        "experiment", "experiment", "Experiments of the suite that hold this cell, joined by '; '.", Part.RECORD
    ),
    text_column("task", "task", "What was done with model, solver and gradient method.", Part.CELL),
    text_column("model", "model", "The problem that was solved.", Part.CELL),
    text_column("solver", "solver", "The method that stepped through time.", Part.CELL),
    text_column(
        "gradient", "gradient method", "The method that differentiated the solution; missing without one.", Part.CELL
    ),
    asked_column(
        "steps", "steps asked", "Uniform steps that the suite asked for; missing for an adaptive solver.", "Int64"
    ),
    asked_column("step_size", "step size", "Step that the suite asked for, in the model's unit of time."),
    asked_column("rtol", "relative tolerance", "Relative tolerance that the suite asked for; missing for fixed steps."),
    asked_column("atol", "absolute tolerance", "Absolute tolerance that the suite asked for; missing for fixed steps."),
    text_column("device", "device", "Where it ran: cpu, cuda, mps.", Part.CELL),
    text_column("dtype", "number format", "Floating-point format of the state.", Part.CELL),
    asked_column("threads", "threads", "Threads that torch was given.", "Int64", log=False),
    asked_column("seed", "seed", "Seed of the model and its initial states.", "Int64", log=False),
    text_column("outcome", "outcome", "How the cell ended; only `ok` counts as a success.", Part.RECORD, Kind.OUTCOME),
    text_column("reason", "reason", "Why it ended so, where it is not ok.", Part.RECORD, Kind.OUTCOME),
    error_column("error_final", "relative error of the final state", "Relative l2 error at t1 against the reference."),
    error_column(
        "error_trajectory_max",
        "largest relative error over the output times",
        "Largest relative l2 error over the output times, against the reference.",
    ),
    error_column(
        "error_trajectory_rms",
        "rms relative error over the output times",
        "Root mean square of the relative l2 errors over the output times, against the reference.",
    ),
    text_column("reference", "reference", "Where the reference solution comes from.", Part.QUALITY, Kind.TEXT),
    Column(
        name="reference_digits",
        kind=Kind.SCORE,
        label="digits of the reference",
        better="higher",
        meaning="Decimal digits that the reference is good for; no error below ten times that is reported.",
    ),
    error_column(
        "grad_error_y0",
        "error of the gradient in y0, continuous problem",
        "Relative l2 error of the gradient in y0 against that of the continuous problem.",
    ),
    error_column(
        "grad_error_params",
        "error of the gradient in the parameters, continuous problem",
        "Relative l2 error of the gradient in the parameters against that of the continuous problem.",
    ),
    error_column(
        "grad_error_discrete",
        "error of the gradient, same grid",
        "Relative l2 error of the gradient against the exact gradient of the discrete solution on the same grid, "
        "computed in float64.",
    ),
    score_column(
        "grad_cosine", "cosine to the true gradient", "Cosine between the gradient and the true one.", "higher"
    ),
    count_column(
        "nfe_forward", "evaluations of the field, forward", "Evaluations of the vector field in the forward pass."
    ),
    count_column(
        "nfe_backward", "evaluations of the field, backward", "Evaluations of the vector field in the backward pass."
    ),
    text_column(
        "nfe_method",
        "how evaluations were counted",
        "`counted` by the host, read from a `loop_counter`, or only `declared`.",
        Part.QUALITY,
        Kind.TEXT,
    ),
    count_column("vjps", "vector-Jacobian products", "Vector-Jacobian products of the field."),
    count_column("steps_accepted", "accepted steps", "Steps that the solver took and kept."),
    count_column("steps_rejected", "rejected steps", "Steps that the solver took and threw away."),
    bytes_column("memory_peak_bytes", "peak memory", "Most bytes alive at once beyond inputs and parameters."),
    bytes_column(
        "memory_forward_bytes", "memory after the forward pass", "Bytes alive between forward and backward pass."
    ),
    bytes_column(
        "memory_left_bytes", "memory left", "Bytes alive after the backward pass beyond the gradients: a leak."
    ),
    text_column(
        "memory_method", "how memory was measured", "Which instrument followed the memory.", Part.MEMORY, Kind.TEXT
    ),
    seconds_column("time_prepare_s", "time to prepare", "Warm-up, transfer and compilation, before the first call."),
    seconds_column("time_first_s", "time of the first call", "The first timed call, never pooled with the rest."),
    seconds_column("time_forward_s", "time, forward", "Forward pass; median of the samples of all processes."),
    seconds_column("time_backward_s", "time, backward", "Backward pass; median of the samples of all processes."),
    seconds_column("time_total_s", "time", "Forward and backward pass; median of the samples of all processes."),
    flag_column(
        "timing_valid", "timing valid", "No where another load, or threads behind our back, spoiled the timing."
    ),
    error_column("roundtrip_error", "round-trip error", "Relative l2 error after solving forward and then backward."),
    Column(
        name="roundtrip_factor",
        kind=Kind.SCORE,
        label="factor of the round trip",
        meaning="State after solving forward and then backward over the initial state, of the first row; 1 is right.",
    ),
    score_column(
        "loss_train", "training loss", "Loss on the training data at the end of the training.", "lower", log=True
    ),
    score_column(
        "accuracy_train",
        "accuracy, training",
        "Share of the training data classified rightly.",
        "higher",
        kind=Kind.SHARE,
    ),
    score_column(
        "accuracy_test", "accuracy, test", "Share of the test data classified rightly.", "higher", kind=Kind.SHARE
    ),
    seconds_column(
        "time_to_target_s", "time to target", "Time of training until the target was reached.", Part.QUALITY
    ),
    count_column("nfe_to_target", "evaluations to target", "Evaluations of the field until the target was reached."),
    text_column("machine_id", "machine", "Hash of processor, memory, accelerator and operating system.", Part.RECORD),
    text_column("odebench_version", "odebench", "Version of odebench that measured.", Part.RECORD),
    text_column("plugin_versions", "versions", "Versions of torch and of the plugins that took part.", Part.RECORD),
)

# What helps to judge the documented columns, statistics of the timed samples, and why figures are missing; they come after.
DERIVED: tuple[Column, ...] = (
    error_column(
        "grad_rounding",
        "what rounding does to the gradient, same grid",
        "Relative change of that exact gradient when the initial state changes by one unit in its last place: an error of "
        "this size is rounding, amplified by the grid.",
    ),
    bytes_column(
        "memory_grid_bytes",
        "memory of the grid",
        "Bytes of the accepted steps that the solve returns, within the peak.",
    ),
    *(
        seconds_column(
            f"time_{which}_{end}_s", f"{words}, {end} end", f"{end.capitalize()} end of the 95 % interval: {how}"
        )
        for which, words in (("forward", "time, forward"), ("backward", "time, backward"), ("total", "time"))
        for end in ("low", "high")
        for how in ["bootstrap over processes, then samples; with one process, the spread of its samples."]
    ),
    *(
        seconds_column(f"time_{which}_min_s", f"{words}, least", "The least of the timed samples.")
        for which, words in (("forward", "time, forward"), ("backward", "time, backward"), ("total", "time"))
    ),
    count_column("timing_processes", "timing processes", "Processes that the timed samples come from.", Part.TIMING),
    count_column("timing_samples", "timing samples", "Timed samples of all processes.", Part.TIMING),
    flag_column(
        "separable",
        "separable",
        "Yes where a linear layer could tell the classes apart by the final states; decided by a linear program.",
        Part.QUALITY,
    ),
    score_column(
        "separability_margin",
        "margin of the separation",
        "How far each coordinate of each final state could move without being taken for another class, relative to the "
        "largest distance of a coordinate from its mean; 0 where no linear layer tells the classes apart.",
        "higher",
    ),
    flag_column("timing_indicative", "timing indicative", "Yes where fewer than three processes timed it: no proof."),
    text_column(
        "missing", "what is missing", "Why figures are missing, one sentence a column.", Part.RECORD, Kind.TEXT
    ),
)

COLUMNS: dict[str, Column] = {
    column.name: column for column in (*DOCUMENTED, *DERIVED, *COMPILED, *TRAINING, *EVOLVING)
}

#: Leads the columns of the training that a cell needs: `trained.accuracy_test` is the training's own.
TRAINED = "trained."

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
    task gave, described as well as its name allows (a name that ends in `_s` or `_bytes` holds seconds or bytes). A column
    `trained.accuracy_test` is the `accuracy_test` of the training that the cell needs.
    """
    if name in COLUMNS:
        return COLUMNS[name]
    if name.startswith(TRAINED):
        own = column(name.removeprefix(TRAINED))
        return replace(
            own,
            name=name,
            meaning=f"Of the training that it needs: {own.meaning}",
            label=f"{own.label} of the training",
        )
    owner, dot, parameter = name.partition(".")
    if dot and owner in _CHOICE_WORDS:
        words = _CHOICE_WORDS[owner]
        return Column(
            name=name, kind=Kind.PARAMETER, meaning=f"Parameter `{parameter}` of the {words}.",
            label=f"{parameter.replace('_', ' ')} of the {words}", part=Part.CELL, log=True,
        )  # fmt: skip
    words = name.replace("_", " ")
    if name.endswith("_s"):
        return seconds_column(name, words[:-2], "A time that the task gave.", Part.QUALITY)
    if name.endswith("_bytes"):
        return bytes_column(name, words[:-6], "A size that the task gave.")
    if "error" in name:
        return error_column(name, words, "An error that the task gave.")
    return Column(name=name, kind=Kind.SCORE, meaning="A figure that the task gave.", label=words, log=True)


def names(kind: Kind) -> list[str]:
    """Names of the documented columns of one kind, in the order of the frame."""
    return [c.name for c in COLUMNS.values() if c.kind is kind]
