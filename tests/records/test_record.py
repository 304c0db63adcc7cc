"""The stored form of a record."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from odebench.errors import RecordError
from odebench.outcome import Outcome
from odebench.records import Part, Parts, Record, Round

STORED = Path(__file__).parent / "stored"
PATIENT = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture], max_examples=50
)

TEXT = st.text('abz é"\n<>', max_size=12)
SECONDS = st.none() | st.floats(0, 1e6)
COLUMN = st.text("abc_", min_size=1, max_size=6)
MEASURED = {"outcome": st.sampled_from(Outcome), "reason": st.none() | TEXT, "seconds": SECONDS}
PARTS = st.builds(
    Part,
    values=st.dictionaries(
        COLUMN,
        st.none() | st.booleans() | st.integers(0, 2**70) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
        max_size=4,
    ),
    reasons=st.dictionaries(COLUMN, TEXT, max_size=2),
    **MEASURED,
)
ROUNDS = st.builds(
    Round,
    round=st.integers(0, 4),
    samples=st.dictionaries(COLUMN, st.lists(SECONDS, max_size=4).map(tuple), max_size=2),
    time_first_s=SECONDS,
    valid=st.booleans(),
    **MEASURED,
)
ANY_PART = st.tuples(st.sampled_from(["quality", "memory"]), PARTS) | st.tuples(st.just("timing"), ROUNDS)


@PATIENT
@given(st.lists(ANY_PART, max_size=6))
def test_a_record_survives_json(record, parts):
    made = record()
    for name, part in parts:
        made = made.with_part(name, part)
    text = json.dumps(made.to_json(), allow_nan=False)
    assert Record.from_json(json.loads(text)) == made
    assert json.dumps(Record.from_json(json.loads(text)).to_json(), allow_nan=False) == text


@PATIENT
@given(st.permutations([("quality", 0), ("memory", 0), ("timing", 0), ("timing", 1), ("timing", 2)]), st.data())
def test_the_order_in_which_parts_come_does_not_matter(record, order, data):
    outcomes = {key: data.draw(st.sampled_from(Outcome)) for key in order}
    made = {}
    for arrival in (order, sorted(order)):
        current = record()
        for name, number in arrival:
            told = {"outcome": outcomes[name, number], "reason": f"{name} {number}"}
            current = current.with_part(name, Round(round=number, **told) if name == "timing" else Part(**told))
        made[tuple(arrival)] = current
    first, *others = made.values()
    assert all(other == first for other in others)
    bad = [
        key
        for key in sorted(order, key=lambda k: (["quality", "memory", "timing"].index(k[0]), k[1]))
        if outcomes[key] is not Outcome.OK
    ]
    assert first.outcome is (outcomes[bad[0]] if bad else Outcome.OK)
    assert first.reason == (f"{bad[0][0]} {bad[0][1]}" if bad else None)


def test_the_first_bad_part_gives_the_outcome_and_the_figures_of_the_others_stay(record):
    made = record().with_part("quality", Part(outcome=Outcome.OK, values={"error_final": 0.1}))
    made = made.with_part("timing", Round(round=1, outcome=Outcome.TIMEOUT, reason="over 2 minutes", traceback="T"))
    made = made.with_part("timing", Round(round=0, outcome=Outcome.OK))
    assert (made.outcome, made.reason, made.traceback) == (Outcome.TIMEOUT, "over 2 minutes", "T")
    assert made.outcome_of == {"quality": Outcome.OK, "timing": Outcome.TIMEOUT}
    assert [one.round for one in made.parts.timing.rounds] == [0, 1]
    made = made.with_part("memory", Part(outcome=Outcome.OUT_OF_MEMORY))
    assert (made.outcome, made.reason) == (Outcome.OUT_OF_MEMORY, Outcome.OUT_OF_MEMORY.value)
    assert made.parts.quality.values == {"error_final": 0.1}


def test_a_round_that_is_measured_again_replaces_the_old_one(record):
    made = record().with_part("timing", Round(round=0, outcome=Outcome.CRASHED))
    made = made.with_part("timing", Round(round=0, outcome=Outcome.OK))
    assert len(made.parts.timing.rounds) == 1
    assert (made.outcome, made.reason) == (Outcome.OK, None)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("speed", Part(outcome=Outcome.OK)),
        ("timing", Part(outcome=Outcome.OK)),
        ("quality", Round(round=0, outcome=Outcome.OK)),
    ],
)
def test_a_part_of_the_wrong_kind_is_refused(record, name, part):
    with pytest.raises(RecordError, match=r"Parts are quality and memory, a `Part`, and timing"):
        record().with_part(name, part)


def test_the_stored_form_is_the_documented_one(record):
    made = record().with_part(
        "quality", Part(outcome=Outcome.OK, values={"error_final": 1e-7, "nfe_forward": 64}, seconds=0.2)
    )
    data = made.to_json()
    assert list(data) == [
        "schema", "cell_id", "cell", "suite", "experiments", "freshness", "machine_id", "versions",
        "outcome", "reason", "traceback", "outcome_of", "parts",
    ]  # fmt: skip
    assert (data["schema"], data["outcome"], data["outcome_of"], data["experiments"]) == (
        1,
        "ok",
        {"quality": "ok"},
        ["first"],
    )
    assert list(data["parts"]) == ["quality"]
    assert {key: data["parts"]["quality"][key] for key in ("outcome", "reason", "values", "reasons", "seconds")} == {
        "outcome": "ok", "reason": None, "values": {"error_final": 1e-7, "nfe_forward": 64}, "reasons": {}, "seconds": 0.2,
    }  # fmt: skip
    assert record().to_json()["parts"] == {}


def test_a_record_of_schema_1_is_read_as_it_was_written():
    """This file is what odebench 0.1 wrote; it may never be edited to please a newer version."""
    text = (STORED / "schema-1.json").read_text()
    read = Record.from_json(json.loads(text))
    assert read.outcome is Outcome.TIMEOUT
    assert read.reason == "Stopped after 120 s."
    assert read.outcome_of == {"quality": Outcome.OK, "memory": Outcome.OK, "timing": Outcome.TIMEOUT}
    assert read.parts.quality.values["error_final"] == 2.5e-06
    assert read.parts.quality.values["grad_error_y0"] is None
    assert read.parts.quality.reasons["grad_error_y0"] == "The task takes no gradient."
    assert read.parts.memory.values["memory_peak_bytes"] == 265306448
    assert read.parts.timing.rounds[0].samples["time_forward_s"] == (0.011, 0.0125, None)
    assert read.parts.timing.rounds[1].outcome is Outcome.TIMEOUT
    assert read.to_json() == json.loads(text)


def test_old_records_are_migrated_step_by_step(record):
    old = record().to_json()
    old["name"] = old.pop("suite")
    newest = {1: lambda data: data | {"label": data.pop("name")}, 2: lambda data: data | {"suite": data.pop("label")}}
    read = Record.from_json(old, newest)
    assert read.suite == "trial"
    assert read.schema_version == 3
    assert "name" in old, "the stored data is not edited"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data | {"schema": 2}, "schema is 2, and this odebench reads up to 1: install a newer"),
        (lambda data: data | {"schema": 0}, "schema 0 is not known"),
        (lambda data: data | {"schema": True}, "no `schema`"),
        (lambda data: [data], "no `schema`"),
        (lambda data: None, "no `schema`"),
        (lambda data: data | {"outcome": "okay"}, "`outcome`.*'okay' is no outcome; did you mean 'ok'"),
        (lambda data: data | {"outcom": "ok"}, "`outcom`"),
        (lambda data: data | {"cell_id": "../../etc"}, "`cell_id`"),
        (lambda data: {key: value for key, value in data.items() if key != "suite"}, "`suite`"),
        (
            lambda data: data | {"parts": {"quality": {"outcome": "ok", "values": {"x": [1]}}}},
            r"`parts.quality.values.x`.*a figure is",
        ),
        (lambda data: data | {"parts": {"speed": {"outcome": "ok"}}}, "`parts.speed`"),
    ],
)
def test_what_is_no_record_is_refused_with_the_key(record, change, message):
    with pytest.raises(RecordError, match=message):
        Record.from_json(change(record().to_json()))


def test_keys_that_a_worker_adds_to_a_part_are_kept(record):
    made = record().with_part("timing", Round(round=0, outcome=Outcome.OK, load_average=0.5))
    assert Record.from_json(made.to_json()).to_json()["parts"]["timing"]["rounds"][0]["load_average"] == 0.5


def test_no_parts_are_no_outcome_of_any_part(record):
    assert record().settled_by(Parts()).outcome_of == {}
