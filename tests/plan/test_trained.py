"""Trainings in a plan: step policies, and experiments that read what others trained."""

from itertools import product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from odebench.errors import SuiteError
from odebench.outcome import Outcome
from odebench.plan.cell import Choice
from odebench.plan.expand import expand
from odebench.plan.suite import parse_suite

HEAD = 'schema = 1\n[suite]\nname = "trial"\n'
TRAINING = {"task": '"train"', "model": '"mlp-field"', "solver": '"euler"', "gradient": '"direct"', "steps": "16"}
SWAP = {"task": '"swap"', "trained": '"training"', "solver": '"midpoint"', "factor": "[0.5, 1]"}


def no_cuda(device):
    return "This machine has no CUDA." if device.startswith("cuda") else None


def experiment(name, keys, **changes):
    """One experiment as TOML; a value is written as it stands, and None deletes the key."""
    lines = [f"{key} = {value}" for key, value in (keys | changes).items() if value is not None]
    return "\n".join(["[[experiment]]", f'name = "{name}"', *lines, ""])


def training(name="training", **changes):
    return experiment(name, TRAINING, **changes)


def swap(name="swap", **changes):
    return experiment(name, SWAP, **changes)


@pytest.fixture
def plan(catalogue):
    def make(*experiments, registry=None):
        return expand(parse_suite(HEAD + "\n".join(experiments), "trial.toml"), registry or catalogue(), no_cuda)

    return make


@pytest.fixture
def refused(plan):
    def make(*experiments):
        with pytest.raises(SuiteError) as error:
            plan(*experiments)
        return str(error.value)

    return make


def test_a_task_that_learns_takes_its_own_policy_unless_the_suite_names_one(plan):
    (planned,) = plan(training()).cells
    assert (planned.cell.policy, planned.outcome) == (Choice(name="steady"), None)
    assert planned.cell.task == Choice(name="train", parameters={"iterations": 100})
    (planned,) = plan(training(task='{ name = "train", step_policy = "adapting", iterations = 7 }')).cells
    assert planned.cell.policy == Choice(name="adapting", parameters={"threshold": 0.5})
    assert planned.cell.task.parameters == {"iterations": 7}


def test_policies_and_their_parameters_are_axes(plan):
    policy = '["steady", { name = "adapting", threshold = [0.1, 0.2] }]'
    cells = plan(training(task=f'{{ name = "train", step_policy = {policy} }}', seed="[0, 1]")).cells
    assert [(p.cell.policy.name, p.cell.policy.parameters.get("threshold"), p.cell.seed) for p in cells] == [
        ("steady", None, 0), ("steady", None, 1), ("adapting", 0.1, 0), ("adapting", 0.1, 1), ("adapting", 0.2, 0),
        ("adapting", 0.2, 1),
    ]  # fmt: skip


def test_other_tasks_have_no_policy(plan):
    (planned,) = plan(experiment("a", TRAINING, task='"integrate"', gradient=None)).cells
    assert planned.cell.policy is None


def test_a_policy_that_chooses_first_needs_no_grid_and_takes_one_that_is_given(plan):
    adapting = '{ name = "train", step_policy = "adapting" }'
    (free,) = plan(training(task=adapting, steps=None)).cells
    assert (free.cell.grid, free.outcome) == ({}, None)
    (given_,) = plan(training(task=adapting, steps="4")).cells
    assert (given_.cell.grid, given_.outcome) == ({"steps": 4}, None)


def test_a_solver_that_the_policy_does_not_support_is_unsupported_with_its_reason(plan):
    adapting = '{ name = "train", step_policy = ["adapting", "steady"] }'
    cells = plan(training(task=adapting, solver='["euler", "dopri5"]', tolerance="1e-3")).cells
    assert [(p.cell.solver.name, p.cell.policy.name, p.outcome, p.reason) for p in cells] == [
        ("euler", "adapting", None, None),
        ("euler", "steady", None, None),
        ("dopri5", "adapting", Outcome.UNSUPPORTED, "It adapts fixed steps."),
        ("dopri5", "steady", None, None),
    ]


def test_a_model_without_anything_to_learn_is_unsupported_for_a_training_only(plan):
    (planned,) = plan(training(model='"fixture"')).cells
    assert planned.outcome is Outcome.UNSUPPORTED
    assert planned.reason == "The model 'fixture' has no data to learn from, so it cannot be trained."
    (planned,) = plan(training(model='"fixture"', task='"integrate"', gradient=None)).cells
    assert planned.outcome is None


def test_parts_are_those_that_the_task_declares_in_the_order_of_a_record(plan):
    cells = plan(training(), swap(factor="1"), experiment("other", TRAINING, task='"gradient"')).cells
    assert [p.parts for p in cells] == [("quality",), ("quality", "timing"), ("quality", "memory", "timing")]


def test_each_cell_of_the_training_is_read_by_every_point_of_the_own_axes(plan):
    cells = plan(
        training(steps="[2, 4]", seed="[0, 1]", dtype='"float64"', threads="2"),
        swap(solver='["euler", "midpoint"]', steps="8"),
    ).cells
    trainings, swaps = cells[:4], cells[4:]
    assert [p.cell.needs for p in trainings] == [()] * 4
    assert [(p.cell.needs, p.cell.solver.name, p.cell.grid) for p in swaps] == [
        ((t.cell.id,), solver, grid)
        for t in trainings
        for solver in ("euler", "midpoint")
        for grid in ({"steps": 8}, {"factor": 0.5}, {"factor": 1.0})
    ]
    by_id = {p.cell.id: p.cell for p in trainings}
    for one in swaps:
        origin = by_id[one.cell.needs[0]]
        for name in ("model", "seed", "device", "dtype", "threads"):
            assert getattr(one.cell, name) == getattr(origin, name)
        assert (one.cell.policy, one.cell.gradient, one.outcome) == (None, None, None)


def test_an_experiment_may_evaluate_elsewhere_than_it_trained(plan):
    cells = plan(training(), swap(dtype='["float32", "float64"]', device='"cuda"', factor="1")).cells
    assert [(p.cell.dtype, p.cell.device, p.outcome) for p in cells[1:]] == [
        ("float32", "cuda", Outcome.UNSUPPORTED),
        ("float64", "cuda", Outcome.UNSUPPORTED),
    ]


def test_trainings_come_before_what_needs_them_wherever_they_stand(plan):
    later = plan(swap(), experiment("other", TRAINING, task='"integrate"', gradient=None), training()).cells
    assert [p.experiments for p in later] == [("training",), ("swap",), ("swap",), ("other",)]
    first = plan(training(), swap()).cells
    assert [p.cell.id for p in later[:3]] == [p.cell.id for p in first]


def test_a_training_that_two_experiments_ask_is_read_once(plan):
    cells = plan(training(), training("again", seed="[0, 1]"), swap(trained='["training", "again"]', factor="1")).cells
    assert [p.experiments for p in cells] == [("training", "again"), ("again",), ("swap",), ("swap",)]
    assert [p.cell.needs for p in cells[2:]] == [(cells[0].cell.id,), (cells[1].cell.id,)]


def test_a_training_may_go_on_with_another(plan):
    cells = plan(
        experiment("finer", TRAINING, task='"refine"', trained='"training"', model=None),
        swap(trained='"finer"', factor="1"),
        training(),
    ).cells
    assert [p.experiments for p in cells] == [("training",), ("finer",), ("swap",)]
    assert [p.cell.needs for p in cells] == [(), (cells[0].cell.id,), (cells[1].cell.id,)]
    assert cells[1].cell.policy == Choice(name="steady")


def test_what_needs_a_training_that_is_settled_is_blocked_with_its_reason(plan):
    cells = plan(
        training(
            model='["fixture", { name = "mlp-field", width = 0 }, "mlp-field"]', device='["cpu", "cuda"]', seed="[0]"
        ),
        swap(factor="1"),
    ).cells
    assert [p.outcome for p in cells[:6]] == [
        Outcome.UNSUPPORTED, Outcome.UNSUPPORTED, Outcome.ERROR, Outcome.ERROR, None, Outcome.UNSUPPORTED,
    ]  # fmt: skip
    assert [p.outcome for p in cells[6:]] == [*[Outcome.BLOCKED] * 4, None, Outcome.BLOCKED]
    assert cells[6].reason == (
        "The training that it needs is settled as unsupported: The model 'fixture' has no data to learn from, so it cannot be trained."
    )
    assert cells[8].reason.startswith("The training that it needs is settled as error: The model 'mlp-field' could not")
    assert cells[11].reason == "The training that it needs is settled as unsupported: This machine has no CUDA."


def test_a_factor_multiplies_what_the_training_ended_with_and_nothing_else(plan):
    cells = plan(
        training(solver='["euler", "dopri5"]', tolerance="1e-3"), swap(solver='["midpoint", "dopri5"]', factor="[2]")
    ).cells
    assert [(p.cell.solver.name, p.cell.grid, p.outcome) for p in cells[2:]] == [
        ("midpoint", {"factor": 2.0}, None),
        ("dopri5", {}, Outcome.UNSUPPORTED),
        ("midpoint", {}, Outcome.UNSUPPORTED),
        ("dopri5", {"factor": 2.0}, None),
    ]
    assert "with 'euler', ended with a step, and no tolerance that `factor` could multiply" in cells[3].reason
    assert "Add `tolerance = [1e-6]`" in cells[3].reason
    assert "with 'dopri5', ended with a tolerance, and no step that `factor` could multiply" in cells[4].reason
    given_ = plan(training(), swap(solver='"dopri5"', tolerance="1e-5")).cells[1]
    assert (given_.cell.grid, given_.outcome) == ({"rtol": 1e-5, "atol": 1e-5, "batch": "joint"}, None)


def test_whether_a_policy_ended_with_a_step_or_a_tolerance_is_left_to_the_run_where_only_it_can_know(plan):
    roaming = '{ name = "train", step_policy = "roaming" }'
    cells = plan(
        training(task=roaming, solver='["euler", "dopri5"]', steps=None),
        swap(solver='["midpoint", "dopri5"]', factor="2"),
    ).cells
    assert [(p.cell.solver.name, p.cell.grid, p.outcome) for p in cells[2:]] == [
        ("midpoint", {"factor": 2.0}, None),
        ("dopri5", {}, Outcome.UNSUPPORTED),
        ("midpoint", {"factor": 2.0}, None),
        ("dopri5", {"factor": 2.0}, None),
    ]


@pytest.mark.parametrize(
    ("experiments", "messages"),
    [
        ([swap(trained='"trainig"')], ["`experiment[1].trained[0]` is 'trainig', and the suite has no experiment of that name. Did you mean 'training'? Known here: training."]),
        ([swap(trained='["training", "plain"]')], ["`experiment[1].trained[1]` is 'plain', an experiment whose task 'integrate' does not learn.", "Known here: training."]),
        ([swap(trained='"swap"')], ["`experiment[1].trained[0]` is 'swap', the experiment itself. Known here: training."]),
        ([swap(trained=None, model='"mlp-field"', factor=None, steps="4")], ["`experiment[1].trained` is missing, and the task 'swap' reads what a training left.", "Known here: training."]),
        ([swap(task='"integrate"')], ["`experiment[1].trained` is given, and the task 'integrate' reads no training. Delete the key and say `model`."]),
        ([swap(gradient='"direct"')], ["`experiment[1].gradient` is given, and no gradient method takes part in the task 'swap'."]),
        ([training("a", gradient=None)], ["`experiment[1].gradient` is missing, and the task 'train' needs a gradient method."]),
        ([training("a", task='{ name = "train", step_policy = "stedy" }')], ["`experiment[1].task.step_policy` is 'stedy', and no plugin registers a step policy of that name. Did you mean 'steady'? `odebench list policies` shows all."]),
        ([training("a", task='{ name = "train", step_policy = ["steady", { name = "adapting", treshold = 1 }] }')], ["`experiment[1].task.step_policy[1].treshold` is no parameter of the step policy 'adapting'. Did you mean 'threshold'?"]),
        ([training("a", task='{ name = "train", step_policy = "euler" }')], ["It is the name of a solver."]),
        ([training("a", task='{ name = "gradient", step_policy = "steady" }')], ["`experiment[1].task.step_policy` is 'steady', and no step policy takes part in the task 'gradient', which does not learn. Delete the key."]),
        ([training("a", task='"undetermined"')], ["`experiment[1].task.step_policy` is missing: the task 'undetermined' learns, and names no step policy of its own."]),
        ([training("a", task='{ name = "train", step_policy = ["adapting", "steady"] }', steps=None)], ["`experiment[1]`: It says nothing about the steps", "The step policy 'steady' does not find them by itself."]),
        ([experiment(name, TRAINING, task='"refine"', trained=f'"{other}"', model=None) for name, other in ("ab", "ba")], ["`experiment[1].trained` leads in a circle, back to 'a': no training could begin."]),
    ],
)  # fmt: skip
def test_a_fault_is_named_with_file_key_and_what_to_do(refused, experiments, messages):
    plain = experiment("plain", TRAINING, task='"integrate"', gradient=None)
    text = refused(training(), *experiments, plain)
    assert text.startswith("trial.toml: `experiment[1]")
    for message in messages:
        assert message in text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": '"mlp-field"'}, "`experiment[1].model` is 'mlp-field' (a string). The training in `trained` brings its own: delete the key."),
        ({"seed": "[0, 1]"}, "`experiment[1].seed` is [0, 1] (a list). The training in `trained` brings its own: delete the key."),
        ({"trained": None, "model": '"mlp-field"'}, "`experiment[1].factor` is [0.5, 1] (a list). It multiplies the step with which a training ended, and the experiment names none: add `trained`"),
        ({"factor": "[0.0]"}, "`experiment[1].factor[0]` is 0.0 (a number). It must be above 0."),
        ({"factor": None}, "`experiment[1]`: It says nothing about the steps"),
        ({"trained": "[]"}, "`experiment[1].trained` is [] (a list). An axis needs at least one value"),
        ({"trained": None, "factor": None, "steps": "1"}, "`experiment[1].model` is missing. Add it."),
        ({"trained": None, "factor": None, "steps": "1", "modle": '"mlp-field"'}, "`experiment[1].modle` is not a key of a suite. Did you mean 'model'?"),
        ({"factr": "1"}, "`experiment[1].factr` is not a key of a suite. Did you mean 'factor'?"),
        ({"task": '{ name = "train", step_policy = [] }'}, "`experiment[1].task.step_policy` is [] (a list). An axis needs at least one value"),
        ({"task": '{ name = "train", step_policy = 3 }'}, "`experiment[1].task.step_policy` is 3 (an integer). It must be a name, or a table"),
        ({"task": '{ name = "train", step_policy = ["a", { nam = "b" }] }'}, "`experiment[1].task.step_policy[1].name` is missing. 'nam' stands there: rename it."),
    ],
)  # fmt: skip
def test_keys_that_do_not_go_together_are_refused_before_any_name_is_looked_up(refused, changes, message):
    text = refused(training(), swap(**changes))
    assert text.startswith("trial.toml: ")
    assert message in text


def test_a_suite_without_trainings_says_how_to_get_one(refused):
    text = refused(swap(trained='"training"'))
    assert (
        "is 'training', and the suite has no experiment of that name. The suite has no experiment whose task learns"
        in text
    )
    text = refused(swap(trained=None, model='"mlp-field"', factor=None, steps="4"))
    assert "Add an experiment whose task learns." in text


def test_a_task_that_did_not_load_costs_its_cells_and_blocks_what_needs_them(plan, catalogue):
    registry = catalogue(absent="ImportError: no such library")
    cells = plan(training(task='"absent/train"'), swap(factor="1"), registry=registry).cells
    assert [p.outcome for p in cells] == [Outcome.ERROR, Outcome.BLOCKED]
    assert "Plugin 'absent' did not load" in cells[1].reason


AXIS = st.lists(st.integers(1, 40), min_size=1, max_size=3, unique=True)


@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(steps=AXIS, seeds=AXIS, factors=AXIS, own=AXIS, order=st.permutations(["training", "swap", "lone"]))
def test_every_training_meets_every_point_whatever_the_order_of_the_file(plan, steps, seeds, factors, own, order):
    written = {
        "training": training(steps=str(steps), seed=str(seeds)),
        "swap": swap(factor=str(factors), steps=str(own)),
        "lone": experiment("lone", TRAINING, task='"integrate"', gradient=None),
    }
    cells = [p.cell for p in plan(*(written[name] for name in order)).cells]
    places = {cell.id: place for place, cell in enumerate(cells)}
    assert len(places) == len(cells)
    assert all(places[need] < places[cell.id] for cell in cells for need in cell.needs)
    got = {(cells[places[cell.needs[0]]].grid["steps"], cell.seed, *cell.grid.items()) for cell in cells if cell.needs}
    grids = [("factor", float(f)) for f in factors] + [("steps", n) for n in own]
    assert got == {(n, s, grid) for n, s, grid in product(steps, seeds, grids)}
