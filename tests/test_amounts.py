"""Durations and sizes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odebench.amounts import parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("2m", 120),
        ("2min", 120),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("500ms", 0.5),
        (" 1 h 30 m ", 5400),
        ("1d", 86400),
    ],
)
def test_a_duration_is_the_sum_of_its_parts(text, seconds):
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "size"), [("8GiB", 8 * 2**30), ("512MiB", 2**29), ("1kB", 1000), ("1.5GB", 1_500_000_000), ("7B", 7)]
)
def test_a_size_knows_powers_of_1000_from_powers_of_1024(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "2", "m", "2 parsecs", "-2m", "2m!", "0s", "1e3s", "２m"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match="duration|unit"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["", "8", "GiB", "8gib", "-1GiB", "0GiB", "0.5B"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueError, match="size|unit"):
        parse_size(text)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 100), st.integers(0, 59), st.integers(1, 59))
def test_any_hours_minutes_seconds_are_read_back(hours, minutes, seconds):
    assert parse_duration(f"{hours}h{minutes}m{seconds}s") == hours * 3600 + minutes * 60 + seconds
