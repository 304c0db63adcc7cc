"""Columns that only suites with trainings have: what was trained, how well, at which cost, and what became of it elsewhere."""

from __future__ import annotations

from odebench.report.column import (
    Column,
    Kind,
    Part,
    asked_column,
    count_column,
    flag_column,
    score_column,
    seconds_column,
    text_column,
)


def _number(name: str, label: str, meaning: str, better: str | None = None) -> Column:
    """A mean of counts, free of noise and not whole."""
    return Column(name=name, kind=Kind.COUNT, meaning=meaning, label=label, log=True, better=better)


def _amount(name: str, label: str, meaning: str, better: str | None = None) -> Column:
    return Column(name=name, kind=Kind.COUNT, meaning=meaning, label=label, dtype="Int64", better=better)


def _ended(name: str, label: str, meaning: str) -> Column:
    """A step or tolerance that was not asked for by number."""
    return Column(name=name, kind=Kind.PARAMETER, meaning=meaning, label=label, log=True)


# In the order of the frame, where any of its cells learns or needs a training.
TRAINING: tuple[Column, ...] = (
    text_column("policy", "step policy", "What decided the step while the model was trained.", Part.CELL),
    asked_column(
        "factor",
        "multiple of the trained step",
        "Multiple of the step, or of the tolerance, with which the training ended, that the suite asked for.",
    ),
    score_column(
        "loss_test", "test loss", "Loss on the whole test data, each example counted once.", "lower", log=True
    ),
    _amount("correct_test", "right answers, test", "Examples of the test data that are classified rightly.", "higher"),
    _amount("examples_test", "examples, test", "Examples of the test data, all of which are answered."),
    score_column(
        "accuracy_change",
        "change of the accuracy",
        "Accuracy on the test data minus that of the training with its own solver and its own last step.",
        "higher",
        kind=Kind.CHANGE,
    ),
    _amount(
        "changed_answers",
        "changed answers",
        "Examples of the test data that are answered otherwise than with the training's own solver and its own last step.",
        "lower",
    ),
    _amount(
        "crossings", "crossings", "Crossings of trajectories of different classes on the cell's own grid.", "lower"
    ),
    _amount(
        "crossings_fine", "crossings on a fine grid", "Crossings of the same trajectories on a fine grid.", "lower"
    ),
    _amount(
        "crossing_pairs",
        "pairs that cross",
        "Pairs of trajectories that cross at least once on the cell's own grid.",
        "lower",
    ),
    _amount("trajectories", "trajectories", "Trajectories that were solved and compared."),
    text_column(
        "verdict", "verdict", "Whether the trained model is a flow, tied to its solver, or undecided.", Part.QUALITY
    ),
    text_column("verdict_reason", "reason of the verdict", "The verdict with what says so.", Part.QUALITY, Kind.TEXT),
    flag_column(
        "tied", "tied to its solver", "Whether the verdict is that the model is tied to its solver.", Part.QUALITY
    ),
    score_column(
        "worst_change",
        "worst change",
        "Largest change of the score, in its size, under a solver whose measured error is as small as that of the model's own.",
        "higher",
    ),
    score_column("worst_change_low", "worst change, low", "Lower end of its interval.", "higher"),
    score_column("worst_change_high", "worst change, high", "Upper end of its interval.", "higher"),
    text_column(
        "worst_solver", "solver of the worst change", "The solver under which that was, and its steps.", Part.QUALITY
    ),
    _amount("solvers_tried", "solvers tried", "Other solvers and steps under which the model was scored."),
    _amount(
        "solvers_judged", "solvers judged", "Those of them whose measured error is as small as that of the model's own."
    ),
    Column(
        name="numerical_error",
        kind=Kind.ERROR,
        meaning="Relative l2 error of the final states by the model's own solver, on the data themselves.",
        label="error of the model's own solver",
        log=True,
        better="lower",
    ),
    _ended("tolerance", "tolerance", "Relative tolerance with which the test data were solved."),
    _amount("iterations", "iterations", "Steps that the optimiser took."),
    _amount("parameters_trained", "trained parameters", "Numbers that the training changes."),
    _ended(
        "step_size_final", "step size at the end", "Step with which the training ended, in the model's unit of time."
    ),
    _ended("tolerance_final", "tolerance at the end", "Relative tolerance with which the training ended."),
    count_column(
        "steps_final", "steps at the end", "Accepted steps of a solve with the final weights and the last step."
    ),
    _number(
        "nfe_mean",
        "evaluations an iteration",
        "Evaluations of the field in the forward pass of an iteration, those of the step policy included, a mean.",
        "lower",
    ),
    count_column("nfe_training", "evaluations of the training", "Evaluations of the field in all forward passes."),
    count_column(
        "nfe_checks", "evaluations of the step policy", "Evaluations of the field that the step policy asked for."
    ),
    seconds_column(
        "time_iteration_s",
        "time of an iteration",
        "Wall time of an iteration, the step policy included, a mean.",
        Part.QUALITY,
    ),
    text_column(
        "weights_sha256", "weights", "Hash of the final weights: equal ones are equal bit for bit.", Part.QUALITY
    ),
)
