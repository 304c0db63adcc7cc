"""What `details` found, in the words that `show` and `list` print."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from odebench.cli.output import count

_POWERS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
# A coefficient of more digits than this is shown rounded; `--json` has them all.
_SHORT = 14


def stability_lines(stability: dict[str, Any] | None) -> list[str]:
    """R and where it is at most 1."""
    if stability is None:
        return ["unknown: there is no tableau, and its steps are not the powers of one function"]
    top, bottom = (_polynomial(stability[part]) for part in ("numerator", "denominator"))
    lines = [f"R(z) = {top}" if bottom == "1" else f"R(z) = ({top}) / ({bottom})"]
    if stability["from"] != "tableau":
        lines[0] += "   (measured)"
    if stability["l_stable"]:
        return [*lines, "L-stable: |R| ≤ 1 on the whole left half plane, and R(∞) = 0"]
    if stability["a_stable"]:
        return [*lines, "A-stable: |R| ≤ 1 on the whole left half plane"]
    real, imaginary = (end_words(stability[name]) for name in ("real_end", "imaginary_end"))
    return [*lines, f"|R| ≤ 1 on the negative real axis up to {real}, on the imaginary axis up to {imaginary}"]


def end_words(end: float | None) -> str:
    """Where stability ends on an axis."""
    return "∞" if end is None else f"{end:.3g}" if end else "0"


def cost_words(cost: dict[str, Any] | None) -> str | None:
    """What a step costs, as counted."""
    if cost is None:
        return None
    forward = count_words(cost["forward"], "evaluation")
    if cost["vjps"] is None:
        return forward
    backward = f"{number_words(cost['backward'])} backward, {count_words(cost['vjps'], 'VJP')}"
    return f"{forward} forward, {backward} (with {cost['solver']})"


def number_words(value: float) -> str:
    """A count of a step: whole, or an average over steps with one decimal."""
    return f"{value:.0f}" if value == round(value) else f"{value:.1f}"


def count_words(value: float, noun: str) -> str:
    """The same with its noun."""
    return count(int(value), noun) if value == round(value) else f"{value:.1f} {noun}s"


def pairs_lines(pairs: dict[str, Any], noun: str) -> list[str]:
    """How many of the other kind it works with, and why not with each of the rest; equal reasons stand together."""
    together: dict[str, list[str]] = {}
    for name, reason in pairs["without"].items():
        general = reason.replace(f"Solver {name!r}", "It").replace(repr(name), "it")
        together.setdefault(general, []).append(name)
    total = len(pairs["with"]) + len(pairs["without"])
    number = "all" if not pairs["without"] else f"{len(pairs['with'])} of"
    lines = [f"works with {number} {count(total, noun)}"]
    return lines + [f"not with {', '.join(names)}: {reason}" for reason, names in together.items()]


def problem_lines(problem: dict[str, Any] | None) -> list[str]:
    """The shape of a problem."""
    if problem is None:
        return []
    lines = [
        f"state {state_words(problem['state'])}, {count(problem['times'], 'output time')} from {problem['start']:g} to "
        f"{problem['end']:g}, {count(problem['parameters'], 'parameter')}"
    ]
    lines += ["its solution is known in closed form"] if problem["closed_form"] else []
    lines += ["stiff"] if problem["stiff"] else []
    return lines + (["can be trained"] if problem["can_learn"] else [])


def state_words(state: list[list[int]]) -> str:
    """Shapes of a state's tensors: `64 × 2`, `32 × 2 and 32 × 1`."""
    return " and ".join(" × ".join(map(str, shape)) for shape in state)


def _polynomial(row: list[str]) -> str:
    terms = []
    for power, text in enumerate(row):
        value = Fraction(text)
        if value == 0:
            continue
        size = _coefficient(abs(value))
        factor = "" if power == 0 else "z" if power == 1 else f"z{str(power).translate(_POWERS)}"
        shown = factor if factor and size == "1" else f"{size} {factor}".strip()
        sign = "−" if value < 0 else "+"
        terms.append(f"{sign} {shown}" if terms else shown if value > 0 else f"−{shown}")
    return " ".join(terms) or "0"


def _coefficient(value: Fraction) -> str:
    """As a fraction where that is short: also one whose rounding to float64 was measured."""
    near = value.limit_denominator(10**4)
    if abs(near - value) <= Fraction(1, 10**13) * value:
        value = near
    return text if len(text := str(value)) <= _SHORT else f"{float(value):.7g}"
