"""`compile` in suites: an axis, and why combinations are refused before anything runs."""

import pytest

from odebench.errors import SuiteError
from odebench.outcome import Outcome
from odebench.plan.cell import Cell
from odebench.plan.expand import expand
from odebench.plan.suite import parse_suite
from odebench.plugins import build_registry

HEAD = 'schema = 1\n[suite]\nname = "trial"\n[budget]\n'
EXPERIMENT = """
[[experiment]]
name = "first"
task = "{task}"
model = "{model}"
solver = {solver}
steps = 16
tolerance = 1e-6
"""


@pytest.fixture(scope="module")
def registry():
    return build_registry(prefixes=())


@pytest.fixture
def plan(registry):
    def make(more="", task="integrate", model="linear", solver='"rk4"', head="", overrides=()):
        text = HEAD + head + EXPERIMENT.format(task=task, model=model, solver=solver) + more
        return expand(parse_suite(text, "trial.toml", overrides=overrides), registry, lambda device: None).cells

    return make


def test_the_experiment_the_budget_and_the_command_line_say_whether_cells_are_compiled(plan):
    assert [one.cell.compile for one in plan()] == [False]
    assert [one.cell.compile for one in plan("compile = true")] == [True]
    assert [one.cell.compile for one in plan('compile = [false, true, "auto"]')] == [False, True, "auto"]
    assert [one.cell.compile for one in plan(head="compile = [true, false]")] == [True, False]
    assert [one.cell.compile for one in plan("compile = false", head="compile = true")] == [False]
    for override in ("experiment[0].compile=[true]", "budget.compile=true"):
        assert [one.cell.compile for one in plan(overrides=[override])] == [True]
    with pytest.raises(SuiteError, match=r"experiment\[0\].compile"):
        plan("compile = 1")


def test_a_cell_that_is_not_compiled_says_nothing_of_it(plan):
    """Records that were stored before there was a compiled engine keep their ids."""
    eager, compiled, auto = (one.cell for one in plan('compile = [false, true, "auto"]'))
    assert "compile" not in eager.to_json()
    assert compiled.to_json() == eager.to_json() | {"compile": True}
    assert auto.to_json() == eager.to_json() | {"compile": "auto"}
    assert len({eager.id, compiled.id, auto.id}) == 3
    assert [Cell.from_json(cell.to_json()).compile for cell in (eager, compiled, auto)] == [False, True, "auto"]


@pytest.mark.parametrize(
    ("changes", "more", "words"),
    [
        ({"solver": '"kvaerno3"'}, "", "The solver 'kvaerno3' has no compiled form"),
        ({"task": "gradient"}, 'gradient = "continuous-adjoint"', "'continuous-adjoint' has no compiled form"),
        ({"task": "train", "model": "conv1d-net"}, 'gradient = "direct"', "The task 'train' trains"),
    ],
)
def test_what_has_no_compiled_form_is_refused_before_it_runs(plan, changes, more, words):
    strict, auto = plan(more + '\ncompile = [true, "auto"]', **changes)
    assert strict.outcome is Outcome.UNSUPPORTED
    assert words in strict.reason
    assert auto.outcome is None


@pytest.mark.parametrize("task", ["integrate", "reversibility"])
def test_what_can_be_compiled_is_run(plan, task):
    (planned,) = plan("compile = true", task=task, solver='"dopri5"')
    assert planned.outcome is None
