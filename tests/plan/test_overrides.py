"""`--set path=value`."""

import pytest

from odebench.errors import SuiteError
from odebench.plan.overrides import apply_override, parse_override


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("budget.repeats=3", ("budget", "repeats"), 3),
        ("budget.timeout=2m", ("budget", "timeout"), "2m"),
        ("budget.device = cuda:0", ("budget", "device"), "cuda:0"),
        ('budget.device=["cpu", "cuda"]', ("budget", "device"), ["cpu", "cuda"]),
        (
            "experiment[0].tolerance={rtol=1e-3, atol=1e-6}",
            ("experiment", 0, "tolerance"),
            {"rtol": 1e-3, "atol": 1e-6},
        ),
        ("experiment[1].model[2].width=[1, 2]", ("experiment", 1, "model", 2, "width"), [1, 2]),
        ("suite.title='a=b'", ("suite", "title"), "a=b"),
    ],
)
def test_a_path_and_a_toml_value_are_read(text, path, value):
    override = parse_override(text)
    assert (override.path, override.value) == (path, value)


@pytest.mark.parametrize("text", ["budget.repeats", "=3", "budget..x=3", "[0]=3", "a b=3"])
def test_what_is_no_path_is_refused(text):
    with pytest.raises(SuiteError, match=r"is not `path=value`.*--set budget\.repeats=3"):
        parse_override(text)


@pytest.mark.parametrize("text", ["a=[1", "a=b c", "a='x", "a=1\nb=2", "a="])
def test_what_is_no_value_is_refused_with_a_way_to_quote_it(text):
    with pytest.raises(SuiteError, match=r"is no TOML value .*--set 'a="):
        parse_override(text)


def test_keys_are_replaced_and_tables_made_on_the_way():
    raw = {"experiment": [{"steps": [1]}, {"steps": [2]}]}
    apply_override(raw, parse_override("experiment[1].steps=[3]"))
    apply_override(raw, parse_override("budget.quick.repeats=1"))
    assert raw == {"experiment": [{"steps": [1]}, {"steps": [3]}], "budget": {"quick": {"repeats": 1}}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("experiment[2].steps=1", r"`experiment` has 1 entries, counted from 0; there is no \[2\]"),
        ("experiment.steps=1", r"`experiment` is .*list.*which has no 'steps'"),
        ("suite[0]=1", r"`suite` is a table with name, which has no 0"),
        ("suite.name.x=1", r"`suite.name` is 's' \(a string\), which has no 'x'"),
    ],
)
def test_a_path_that_leads_nowhere_says_where_it_stops(text, message):
    with pytest.raises(SuiteError, match=message):
        apply_override({"suite": {"name": "s"}, "experiment": [{}]}, parse_override(text))
