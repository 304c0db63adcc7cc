"""The short answer: which solver and which gradient method, at which cost, and whether to trust it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from odebench.report.equal_error import equal_error
from odebench.report.figures.selection import drawn, studies
from odebench.report.gradient_summary import summarise
from odebench.report.labels import joined, with_labels
from odebench.report.learners import critical_steps, size_words, swaps
from odebench.report.quantity import ratio, shown
from odebench.report.tables.methods import memory_range

# Evaluations within this factor are as good as equal: the interpolation knows no better.
_AS_GOOD = 1.05


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One row of the answer, in words.

    Attributes:
        question: what is answered, such as `solver for lotka-volterra at error ≤ 1e-06`.
        answer: the method.
        cost: what it costs.
        trust: what speaks for or against it.
        tone: "good" for an answer, "bad" where there is none, "" for one among several methods.
    """

    question: str
    answer: str
    cost: str
    trust: str
    tone: str = ""


def headline(frame: pd.DataFrame) -> list[Answer]:
    """Short answers from a loaded frame: the best solver of each model at equal error, then every gradient method.

    One tells of timings that were disturbed, if there are any: costs hold undisturbed ones only. The last ones tell up to which
    step trained models are flows.
    Rows of several machines in one frame are answered machine by machine.
    """
    machines = frame["machine_id"].nunique()
    answers = []
    for machine, rows in frame.groupby("machine_id", dropna=False, sort=True):
        labelled = rows if "model_label" in rows.columns else with_labels(rows)
        where = f"machine {str(machine)[:8]}: " if machines > 1 else ""
        solves = labelled[~studies(labelled)]
        if len(solves):
            answers += _solvers(solves, where) + _gradients(solves, where) + _times(solves, where)
        answers += _critical_steps(labelled, where)
    return answers


def _solvers(frame: pd.DataFrame, where: str) -> list[Answer]:
    answers = []
    for (model, setting, target), group in equal_error(frame).groupby(["model", "setting", "target"], sort=False):
        question = f"{where}solver for {joined([model, setting])} at error ≤ {target:g}"
        nearest = group["least_error"].min()
        group = group[group["nfe"].fillna(math.inf) < math.inf].sort_values("nfe")
        if group.empty:
            cost = "" if pd.isna(nearest) else f"the least error of all is {shown('error_final', nearest)}"
            answers.append(
                Answer(
                    question=question, answer="none gets there", cost=cost, trust="finer grids would tell", tone="bad"
                )
            )
            continue
        best = group.iloc[0]
        equals = [str(row["solver"]) for _, row in group.iloc[1:].iterrows() if row["nfe"] <= _AS_GOOD * best["nfe"]]
        cost = f"{'≤ ' if best['nfe_bound'] else ''}{shown('nfe_forward', best['nfe'])} evaluations"
        if pd.notna(best["time_s"]):
            cost += f", {shown('time_forward_s', best['time_s'])}" + (" (indicative)" if best["indicative"] else "")
        trust = [f"reference good for {best['digits']:.0f} digits" if pd.notna(best["digits"]) else "reference unknown"]
        if equals:
            trust.append(f"as good: {', '.join(equals)}")
        if best["failed"]:
            trust.append(f"{best['failed']} of its {best['cells']} cells failed")
        answers.append(
            Answer(question=question, answer=str(best["solver"]), cost=cost, trust="; ".join(trust), tone="good")
        )
    return answers


def _gradients(frame: pd.DataFrame, where: str) -> list[Answer]:
    answers = []
    several = frame.loc[frame["gradient"].notna(), "model_label"].nunique() > 1
    for one in summarise(frame):
        if one.model:
            continue
        cost = [f"{memory_range(one)} a step"] if one.bytes_high is not None else []
        if one.time_ratio is not None and one.gradient != one.baseline:
            doubt = " (indicative)" if one.indicative else ""
            cost.append(f"{ratio(one.time_ratio)} the time of {one.baseline}{doubt}")
        trust = {True: "exact", False: "not exact", None: "exactness"}[one.is_exact]
        trust += f" ({one.exact} of {one.judged} cells)" if one.judged else " not judged"
        if one.is_exact is False:
            trust += f", off by up to {shown('grad_error_discrete', one.worst_discrete)}"
        if one.ok < one.cells:
            trust += f"; {one.cells - one.ok} of {one.cells} cells failed"
        answers.append(
            Answer(
                question=f"{where}gradient method{', all models' if several else ''}",
                answer=one.gradient,
                cost=", ".join(cost),
                trust=trust,
            )
        )
    return answers


def _times(frame: pd.DataFrame, where: str) -> list[Answer]:
    """One row about the timings that are not told, rather than a word in each row that lacks one."""
    timed = drawn(frame, "timing_valid")
    disturbed = int((~timed["timing_valid"].astype(bool)).sum())
    if not disturbed:
        return []
    cost = "no time is told above" if disturbed == len(timed) else "times that are missing above were disturbed"
    return [
        Answer(
            question=f"{where}times",
            answer=f"{disturbed} of {len(timed)} disturbed",
            cost=cost,
            trust="--force on an idle machine measures them again",
            tone="bad",
        )
    ]


def _critical_steps(frame: pd.DataFrame, where: str) -> list[Answer]:
    """Up to which training step the models are flows, where trained ones were tested with other solvers."""
    answers = []
    for (model, who, tolerance), critical in critical_steps(swaps(frame)).items():
        if not critical.findings:
            continue
        bound = f"{100 * critical.threshold:g} points"
        at = {one.step: one for one in critical.findings}
        words = [
            f"{size_words(step, tolerance)}: {shown('accuracy_change', at[step].worst).lstrip('+')}"
            for step in (critical.step, critical.above)
            if step is not None
        ]
        counts = sorted({one.seeds for one in critical.findings})
        seeds = " to ".join(map(str, dict.fromkeys((counts[0], counts[-1]))))
        trust = [f"{seeds} seed{'' if counts == [1] else 's'} a step"]
        if critical.exceptions:
            smaller = ", ".join(size_words(step, tolerance) for step in critical.exceptions)
            trust.append(f"but no flow at {smaller}, which is finer")
        answers.append(
            Answer(
                question=f"{where}coarsest {'tolerance' if tolerance else 'step'} at which {model}, trained with {who}, is a flow",
                answer="none of those tried" if critical.step is None else size_words(critical.step, tolerance),
                cost=f"worst change of the accuracy, at most {bound} allowed: {'; '.join(words)}",
                trust="; ".join(trust),
                tone="bad" if critical.step is None else "good",
            )
        )
    return answers
