"""What a registered plugin says about itself, as plain data for `list` and `show`."""

from __future__ import annotations

import inspect
import json
from fractions import Fraction
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from odebench.plugins import Entry

#: What each kind declares, in the order in which it is shown.
DECLARED = {
    "solver": ("order", "adaptive", "implicit", "stages", "carry_is", "differentiable", "has_compiled_form"),
    "gradient": ("exact_for_discretisation", "memory", "compiled_memory"),
    "model": (),
    "task": ("needs_gradient",),
    "step_policy": ("chooses_first",),
}

# Characters of a coefficient that is shown with all its digits.
_LONGEST = 45


def describe(entry: Entry) -> dict[str, Any]:
    """Everything that `show` tells about an entry, as JSON values; figures that depend on parameters are those of the defaults."""
    instance, reason = instance_of(entry)
    told: dict[str, Any] = {
        "kind": entry.kind,
        "name": entry.name,
        "description": entry.description,
        "distribution": entry.distribution,
        "version": entry.version,
        "plugin": entry.origin.plugin,
        "parameters": [_parameter(name, default) for name, default in entry.parameters().items()],
    }
    told |= {name: _plain(getattr(instance, name, None)) for name in DECLARED[entry.kind]}
    text = inspect.getdoc(entry.factory) or ""
    told["text"] = text
    told["source"] = getattr(instance, "source", "") or _source_in(text)
    told["known_failures"] = dict(getattr(instance, "known_failures", {}))
    told["not_built"] = reason
    if entry.kind == "solver":
        told["unavailable"] = _plain(getattr(instance, "unavailable", None)) if reason is None else None
        told["used_code"] = dict(getattr(instance, "used_code", {})) if reason is None else {}
    if tableau := getattr(instance, "tableau", None):
        told["tableau"] = tableau_of(tableau)
        told["embedded_order"] = getattr(tableau, "embedded_order", None)
    return told


def instance_of(entry: Entry) -> tuple[Any, str | None]:
    """The plugin built with its defaults; else its class, and why it could not be built."""
    parameters = entry.parameters()
    missing = [name for name, default in parameters.items() if default is inspect.Parameter.empty]
    if missing:
        return entry.factory, f"It needs {', '.join(missing)}."
    try:
        return entry.build(), None
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin's code; the others are still to be shown
        return entry.factory, f"{type(error).__name__}: {error}"


def _parameter(name: str, default: Any) -> dict[str, Any]:
    required = default is inspect.Parameter.empty
    return {"name": name, "required": required, "default": None if required else _plain(default)}


def _plain(value: Any) -> Any:
    """A JSON value; `repr` of what is none, None for what a class leaves to its instances."""
    if isinstance(value, property) or callable(value):
        return None
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError):
        return repr(value)


def _source_in(text: str) -> str:
    """The paragraph of a docstring that begins with `Source:`."""
    paragraphs = (paragraph for paragraph in text.split("\n\n") if paragraph.lstrip().startswith("Source:"))
    return " ".join(next(paragraphs, "").removeprefix("Source:").split())


def tableau_of(tableau: Any) -> dict[str, Any] | None:
    """The coefficients of a Butcher tableau as text, `1/3` or all digits of a decimal; None where it is something else."""
    rows = {name: getattr(tableau, name, None) for name in ("c", "a", "b", "b_hat")}
    if rows["c"] is None or rows["a"] is None or rows["b"] is None:
        return None
    told: dict[str, Any] = {"a": [[fraction(value) for value in row] for row in rows.pop("a")]}
    return told | {name: None if row is None else [fraction(value) for value in row] for name, row in rows.items()}


def fraction(value: Any) -> str:
    """A coefficient as its source prints it: `2/9`, or a decimal whose power of ten nobody wants as a denominator."""
    value = Fraction(value)
    if value.denominator < 10**9:
        return str(value)
    for digits in range(9, 60):
        scaled = value * 10**digits
        if scaled.denominator == 1:
            sign, whole = ("-" if scaled < 0 else ""), str(abs(scaled.numerator)).rjust(digits + 1, "0")
            return f"{sign}{whole[:-digits]}.{whole[-digits:]}"
    return str(value)


def rounded(tableau: dict[str, Any]) -> dict[str, Any]:
    """The tableau with long coefficients, such as fractions of a root of many digits, as the nearest decimal of 17 digits."""
    short = lambda text: text if len(text) <= _LONGEST else f"{float(Fraction(text)):.17g}"  # noqa: E731
    rows = {name: row if row is None else [short(x) for x in row] for name, row in tableau.items() if name != "a"}
    return rows | {"a": [[short(x) for x in row] for row in tableau["a"]]}


def tableau_lines(tableau: dict[str, Any], width: int) -> list[str]:
    """A Butcher tableau as it is printed in books; where it is wider than `width`, one coefficient after the other."""
    rows = list(zip(tableau["c"], tableau["a"], strict=True)) + [("b", tableau["b"])]
    if tableau["b_hat"] is not None:
        rows.append(("b_hat", tableau["b_hat"]))
    head = max(len(name) for name, _ in rows)
    columns = max(len(row) for _, row in rows)
    widths = [max(len(row[place]) for _, row in rows if place < len(row)) for place in range(columns)]
    stages = len(tableau["c"])
    if head + 3 + sum(widths) + 2 * columns > width:
        return [
            f"{f'c[{place}] = {name}, a[{place}]' if place < stages else name} = ({', '.join(row)})"
            for place, (name, row) in enumerate(rows)
        ]
    lines = []
    for place, (name, row) in enumerate(rows):
        if place == stages:
            lines.append("-" * (head + 1) + "+" + "-" * (sum(widths) + 2 * columns))
        cells = "  ".join(cell.rjust(size) for cell, size in zip(row, widths, strict=False))
        lines.append(f"{name.rjust(head)} | {cells}".rstrip())
    return lines
