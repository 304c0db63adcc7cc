"""What is still to be measured of a cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from odebench.outcome import Outcome
from odebench.records.record import PARTS, Record


@dataclass(frozen=True, kw_only=True)
class MissingPart:
    """A part to be measured; `round` is the number of a timing round, None for the others."""

    name: str
    round: int | None = None


def missing_parts(record: Record | None, rounds: int, parts: Sequence[str] = PARTS) -> tuple[MissingPart, ...]:
    """The parts that `record` lacks, in the order in which they are measured.

    A quality that did not end well settles the cell: what diverges or crashes is not worth timing. A timing round that did not end
    well settles the rounds after it. A part that was measured is never missing, however it ended; `--force` begins a new record.
    What ended by a fault of the machine that can be cured, such as data that were not there, was not measured.

    Args:
        record: what is stored with the current freshness; None where nothing is.
        rounds: how many timing rounds are wanted.
        parts: which parts are wanted at all.
    """
    found = None if record is None or record.curable else record.parts
    if found is not None and found.quality is not None and found.quality.outcome is not Outcome.OK:
        return ()
    missing = [
        MissingPart(name=name)
        for name in ("quality", "memory")
        if name in parts and (found is None or getattr(found, name) is None)
    ]
    timed = () if found is None or found.timing is None else found.timing.rounds
    if "timing" in parts and all(one.outcome is Outcome.OK for one in timed):
        done = {one.round for one in timed}
        missing += [MissingPart(name="timing", round=number) for number in range(rounds) if number not in done]
    return tuple(missing)
