"""What is still to be measured."""

import pytest

from odebench.outcome import Outcome
from odebench.records import MissingPart, Part, Round, missing_parts


def names(missing):
    return [part.name if part.round is None else f"{part.name}{part.round}" for part in missing]


def test_of_nothing_everything_is_missing(record):
    assert names(missing_parts(None, 2)) == ["quality", "memory", "timing0", "timing1"]
    assert missing_parts(record(), 2) == missing_parts(None, 2)
    assert names(missing_parts(None, 2, parts=("quality",))) == ["quality"]
    assert missing_parts(None, 0, parts=("timing",)) == ()
    assert missing_parts(None, 1, parts=("timing",)) == (MissingPart(name="timing", round=0),)


def test_what_is_there_is_not_missing(record):
    made = (
        record().with_part("quality", Part(outcome=Outcome.OK)).with_part("timing", Round(round=1, outcome=Outcome.OK))
    )
    assert names(missing_parts(made, 3)) == ["memory", "timing0", "timing2"]
    made = made.with_part("memory", Part(outcome=Outcome.OK))
    for number in (0, 2):
        made = made.with_part("timing", Round(round=number, outcome=Outcome.OK))
    assert missing_parts(made, 3) == ()
    assert names(missing_parts(made, 4)) == ["timing3"]


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.OK])
def test_a_quality_that_did_not_end_well_settles_the_cell(record, outcome):
    assert missing_parts(record().with_part("quality", Part(outcome=outcome)), 3) == ()


def test_a_bad_memory_settles_itself_and_a_bad_round_the_rounds_after_it(record):
    made = record().with_part("quality", Part(outcome=Outcome.OK)).with_part("memory", Part(outcome=Outcome.CRASHED))
    assert names(missing_parts(made, 2)) == ["timing0", "timing1"]
    assert missing_parts(made.with_part("timing", Round(round=0, outcome=Outcome.TIMEOUT)), 3) == ()


def test_a_cell_that_was_settled_without_parts_is_measured_when_it_can_be(record):
    settled = record(outcome=Outcome.UNSUPPORTED, reason="no CUDA")
    assert len(missing_parts(settled, 1)) == 3


def test_what_failed_by_a_fault_of_the_machine_is_asked_again(record):
    failed = record().with_part("quality", Part(outcome=Outcome.ERROR, reason="There is no folder.", curable=True))
    assert failed.outcome is Outcome.ERROR
    assert missing_parts(failed, 1) == missing_parts(None, 1)
    assert missing_parts(record().with_part("quality", Part(outcome=Outcome.ERROR, reason="A bug.")), 1) == ()
