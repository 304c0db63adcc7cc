"""Claims of a suite, judged by its rows: true, false or undecided, with the figures that decide and the rows behind them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
import pandas as pd

from odebench.plan.claim_text import ClaimText, outer_aggregates, read_claim
from odebench.plan.expression import Arithmetic, Call, Comparison, Constant, ExpressionError, Logic, Negative, Node
from odebench.plan.schema import Claim
from odebench.plan.suite import claims_of
from odebench.records import ResultFolder
from odebench.report.aggregates import Undecided
from odebench.report.chosen import Chosen, Groups
from odebench.report.rows import APPLY, COMBINE, COMPARE
from odebench.report.sources import Source


class Verdict(Enum):
    """What became of a claim."""

    TRUE = "true"
    FALSE = "false"
    UNDECIDED = "undecided"


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """One aggregate of a claim.

    Attributes:
        text: as it is written in the claim.
        value: its figure; None where there is none.
        used: rows whose values went into it.
        selected: rows that its conditions select.
        groups: how many groups the rows make, where it is an aggregate of groups; None otherwise.
    """

    text: str
    value: float | bool | None
    used: int
    selected: int
    groups: int | None = None

    @property
    def figure(self) -> str:
        """The value in words."""
        if self.value is None:
            return "unknown"
        return str(self.value).lower() if isinstance(self.value, bool) else f"{self.value:.6g}"

    @property
    def rows(self) -> str:
        """The rows behind it in words: `9 of 10 rows`."""
        groups = "" if self.groups is None else f", in {self.groups} group{'' if self.groups == 1 else 's'}"
        return f"{self.used} of {self.selected} row{'' if self.selected == 1 else 's'}{groups}"


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A claim and what became of it.

    Attributes:
        name, that, allow: the claim.
        verdict: true, false or undecided.
        evidence: its aggregates, in the order of the text.
        reasons: why it is undecided, as sentences; () where it is not.
    """

    name: str
    that: str
    allow: tuple[str, ...]
    verdict: Verdict
    evidence: tuple[Evidence, ...]
    reasons: tuple[str, ...] = ()


def judge(frame: pd.DataFrame, claims: Iterable[Claim], missing: int = 0) -> list[Judged]:
    """Judge claims by the rows of a frame that `load` gave.

    A claim is undecided where one of its aggregates selects no row, or selects a row without a value or one that did not end
    `ok`. Rows of an outcome that the claim allows count where they hold a value and are left out where they do not.

    Args:
        frame: the rows, of one machine: nothing here keeps machines apart.
        claims: what is claimed.
        missing: how many cells of the plan have no row yet. Where there are any, nothing is decided: they may be selected.
    """
    wanted = [name for name in frame.columns if not str(name).endswith("_label")]
    return [_judge(frame[wanted], claim, missing) for claim in claims]


def judge_source(source: Source) -> list[Judged]:
    """Judge the claims of the suite that ran last in a folder by the rows of one machine; none where no run is told of.

    Raises:
        SuiteError: a claim of that suite cannot be read.
    """
    if source.run is None:
        return []
    claims = claims_of(source.run.text, ResultFolder(source.folder).run_file, source.run.overrides)
    missing = set(source.run.cells) - set(source.frame["cell_id"])
    return judge(source.frame, claims, len(missing))


def overall(judged: Sequence[Judged]) -> Verdict:
    """False where one claim is false, else undecided where one is, else true."""
    found = {one.verdict for one in judged}
    return next((one for one in (Verdict.FALSE, Verdict.UNDECIDED) if one in found), Verdict.TRUE)


def _judge(frame: pd.DataFrame, claim: Claim, missing: int) -> Judged:
    tree = read_claim(claim.that)
    court = _Court(frame, tree, claim.allow)
    value = court.figure(tree.that)
    reasons = list(dict.fromkeys(court.reasons))
    if missing:
        cells = "1 cell of the plan has" if missing == 1 else f"{missing} cells of the plan have"
        reasons.append(f"{cells} no record yet and may belong to the selection: run the suite to its end.")
    verdict = Verdict.UNDECIDED if reasons else Verdict.TRUE if value else Verdict.FALSE
    return Judged(
        name=claim.name,
        that=claim.that,
        allow=claim.allow,
        verdict=verdict,
        evidence=tuple(court.evidence),
        reasons=tuple(reasons),
    )


class _Court:
    """Evaluates one claim. Whatever keeps it from a figure becomes a reason, and None stands for the figure."""

    def __init__(self, frame: pd.DataFrame, claim: ClaimText, allow: Sequence[str]) -> None:
        self.frame, self.claim, self.allow = frame, claim, frozenset(allow)
        self.evidence: list[Evidence] = []
        self.reasons: list[str] = []

    def figure(self, node: Node) -> float | bool | None:
        """The figure or truth of a piece of the claim itself; every aggregate is evaluated, for its evidence."""
        if isinstance(node, Constant):
            return node.value
        if isinstance(node, Call) and node.name not in APPLY:
            return self._aggregate(node)
        parts = [self.figure(part) for part in node.parts]
        if any(part is None for part in parts):
            return None
        try:
            return self._compound(node, parts)
        except (ArithmeticError, ValueError) as error:
            return self._give_up(f"{node.of(self.claim.text)!r} has no value: {error}.")

    def _compound(self, node: Node, parts: list[float | bool]) -> float | bool:
        if isinstance(node, Logic):
            return not parts[0] if node.operator == "not" else (all if node.operator == "and" else any)(parts)
        if isinstance(node, Comparison):
            return all(COMPARE[word](a, b) for a, word, b in zip(parts, node.operators, parts[1:], strict=False))
        if isinstance(node, Negative):
            return -parts[0]
        with np.errstate(all="ignore"):
            if isinstance(node, Arithmetic):
                found = COMBINE[node.operator](*map(np.float64, parts))
            else:
                found = APPLY[node.name](np.float64(parts[0]))
        if not np.isfinite(found):
            raise ValueError("it is not a finite number")
        return float(found)

    def _give_up(self, reason: str) -> None:
        self.reasons.append(reason)

    def _aggregate(self, call: Call) -> float | bool | None:
        text, value, groups = call.of(self.claim.text), None, None
        chosen = self._chosen(call)
        inner = [node for argument in call.arguments for node in outer_aggregates(argument)]
        parts = {node.start: self._chosen(call, node) for node in inner}
        try:
            if inner:
                columns = {node.start: parts[node.start].by_group(node) for node in inner}
                groups = Groups(columns, self.claim.text)
                value = groups.reduced(call)
            else:
                value = chosen.reduced(call)
        except (Undecided, ExpressionError) as cause:
            self._give_up(f"{text}: {cause}")
        chosen.join(parts.values())
        self.evidence.append(
            Evidence(
                text=text,
                value=value,
                used=int(chosen.used.sum()),
                selected=int(chosen.mask.sum()),
                groups=None if groups is None else len(groups.table),
            )
        )
        return value

    def _chosen(self, *calls: Call) -> Chosen:
        """The rows that the claim's own condition and those of some calls select together."""
        conditions = [self.claim.where, *(call.where for call in calls)]
        return Chosen(self.frame, self.claim.text, conditions, self.allow)
