"""What speaks for and against the figures of a report, as sentences."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from odebench.report.figures.selection import OK, UNSUPPORTED, drawn, studies
from odebench.report.statistics import PROCESSES_FOR_PROOF, noise_floor

# Timings that spread wider than this between their 95 % ends are worth a word.
_WIDE = 0.10
_SHORT_SECONDS = 1e-3


@dataclass(frozen=True)
class Remark:
    """One sentence and its tone: "good", "bad", or "" for what one should merely know."""

    text: str
    tone: str = ""


def remarks(frame: pd.DataFrame) -> list[Remark]:
    """What a reader of these rows should know before believing them."""
    found = [*_outcomes(frame), *_interpreters(frame), *_counters(frame)]
    solves = frame[~studies(frame)]
    # Trainings, and what needs them, are not timed and have no reference.
    return found if solves.empty else [*found, *_references(solves), *_memory(solves), *_times(solves)]


def _outcomes(frame: pd.DataFrame) -> Iterator[Remark]:
    asked = frame[frame["outcome"] != UNSUPPORTED]
    failed = asked[asked["outcome"] != OK]
    if failed.empty:
        yield Remark(f"All {len(asked)} cells that are offered ended ok.", "good")
    else:
        counts = ", ".join(f"{n} {word.replace('_', ' ')}" for word, n in failed["outcome"].value_counts().items())
        yield Remark(f"{len(failed)} of {len(asked)} cells failed ({counts}). Where methods are ranked, they count as "
                     "infinitely expensive.", "bad")  # fmt: skip


def _interpreters(frame: pd.DataFrame) -> Iterator[Remark]:
    """Cells of plugins that live in another interpreter name its Python among their versions; all others do not."""
    versions = drawn(frame)["plugin_versions"].fillna("")
    python = versions.str.extract(r"(?:^|, )python ([^,]+)", expand=False)
    if python.notna().any():
        torch = versions.str.extract(r"(?:^|, )torch ([^,]+)", expand=False)
        there, here = torch[python.notna()], torch[python.isna()]
        told = [" and ".join(sorted(set(python.dropna()))), *(f"torch {one}" for one in sorted(set(there.dropna())))]
        same = "the same torch as" if set(there.dropna()) == set(here.dropna()) else "another torch than"
        yield Remark(
            f"{len(there)} of {len(versions)} cells were measured in another interpreter ({', '.join(told)}), with {same} the rest."
        )


def _counters(frame: pd.DataFrame) -> Iterator[Remark]:
    methods = drawn(frame, "nfe_method")["nfe_method"].value_counts()
    declared = int(methods.drop(labels=["counted", "loop_counter"], errors="ignore").sum())
    if declared:
        yield Remark(f"In {declared} cells evaluations are only declared by the plugin, not counted.", "bad")
    elif len(methods):
        yield Remark("Evaluations were counted from outside the methods; they carry no noise.", "good")


def _references(frame: pd.DataFrame) -> Iterator[Remark]:
    digits = drawn(frame, "reference_digits").groupby("model")["reference_digits"].min()
    if len(digits):
        worst = digits.idxmin()
        yield Remark(
            f"References are good for {digits.min():.0f} digits or more (least: {worst}); no error below ten times that "
            "is reported."
        )
    without = sorted(set(drawn(frame)["model"].dropna()) - set(digits.index))
    if without:
        yield Remark(f"No digits are known for the references of {', '.join(without)}.", "bad")


def _memory(frame: pd.DataFrame) -> Iterator[Remark]:
    left = drawn(frame, "memory_left_bytes")
    leaking = left[left["memory_left_bytes"] > 0]
    if len(leaking):
        who = sorted(set(leaking["gradient"].fillna(leaking["solver"])))
        yield Remark(f"{len(leaking)} cells left memory behind after the backward pass ({', '.join(who)}).", "bad")
    methods = sorted(drawn(frame, "memory_method")["memory_method"].unique())
    if methods:
        yield Remark(f"Memory was measured to the byte by: {', '.join(methods)}.")


def _times(frame: pd.DataFrame) -> Iterator[Remark]:
    timed = drawn(frame, "time_total_s")
    if timed.empty:
        yield Remark("Nothing was timed.")
        return
    indicative = timed[timed["timing_indicative"].fillna(True)]
    if len(indicative):
        yield Remark(
            f"Times are indicative: {len(indicative)} of {len(timed)} cells were timed by fewer than "
            f"{PROCESSES_FOR_PROOF} processes, and differences between processes dominate.",
            "bad",
        )
    invalid = timed[~timed["timing_valid"].fillna(True)]
    if len(invalid):
        yield Remark(f"{len(invalid)} timings were disturbed; they are drawn hollow and never ranked.", "bad")
    floor = noise_floor(frame)
    if floor is None:
        yield Remark("The noise floor of the times is unknown: this suite times no twin pairs.")
    else:
        yield Remark(f"Times that differ by less than a factor {floor:.3g} are indistinguishable (twin pairs).")
    spread = (timed["time_total_high_s"] - timed["time_total_low_s"]) / timed["time_total_s"]
    wide = int((spread > _WIDE).sum())
    if wide:
        yield Remark(f"{wide} of {len(timed)} times spread by over {_WIDE:.0%}.", "bad")
    short = int((timed["time_total_s"] < _SHORT_SECONDS).sum())
    if short:
        yield Remark(f"{short} of {len(timed)} times are under 1 ms, where the clock and the caches speak.", "bad")
