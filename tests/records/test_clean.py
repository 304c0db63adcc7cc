"""Making a worker's part fit to be stored."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odebench.errors import RecordError
from odebench.outcome import Outcome
from odebench.records import Part, Round
from odebench.records.clean import clean_part, storable


def test_values_that_are_not_finite_become_null_with_a_reason():
    part = clean_part(
        "quality", {"outcome": "diverged", "values": {"error_final": math.inf, "nfe_forward": 3, "x": math.nan}}, str
    )
    assert part.values == {"error_final": None, "nfe_forward": 3, "x": None}
    assert part.reasons == {"error_final": "It is inf, not a finite number.", "x": "It is nan, not a finite number."}


def test_a_reason_that_the_worker_gave_is_kept():
    part = clean_part(
        "quality", {"outcome": "ok", "values": {"x": math.nan}, "reasons": {"x": "The loss is flat."}}, str
    )
    assert part.reasons == {"x": "The loss is flat."}


def test_samples_that_are_not_finite_make_their_round_invalid():
    one = clean_part(
        "timing",
        {"outcome": "ok", "round": 0, "samples": {"time_forward_s": [0.1, math.nan]}, "cpu_over_wall": math.inf},
        str,
    )
    assert one.samples == {"time_forward_s": (0.1, None)}
    assert one.cpu_over_wall is None
    assert not one.valid
    assert one.reason_invalid == "A sample of time_forward_s is not a finite number."


def test_all_texts_are_scrubbed_also_inside_typed_parts():
    part = Part(outcome=Outcome.ERROR, reason="secret", traceback="a secret", values={"note": "secret"})
    cleaned = clean_part("quality", part, lambda text: text.replace("secret", "***"))
    assert (cleaned.reason, cleaned.traceback, cleaned.values) == ("***", "a ***", {"note": "***"})
    assert clean_part("timing", Round(round=2, outcome=Outcome.OK), str).round == 2


@pytest.mark.parametrize(
    ("name", "raw", "message"),
    [
        ("quality", {}, "quality part has a wrong `outcome`"),
        ("quality", {"outcome": "ok", "values": {"x": [1]}}, r"`values.x`.*a list"),
        ("timing", {"outcome": "ok"}, "timing part has a wrong `round`"),
        ("timing", {"outcome": "ok", "round": -1}, "`round`"),
        ("memory", {"outcome": "ok", "seconds": "1"}, "`seconds`"),
    ],
)
def test_what_is_no_part_is_refused(name, raw, message):
    with pytest.raises(RecordError, match=message):
        clean_part(name, raw, str)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text("ab\ud800é", max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=3), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=80)
@given(JSON)
def test_whatever_came_is_storable_afterwards(value):
    cleaned = storable(value, lambda text: text.encode("utf-8", "backslashreplace").decode())
    json.dumps(cleaned, allow_nan=False, ensure_ascii=False).encode()
    assert storable(cleaned, str) == cleaned
