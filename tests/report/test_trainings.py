"""Trainings and what needs them, as rows: the training's columns are joined, and other suites do not notice."""

import hashlib
import json

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from odebench.report.columns import DERIVED, DOCUMENTED, TRAINING
from odebench.report.frame import frame_of, load
from odebench.report.labels import with_labels
from odebench.report.tables.cells import every_cell, failures
from tests.report.synthetic import LAPTOP, SERVER, failed, record, write_folder


def cell_of(task, solver, grid, *, gradient=None, policy=None, needs=(), seed=0, machine=LAPTOP, values=None):
    """A record with only a quality part, that of a study."""
    made = record("integrate", "mlp-field", "euler", None, {"steps": 1}, machine=machine)
    made["cell"] |= {
        "task": {"name": task, "parameters": {"iterations": 100} if policy else {}},
        "solver": {"name": solver, "parameters": {}},
        "gradient": gradient and {"name": gradient, "parameters": {}},
        "grid": grid,
        "seed": seed,
        "needs": list(needs),
    }
    if policy:
        made["cell"]["policy"] = policy
    made["cell_id"] = hashlib.sha256(json.dumps(made["cell"], sort_keys=True).encode()).hexdigest()[:16]
    made["parts"] = {"quality": {"outcome": "ok", "values": values or {}, "reasons": {}}}
    return made


def training(steps=2, *, seed=0, machine=LAPTOP, accuracy=0.99, policy=None, **more):
    values = {"accuracy_test": accuracy, "step_size_final": 1 / steps, "nfe_training": 200, "weights_sha256": "ab"}
    policy = policy or {"name": "fixed", "parameters": {}}
    made = cell_of("train", "euler", {"steps": steps}, gradient="direct", policy=policy, seed=seed, machine=machine)
    made["parts"]["quality"]["values"] = values | more
    return made


def swap(origin, solver="midpoint", grid=None, *, machine=LAPTOP, **values):
    return cell_of(
        "swap", solver, grid or {"factor": 0.5}, needs=[origin["cell_id"]], seed=origin["cell"]["seed"],
        machine=machine, values={"accuracy_test": 0.5} | values,
    )  # fmt: skip


def test_columns_of_the_training_are_joined_to_what_needs_it():
    first, second = training(2), training(256, accuracy=0.98)
    table = frame_of([swap(second), first, swap(first), second])
    assert table["trained.cell_id"].fillna("").tolist() == [second["cell_id"], "", first["cell_id"], ""]
    swaps = table[table.task == "swap"]
    assert list(swaps["trained.steps"]) == [256, 2]
    assert list(swaps["trained.accuracy_test"]) == [0.98, 0.99]
    assert list(swaps["accuracy_test"]) == [0.5, 0.5]
    assert list(swaps["factor"]) == [0.5, 0.5]
    for name, value in {
        "solver": "euler", "gradient": "direct", "policy": "fixed", "task": "train", "task.iterations": 100,
        "outcome": "ok", "weights_sha256": "ab", "nfe_training": 200,
    }.items():  # fmt: skip
        assert list(swaps[f"trained.{name}"]) == [value, value]
        assert table[table.task == "train"][f"trained.{name}"].isna().all()
    assert not {"trained.model", "trained.seed", "trained.suite", "trained.model.batch", "trained.factor"} & set(table)


def test_joined_columns_come_last_with_the_dtypes_of_what_they_repeat():
    policy = {"name": "step-adaptation", "parameters": {"threshold": 0.1, "test_solver": None}}
    origin = training(4, policy=policy, curvature=1.5)
    table = frame_of([origin, swap(origin, energy=2.0)])
    own = [one.name for one in (*DOCUMENTED, *DERIVED, *TRAINING)]
    assert list(table.columns[: len(own)]) == own
    joined = [name for name in table.columns if name.startswith("trained.")]
    assert list(table.columns[-len(joined) :]) == joined
    for one in (*DOCUMENTED, *DERIVED, *TRAINING):
        assert str(table[one.name].dtype) == one.dtype
        if f"trained.{one.name}" in joined:
            assert str(table[f"trained.{one.name}"].dtype) == one.dtype
    assert joined[0] == "trained.cell_id"
    assert joined.index("trained.steps") < joined.index("trained.nfe_training") < joined.index("trained.curvature")
    assert table["policy.threshold"][0] == 0.1
    assert table["trained.policy.threshold"][1] == 0.1
    assert table["trained.curvature"][1] == 1.5


def test_a_record_is_joined_with_its_own_machines_training_only():
    here, there = training(machine=LAPTOP, accuracy=0.9), training(machine=SERVER, accuracy=0.8)
    alone = training(16, machine=SERVER)
    assert here["cell_id"] == there["cell_id"]
    table = frame_of([here, there, swap(here), swap(there, machine=SERVER), alone, swap(alone)])
    assert list(table["trained.accuracy_test"][[2, 3]]) == [0.9, 0.8]
    assert pd.isna(table["trained.accuracy_test"][5])
    assert table["missing"][5] == f"trained.*: there is no record of the training {alone['cell_id']} on this machine"


def test_what_needs_something_that_needs_a_training_is_joined_with_the_nearest():
    first = training(2)
    finer = cell_of(
        "refine", "euler", {"steps": 4}, needs=[first["cell_id"]], policy={"name": "fixed", "parameters": {}}
    )
    table = frame_of([first, finer, swap(finer)])
    assert list(table["trained.steps"][1:]) == [2, 4]
    assert not [name for name in table if name.startswith("trained.trained.")]


def test_a_training_that_failed_is_told_where_it_was_needed():
    origin = failed(training(), "diverged", "The loss is nan.")
    table = frame_of([origin, failed(swap(origin), "blocked", "It needs a cell that failed.")])
    assert table["trained.outcome"][1] == "diverged"
    assert "trained.reason" not in table


def test_a_task_may_tell_the_grid_that_it_made_of_what_was_asked():
    origin = training(2)
    table = frame_of([
        origin,
        swap(origin, grid={"factor": 0.5}, step_size=0.25),
        swap(origin, grid={"step_size": 0.1}, step_size=0.1),
        swap(origin, grid={"step_size": 0.1}, step_size=0.2),
    ])  # fmt: skip
    assert list(table["step_size"][1:]) == [0.25, 0.1, 0.1]
    assert pd.isna(table["missing"][1])
    assert pd.isna(table["missing"][2])
    assert "step_size: the task gave a figure under a name that is taken" in table["missing"][3]


def test_suites_without_trainings_have_no_columns_of_them(frame):
    names = {one.name for one in TRAINING}
    assert not names & set(frame.columns)
    assert not [name for name in frame if name.startswith("trained.")]
    plain = frame_of([record("integrate", "mlp-field", "euler", None, {"steps": 4})])
    assert list(plain.columns)[-1] == "model.batch"


def test_trainings_in_the_folder_do_not_change_what_stands_in_other_rows():
    plain = record("integrate", "mlp-field", "euler", None, {"steps": 4})
    origin = training()
    alone, among = frame_of([plain]), frame_of([plain, origin, swap(origin)])
    pd.testing.assert_frame_equal(alone, among[alone.columns].iloc[:1])


def test_load_joins_what_a_run_wrote(tmp_path):
    origin = training()
    folder = write_folder(tmp_path / "run", [swap(origin), origin])
    table = load(folder).set_index("task")
    assert table.loc["swap", "trained.accuracy_test"] == 0.99


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(
    accuracies=st.lists(st.floats(0, 1), min_size=1, max_size=5),
    needs=st.lists(st.integers(0, 7), max_size=8),
    order=st.randoms(use_true_random=False),
)
def test_every_row_has_the_figures_of_the_training_that_it_names(accuracies, needs, order):
    trainings = [training(2, seed=seed, accuracy=accuracy) for seed, accuracy in enumerate(accuracies)]
    absent = training(2, seed=99)
    named = [trainings[n] if n < len(trainings) else absent for n in needs]
    swaps = [swap(origin, grid={"factor": 1.0 + n}) for n, origin in enumerate(named)]
    records = [*trainings, *swaps]
    order.shuffle(records)
    table = frame_of(records)
    want = {one["cell_id"]: one["parts"]["quality"]["values"]["accuracy_test"] for one in trainings}
    for made, row in zip(records, table.to_dict("records"), strict=True):
        (origin,) = made["cell"]["needs"] or (None,)
        got = row.get("trained.accuracy_test")
        assert (None if got is None or pd.isna(got) else got) == want.get(origin)


def test_labels_tell_trainings_apart_and_nothing_else_changes():
    first, second = training(2), training(256)
    table = with_labels(frame_of([first, second, swap(first), swap(second, "dopri5", {"factor": 2.0}, tolerance=1e-3)]))
    assert list(table["grid_label"]) == ["2 steps", "256 steps", "0.5 × the trained step", "2 × the trained tolerance"]
    assert list(table["training_label"][2:]) == ["trained with euler, 2 steps", "trained with euler, 256 steps"]
    assert list(table["setting_label"][2:]) == list(table["training_label"][2:])
    assert list(table["setting_label"][:2]) == ["", ""]


def test_policies_are_settings_where_there_are_several():
    adapting = {"name": "step-adaptation", "parameters": {"threshold": 0.1}}
    first, second = training(2), training(2, policy=adapting)
    table = with_labels(frame_of([first, second, swap(second)]))
    assert list(table["setting_label"]) == ["fixed", "step-adaptation", ""]
    assert table["training_label"][2] == "trained with euler, 2 steps, step-adaptation"


def test_the_tables_of_cells_show_the_figures_of_trainings():
    first, second = training(2), training(256)
    table = with_labels(
        frame_of([first, second, swap(first, accuracy_change=-0.4), failed(swap(second), "blocked", "why")])
    )
    heads = [heading.label for heading in every_cell(table).headings]
    assert {"accuracy_test", "accuracy_change", "step_size_final"} <= set(heads)
    assert "weights_sha256" not in heads
    rows = {row[1].text: [value.text for value in row] for row in every_cell(table).rows if row[0].text == "ok"}
    assert "0.5 × the trained step · trained with euler, 2 steps" in rows["swap"]
    (lost,) = failures(table).rows
    assert "trained with euler, 256 steps" in lost[6].text


@pytest.mark.parametrize("name", ["policy", "factor"])
def test_a_figure_cannot_take_the_name_of_what_was_asked(name):
    origin = training()
    origin["parts"]["quality"]["values"][name] = 3
    made = swap(origin)
    made["parts"]["quality"]["values"][name] = 3
    table = frame_of([origin, made])
    assert f"{name}: the task gave a figure under a name that is taken" in " ".join(table["missing"].dropna())


def test_figures_about_evolving_weights_are_columns_where_a_task_gives_them():
    made = cell_of("spectral", "euler", {"steps": 1}, values={"spectral_exact": 2e-16, "of_a_plugin": 1.5})
    table = frame_of([made])
    assert table["spectral_exact"].tolist() == [2e-16] and table["of_a_plugin"].tolist() == [1.5]
    assert "spectral_semigroup" not in table and "spectral_exact" not in frame_of([training()])
    needing = frame_of(
        [
            origin := training(),
            cell_of("kkt", "euler", {"steps": 1}, needs=[origin["cell_id"]], values={"kkt_state": 0.0}),
        ]
    )
    assert needing["kkt_state"].dropna().tolist() == [0.0]
