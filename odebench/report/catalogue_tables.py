"""The tables of the catalogue."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from odebench.report.tables.table import Heading, Table, Value

_NOTHING = Value("–", tone="quiet")


def tables_of(entries: Sequence[dict[str, Any]], pictures: Mapping[str, str]) -> dict[str, Table]:
    """A table for each kind that there is, by the kind's name, and `pairs`: what works with what."""
    kinds: dict[str, list[dict[str, Any]]] = {}
    for told in entries:
        kinds.setdefault(told["kind"], []).append(told)
    tables = {}
    if "solver" in kinds:
        tables["solver"] = _solvers(kinds["solver"], pictures)
    if "gradient" in kinds:
        tables["gradient"] = _gradients(kinds["gradient"])
    if "solver" in kinds and "gradient" in kinds:
        tables["pairs"] = _pairs(kinds["solver"], kinds["gradient"])
    if "model" in kinds:
        tables["model"] = _models(kinds["model"])
    if "task" in kinds:
        tables["task"] = _plain(
            kinds["task"], "task", "What a cell can ask.", {"needs a gradient method": "needs_gradient"}
        )
    if "step_policy" in kinds:
        caption = "What decides the step from iteration to iteration of a training."
        tables["step_policy"] = _plain(
            kinds["step_policy"], "step_policy", caption, {"finds the first step": "chooses_first"}
        )
    return tables


def _solvers(solvers: Sequence[dict[str, Any]], pictures: Mapping[str, str]) -> Table:
    headings = (
        Heading("solver"),
        Heading("stability", "where |R(z)| is at most 1, z = λ dt: the upper half; all pictures to one scale"),
        Heading("order", "of convergence at the end of the span", numeric=True),
        Heading("evaluations", "a step, of the field, counted on a small non-linear one", numeric=True),
        Heading("real axis", "|R| is at most 1 from 0 to minus this", numeric=True),
        Heading("imaginary axis", "|R| is at most 1 from 0 to plus and minus i times this", numeric=True),
        Heading(
            "per evaluation", "the stable piece of the real axis, divided by the evaluations of a step", numeric=True
        ),
        Heading("adaptive", "chooses its steps by a tolerance"),
        Heading("implicit", "a step solves equations"),
        *_checks_heading(solvers),
        Heading("what it is"),
        Heading("from"),
    )
    return Table(
        key="solver",
        title="Solvers",
        caption="Evaluations are counted. The pictures show where |R(z)| ≤ 1, the lower half is their mirror image; the two axes are "
        "stable so far. R follows from the tableau; where there is none it is measured, and left out where the steps are not powers "
        "of one function, as those of methods that look back.",
        headings=headings,
        rows=tuple(_solver(told, pictures, solvers) for told in solvers),
    )


def _solver(told: dict[str, Any], pictures: Mapping[str, str], solvers: Sequence[dict[str, Any]]) -> tuple[Value, ...]:
    stability, cost = told.get("stability"), told.get("cost")
    real = _end(stability, "real_end")
    per_evaluation = _NOTHING
    if stability and cost and cost["forward"]:
        end = math.inf if stability["real_end"] is None else stability["real_end"]
        per_evaluation = _number(end / cost["forward"])
    picture = _NOTHING
    if told["name"] in pictures:
        words = f"Stability region of {told['name']}: {real.text} on the negative real axis"
        picture = Value(words, sort=real.sort, picture=pictures[told["name"]])
    return (
        Value(told["name"]),
        picture,
        _number(told["order"]),
        _number(cost and cost["forward"]),
        real,
        _end(stability, "imaginary_end"),
        per_evaluation,
        _flag(told["adaptive"]),
        _flag(told["implicit"]),
        *_checks(told, solvers),
        Value(told["description"].replace("`", "")),
        _origin(told),
    )


def _gradients(methods: Sequence[dict[str, Any]]) -> Table:
    headings = (
        Heading("gradient method"),
        Heading("exact", "equals the gradient of the discrete solution to rounding"),
        Heading("memory", "claimed growth with the number of steps N and of stages s"),
        Heading("evaluations again", "of the field a step, in the backward pass, counted", numeric=True),
        Heading("VJPs", "vector-Jacobian products a step, counted", numeric=True),
        Heading("with", "the solver with which it was counted"),
        Heading("solvers", "with how many of them it works", numeric=True),
        *_checks_heading(methods),
        Heading("what it is"),
        Heading("from"),
    )
    rows = tuple(
        (
            Value(told["name"]),
            _flag(told["exact_for_discretisation"]),
            Value(told["memory"] or "–"),
            _number((cost := told.get("cost")) and cost["backward"]),
            _number(cost and cost["vjps"]),
            Value(cost["solver"]) if cost else _NOTHING,
            _number(len(told["solvers"]["with"]) if told.get("solvers") else None),
            *_checks(told, methods),
            Value(told["description"].replace("`", "")),
            _origin(told),
        )
        for told in methods
    )
    caption = "Each is given a solver and brings a backward of its own. The next table says which goes with which."
    return Table(key="gradient", title="Gradient methods", caption=caption, headings=headings, rows=rows)


def _pairs(solvers: Sequence[dict[str, Any]], methods: Sequence[dict[str, Any]]) -> Table:
    rows = []
    for told in solvers:
        reasons = (told.get("gradients") or {"without": {}})["without"]
        works = set((told.get("gradients") or {"with": ()})["with"])
        cells = [
            Value("yes", sort=1, tone="good")
            if one["name"] in works
            else Value(
                "no", sort=0, tone="quiet", meaning=reasons.get(one["name"], "One of the two could not be built.")
            )
            for one in methods
        ]
        rows.append((Value(told["name"]), *cells))
    return Table(
        key="pairs",
        title="Which gradient method works with which solver",
        caption="Rest the pointer on a “no” to read why.",
        headings=(Heading("solver"), *(Heading(one["name"], one["description"].replace("`", "")) for one in methods)),
        rows=tuple(rows),
    )


def _models(models: Sequence[dict[str, Any]]) -> Table:
    headings = (
        Heading("model"),
        Heading("state", "shape of the initial state, the batch first"),
        Heading("span", "length of the time span, in the problem's unit", numeric=True),
        Heading("parameters", "numbers in the field that gradients are asked for", numeric=True),
        Heading("closed form", "whether its solution is known"),
        Heading("stiff"),
        Heading("can be trained"),
        *_checks_heading(models),
        Heading("what it is"),
        Heading("from"),
    )
    rows = []
    for told in models:
        found = told.get("problem")
        rows.append(
            (
                Value(told["name"]),
                Value(" and ".join(" × ".join(map(str, shape)) for shape in found["state"])) if found else _NOTHING,
                _number(found and found["end"] - found["start"]),
                _number(found and found["parameters"]),
                *(_flag(found and found[key]) for key in ("closed_form", "stiff", "can_learn")),
                *_checks(told, models),
                Value(told["description"].replace("`", "")),
                _origin(told),
            )
        )
    caption = "With their defaults; every model has parameters that a suite can set."
    return Table(key="model", title="Models", caption=caption, headings=headings, rows=tuple(rows))


def _plain(entries: Sequence[dict[str, Any]], kind: str, caption: str, flags: dict[str, str]) -> Table:
    title = {"task": "Tasks", "step_policy": "Step policies"}[kind]
    return Table(
        key=kind,
        title=title,
        caption=caption,
        headings=(Heading("name"), *map(Heading, flags), Heading("what it is"), Heading("from")),
        rows=tuple(
            (
                Value(told["name"]),
                *(_flag(told[key]) for key in flags.values()),
                Value(told["description"].replace("`", "")),
                _origin(told),
            )
            for told in entries
        ),
    )


def _checks_heading(entries: Sequence[dict[str, Any]]) -> tuple[Heading, ...]:
    """A column for conformance, where any of them was checked."""
    known = any(told.get("conformance") for told in entries)
    meaning = "the last result of `odebench check` here; out of date where something has changed since, known where it is known to fail"
    return (Heading("conformance", meaning),) if known else ()


def _checks(told: dict[str, Any], entries: Sequence[dict[str, Any]]) -> tuple[Value, ...]:
    if not _checks_heading(entries):
        return ()
    found = told.get("conformance")
    if not found:
        return (Value("not checked", tone="quiet"),)
    if found["unavailable"]:
        return (Value("cannot be used here", tone="quiet", meaning=found["unavailable"]),)
    text = f"{found['passed']} passed"
    text += f", {found['known']} known" if found["known"] else ""
    text += f", {found['failed']} failed" if found["failed"] else ""
    if found["changed"]:
        return (Value(f"{text} – out of date", sort=-found["failed"] - 0.5, tone="quiet", meaning=_changed(found)),)
    return (Value(text, sort=-found["failed"], tone="bad" if found["failed"] else "good", meaning=_when(found)),)


def _changed(found: dict[str, Any]) -> str:
    return f"{_when(found)}; since then: {'; '.join(found['changed'])}"


def _when(found: dict[str, Any]) -> str:
    return f"checked at {found['ended']}" if found["ended"] else ""


def _number(value: float | None) -> Value:
    if value is None:
        return _NOTHING
    if math.isinf(value):
        return Value("∞", sort=math.inf)
    return Value(f"{value:,}" if isinstance(value, int) else f"{value:.3g}", sort=float(value))


def _end(stability: dict[str, Any] | None, name: str) -> Value:
    """Where stability ends on an axis."""
    return _NOTHING if not stability else _number(math.inf if stability[name] is None else stability[name])


def _flag(value: object) -> Value:
    return _NOTHING if value is None else Value("yes", sort=1) if value else Value("no", sort=0, tone="quiet")


def _origin(told: dict[str, Any]) -> Value:
    return Value(f"{told['distribution']} {told['version']}" if told["distribution"] else told["plugin"])
