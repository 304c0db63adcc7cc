"""A budget's variant may change experiments: what it names replaces the above, and what it misspells is refused."""

import pytest

from odebench.errors import SuiteError
from odebench.plan.suite import parse_suite

SUITE = """\
schema = 1
[suite]
name = "trial"
[budget]
timeout = "12h"
[budget.quick]
timeout = "5m"
[[budget.quick.experiment]]
name = "training"
task = { iterations = 1500, schedule = "cosine" }
seed = [0, 1]
[[budget.quick.experiment]]
name = "solutions"
steps = 8
[budget.tiny]
[[experiment]]
name = "training"
task = { name = "train", iterations = 10000, learning_rate = 1e-3, schedule = "constant" }
model = "conv1d-net"
solver = "euler"
gradient = "direct"
steps = [2, 256]
seed = [0, 1, 2, 3, 4]
[[experiment]]
name = "solutions"
task = "integrate"
model = "lorenz"
solver = "rk4"
steps = [16, 32]
"""


def read(old="", new="", **options):
    assert old in SUITE
    return parse_suite(SUITE.replace(old, new) if old else SUITE, "trial.toml", **options)


def refused(old="", new="", **options):
    with pytest.raises(SuiteError) as error:
        read(old, new, **options)
    return str(error.value)


def test_what_a_variant_names_replaces_the_above_and_nothing_else():
    full, quick = read(), read(budget="quick")
    assert full.experiments[0].task.parameters["iterations"] == 10000
    training, solutions = quick.experiments
    assert quick.budget.timeout_s == 300.0
    assert training.task.name == "train"
    assert training.task.parameters == {"iterations": 1500, "learning_rate": 1e-3, "schedule": "cosine"}
    assert (training.seed, training.steps) == ((0, 1), (2, 256))
    assert solutions.steps == (8,) and solutions.task == full.experiments[1].task
    assert read(budget="tiny").experiments == full.experiments


def test_parameters_are_added_to_a_task_that_is_a_bare_name():
    text = 'name = "solutions"\nsteps = 8'
    one = read(text, 'name = "solutions"\ntask = { weight = 2 }', budget="quick").experiments[1].task
    assert (one.name, one.parameters) == ("integrate", {"weight": 2})
    other = 'name = "training"\ntask = { name = "gradient", weight = 2 }'
    one = read('name = "training"\ntask = { iterations = 1500, schedule = "cosine" }', other, budget="quick")
    assert one.experiments[0].task.parameters == {"weight": 2}, "another task has other parameters"


def test_overrides_reach_a_variant_and_what_came_of_it():
    assert read(budget="quick", overrides=["experiment[0].seed=[7]"]).experiments[0].seed == (7,)
    assert read(budget="quick", overrides=["budget.quick.experiment[0].seed=[7]"]).experiments[0].seed == (7,)
    assert read(overrides=["budget.quick.experiment[0].seed=[7]"]).experiments[0].seed == (0, 1, 2, 3, 4)


@pytest.mark.parametrize("budget", [None, "quick", "tiny"])
@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("seed = [0, 1]\n", "sed = [0, 1]\n", ["`budget.quick.experiment[0].sed` is not a key", "Did you mean 'seed'"]),
        ("seed = [0, 1]\n", "seed = 'x'\n", ["`budget.quick.experiment[0].seed` is 'x'", "must be an integer"]),
        ("seed = [0, 1]\n", "seed = []\n", ["`budget.quick.experiment[0].seed`", "An axis needs at least one value"]),
        ('name = "solutions"\nsteps = 8', "steps = 8", ["`budget.quick.experiment[1].name` is missing"]),
        (
            'name = "solutions"\nsteps = 8', 'name = "solution"\nsteps = 8',
            ["`budget.quick.experiment[1].name` is 'solution', and no experiment has that name", "Did you mean 'solutions'"],
        ),
        ("[budget.tiny]", "[budget.tiny]\nexperiment = 3", ["`budget.tiny.experiment` is 3 (an integer)", "[[budget.tiny.experiment]]"]),
        ("[budget.tiny]", "[budget.tiny]\niterations = 3", ["`budget.tiny.iterations` is not a key"]),
    ],
)  # fmt: skip
def test_a_faulty_variant_is_refused_whether_it_is_chosen_or_not(old, new, said, budget):
    message = refused(old, new, budget=budget)
    assert message.startswith("trial.toml: ")
    for words in said:
        assert words in message


def test_a_fault_of_an_experiment_is_told_once_and_where_it_stands():
    message = refused('solver = "rk4"\n', 'solvr = "rk4"\n', budget="quick")
    assert message.splitlines() == [line for line in message.splitlines() if "`experiment[1].solv" in line]


def test_budget_itself_changes_no_experiment():
    assert "`budget.experiment` is not a key" in refused('timeout = "12h"\n', "experiment = 3\n")
