"""The verdict, from intervals and measured errors, and how it is said."""

from __future__ import annotations

from collections.abc import Sequence

from odebench.validation.result import Tried, Verdict


def verdict_of(judged: Sequence[Tried], threshold: float) -> tuple[Verdict, int | None]:
    """The verdict, and how many samples would decide it where it is undecided and a number would.

    Several intervals are looked at, each of the given level. *A flow* needs all of them inside, so that no correction is due: the
    risk of calling a model a flow whose score changes by more than the threshold under one of the solvers is that of this one
    interval, at most half of 1 - level (an intersection-union test: R. L. Berger, J. C. Hsu, "Bioequivalence trials,
    intersection-union tests and equivalence confidence sets", Statistical Science 11, 1996). *Tied* needs one of them outside: its
    risk is at most half of 1 - level for each solver that is judged, and as these are nearly the same solution, mostly that of one;
    whoever wants less raises `level`.
    """
    if any(one.place == "outside" for one in judged):
        return Verdict.TIED, None
    if judged and all(one.place == "inside" for one in judged):
        return Verdict.FLOW, None
    # What is inside stays there with more samples.
    across = [one for one in judged if one.place == "across"]
    beyond = [one.samples_needed for one in across if abs(one.change) > threshold]
    within = [one.samples_needed for one in across if abs(one.change) <= threshold]
    if any(number is not None for number in beyond):
        return Verdict.UNDECIDED, min(number for number in beyond if number is not None)
    if not within or None in within or beyond:
        return Verdict.UNDECIDED, None
    return Verdict.UNDECIDED, max(within)


def worst_of(judged: Sequence[Tried], place: str | None = None) -> Tried:
    """The one of the largest change, among those of one place where it is given."""
    return max((one for one in judged if place in (None, one.place)), key=lambda one: abs(one.change))


def sentence_of(
    verdict: Verdict, own: Tried, judged: Sequence[Tried], metric: str, percent: bool, threshold: float, level: float,
    samples: int, samples_needed: int | None,
) -> str:  # fmt: skip
    """The verdict with its reason, for a reader."""
    by = Said(percent)
    inside = f"± {by.difference(threshold)}"
    if verdict is Verdict.FLOW:
        worst = worst_of(judged)
        return (
            f"A flow: under {_count(len(judged), 'solver')} whose measured error is that of {own.label} or smaller, {metric} "
            f"{f'changes by {by.difference(abs(worst.change))} at most' if worst.change else 'does not change'}, and all {level:.0%} "
            f"intervals lie inside {inside}."
        )
    if verdict is Verdict.TIED:
        worst = _clearest([one for one in judged if one.place == "outside"])
        way = "falls" if worst.change < 0 else "rises"
        return (
            f"Tied to its solver: under {worst.label}, {_errors(own, worst)}, {metric} {way} from {by.value(own.metric)} to "
            f"{by.value(worst.metric)}, by {by.difference(abs(worst.change))} ({level:.0%} interval {by.interval(worst)}), "
            f"which lies wholly outside {inside}."
        )
    if not judged:
        return f"Undecided: no solver that was tried has an error as small as that of {own.label} itself. Try finer steps, or others."
    across = worst_of(judged, "across")
    do = (
        f"about {samples_needed:,} samples that spread like these {samples:,} would do"
        if samples_needed is not None
        else f"no number of samples that spread like these {samples:,} would do, because the change is as large as the threshold"
    )
    return (
        f"Undecided: under {across.label}, {_errors(own, across)}, {metric} "
        f"{f'changes by {by.change(across.change)}' if across.change else 'does not change'} ({level:.0%} "
        f"interval {by.interval(across)}), which lies neither inside nor outside {inside}; {do}."
    )


def _clearest(outside: Sequence[Tried]) -> Tried:
    """The most accurate of those that change the score: a change far from the model's own solver, and nearest to the solution."""
    if any(one.error is None for one in outside):
        return worst_of(outside)
    return min(outside, key=lambda one: one.error)


class Said:
    """Numbers of a metric as a reader wants them."""

    def __init__(self, percent: bool) -> None:
        self.percent = percent

    def value(self, value: float) -> str:
        """A value of the metric."""
        return f"{100 * value:.1f} %" if self.percent else f"{value:.4g}"

    def difference(self, value: float) -> str:
        """A difference, without a sign of its own."""
        return f"{_trimmed(100 * value)} points" if self.percent else f"{value:.3g}"

    def change(self, value: float) -> str:
        """A difference with its sign."""
        sign = "−" if value < 0 else "+" if value > 0 else ""
        return sign + self.difference(abs(value))

    def interval(self, tried: Tried) -> str:
        """The interval of a change."""
        low, high = (100 * end if self.percent else end for end in (tried.low, tried.high))
        return f"{low:.3g} to {high:.3g}".replace("-", "−").replace("inf", "∞")


def _trimmed(value: float) -> str:
    return f"{value:.2f}" if 0 < value < 0.1 else f"{value:.1f}".removesuffix(".0")


def _errors(own: Tried, other: Tried) -> str:
    if own.error is None or other.error is None:
        return "whose error is not known"
    for digits in range(2, 7):
        less, more = f"{other.error:.{digits}g}", f"{own.error:.{digits}g}"
        if less != more:
            return f"with an error of {less} instead of {more}"
    return f"with an equal error of {own.error:.2g}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"all {number} {noun}s"
