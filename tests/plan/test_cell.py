"""Cells: identity by content, and the way to JSON and back."""

import json
import os
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from odebench.plan.cell import Cell, CellError, Choice, canonical_json, short_hash

# A loaded machine is slow, which says nothing about the code.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=60)

NAMES = st.text("abcdefgh-/0123456789", min_size=1, max_size=12)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**62), 2**62)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text('aZ9 é\n"\\\u2028', max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
CHOICES = st.builds(Choice, name=NAMES, parameters=st.dictionaries(NAMES, VALUES, max_size=3))
POSITIVE = st.floats(1e-300, 1e300)
GRIDS = (
    st.builds(lambda n: {"steps": n}, st.integers(1, 10**6))
    | st.builds(lambda h: {"step_size": h}, POSITIVE)
    | st.builds(
        lambda r, a, b: {"rtol": r, "atol": a, "batch": b}, POSITIVE, POSITIVE, st.sampled_from(["joint", "per-sample"])
    )
    | st.builds(lambda f: {"factor": f}, POSITIVE)
    | st.just({})
)
CELLS = st.builds(
    Cell,
    task=CHOICES,
    model=CHOICES,
    solver=CHOICES,
    gradient=st.none() | CHOICES,
    grid=GRIDS,
    device=st.sampled_from(["cpu", "cuda:0"]),
    dtype=st.sampled_from(["float32", "float64"]),
    threads=st.integers(1, 64),
    seed=st.integers(0, 2**63),
    needs=st.lists(st.text("0123456789abcdef", min_size=16, max_size=16), max_size=2).map(tuple),
    policy=st.none() | CHOICES,
    compile=st.sampled_from([False, True, "auto"]),
)


def example(**changes):
    content = {
        "task": Choice(name="gradient"),
        "model": Choice(name="mlp-field", parameters={"width": 32, "batch": 256}),
        "solver": Choice(name="rk4"),
        "gradient": Choice(name="direct"),
        "grid": {"steps": 64},
        "device": "cpu",
        "dtype": "float32",
        "threads": 1,
        "seed": 0,
    }
    return Cell(**content | changes)


@PATIENT
@given(CELLS)
def test_a_cell_survives_json(cell):
    back = Cell.from_json(json.loads(json.dumps(cell.to_json())))
    assert back == cell
    assert back.id == cell.id
    assert hash(back) == hash(cell)
    assert canonical_json(back.to_json()) == canonical_json(cell.to_json())


@PATIENT
@given(CELLS, CELLS)
def test_equal_ids_mean_equal_content(one, other):
    assert (one.id == other.id) == (one == other)


@PATIENT
@given(st.dictionaries(NAMES, VALUES, max_size=4), st.randoms())
def test_the_order_of_parameters_does_not_matter(parameters, random):
    items = list(parameters.items())
    random.shuffle(items)
    assert (
        example(model=Choice(name="m", parameters=dict(items))).id
        == example(model=Choice(name="m", parameters=parameters)).id
    )


def test_ids_stay_as_stored_records_have_them():
    """A changed id orphans every stored record: this one may never change."""
    assert example().id == short_hash(
        '{"device":"cpu","dtype":"float32","gradient":{"name":"direct","parameters":{}},"grid":{"steps":64},'
        '"model":{"name":"mlp-field","parameters":{"batch":256,"width":32}},"needs":[],"seed":0,'
        '"solver":{"name":"rk4","parameters":{}},"task":{"name":"gradient","parameters":{}},"threads":1}'
    )
    assert example().id == "cf0aa45548d6b617"


def test_a_cell_without_a_policy_says_nothing_about_policies():
    """Records that were stored before there were policies keep their ids."""
    assert "policy" not in example().to_json()
    cell = example(policy=Choice(name="fixed"))
    assert cell.to_json() == example().to_json() | {"policy": {"name": "fixed", "parameters": {}}}
    assert cell.id == "b1bff617932c7eba"


@pytest.mark.parametrize(
    "changes",
    [
        {"gradient": None},
        {"grid": {"steps": 65}},
        {"grid": {"step_size": 64.0}},
        {"device": "cuda"},
        {"dtype": "float64"},
        {"threads": 2},
        {"seed": 1},
        {"needs": ("0123456789abcdef",)},
        {"policy": Choice(name="fixed")},
        {"model": Choice(name="mlp-field", parameters={"width": 32.0, "batch": 256})},
        {"model": Choice(name="mlp-field", parameters={"width": 32})},
        {"solver": Choice(name="rk38")},
    ],
)
def test_every_part_of_the_content_is_part_of_the_identity(changes):
    assert example(**changes).id != example().id
    assert example(**changes) != example()


def test_python_calls_one_and_true_equal_but_cells_do_not():
    choices = {Choice(name="m", parameters={"x": value}) for value in (1, 1.0, True)}
    assert len(choices) == 3


def test_parameters_are_copied_and_tuples_become_lists():
    sizes = [2, 3]
    choice = Choice(name="m", parameters={"sizes": (1, sizes)})
    sizes.append(4)
    assert choice.parameters == {"sizes": [1, [2, 3]]}
    choice.to_json()["parameters"]["sizes"].append(5)
    assert choice.parameters == {"sizes": [1, [2, 3]]}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), b"x", {1: 2}, {"a": [{1, 2}]}])
def test_what_json_cannot_hold_is_refused_with_its_path(value):
    with pytest.raises(CellError, match=r"`m\.x"):
        Choice(name="m", parameters={"x": value})


def test_json_that_is_no_cell_is_refused():
    good = example().to_json()
    with pytest.raises(CellError, match="lacks seed, task"):
        Cell.from_json({key: value for key, value in good.items() if key not in ("seed", "task")})
    with pytest.raises(CellError, match="no key sed"):
        Cell.from_json(good | {"sed": 1})
    with pytest.raises(CellError, match="a choice"):
        Cell.from_json(good | {"model": "mlp-field"})


def test_choices_by_kind():
    assert list(example().choices) == ["task", "model", "solver", "gradient"]
    assert "gradient" not in example(gradient=None).choices
    assert example(policy=Choice(name="fixed")).choices["step_policy"] == Choice(name="fixed")
    assert str(example().model) == "mlp-field(width=32, batch=256)"


def test_the_worker_reads_a_cell_without_validation_or_plugins():
    """The measured process imports this module: nothing but the standard library may come with it."""
    code = "import sys, odebench.plan.cell; print(sorted({'torch', 'pydantic', 'pluggy', 'click', 'pandas'} & set(sys.modules)))"
    env = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True).stdout.strip()
        == "[]"
    )
