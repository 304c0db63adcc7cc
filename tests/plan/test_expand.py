"""Suite × registry → plan."""

import tomllib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from odebench.errors import SuiteError
from odebench.outcome import Outcome
from odebench.plan.expand import expand
from odebench.plan.resolve import expand_lists
from odebench.plan.suite import parse_suite

HEAD = 'schema = 1\n[suite]\nname = "trial"\n'


def no_cuda(device):
    return "This machine has no CUDA." if device.startswith("cuda") else None


def experiment(name="first", **keys):
    """One experiment as TOML; a value is written as it stands."""
    keys = {"task": '"integrate"', "model": '"lotka-volterra"', "solver": '"euler"', "steps": "16"} | keys
    lines = [f"{key} = {value}" for key, value in keys.items() if value is not None]
    return "\n".join(["[[experiment]]", f'name = "{name}"', *lines, ""])


@pytest.fixture
def plan(catalogue):
    def make(*experiments, registry=None, head=HEAD):
        suite = parse_suite(head + "\n".join(experiments), "trial.toml")
        return expand(suite, registry or catalogue(), no_cuda)

    return make


def test_the_product_of_all_axes_in_the_order_of_the_suite(plan):
    cells = plan(
        experiment(
            model='["lotka-volterra", { name = "mlp-field", width = [32, 64], depth = 3 }]',
            solver='["euler", "midpoint"]',
            steps="[16, 32]",
            step_size="0.5",
            seed="[0, 1]",
            dtype='["float32", "float64"]',
        )
    ).cells
    assert len(cells) == 3 * 2 * 3 * 2 * 2
    assert all(planned.outcome is None and planned.reason is None for planned in cells)
    assert [planned.cell.seed for planned in cells[:4]] == [0, 1, 0, 1]
    assert [planned.cell.dtype for planned in cells[:4]] == ["float32", "float32", "float64", "float64"]
    assert [planned.cell.grid for planned in cells[0:12:4]] == [{"steps": 16}, {"steps": 32}, {"step_size": 0.5}]
    assert cells[0].cell.model.parameters == {"alpha": 1.5, "batch": 4}
    assert cells[24].cell.model.parameters == {"width": 32, "depth": 3, "sizes": [2, 2]}
    assert cells[-1].cell.model.parameters == {"width": 64, "depth": 3, "sizes": [2, 2]}


def test_adaptive_solvers_take_tolerances_and_the_others_steps(plan):
    cells = plan(experiment(solver='["euler", "dopri5"]', steps="[16, 32]", tolerance="1e-6")).cells
    assert [(p.cell.solver.name, p.cell.grid) for p in cells] == [
        ("euler", {"steps": 16}),
        ("euler", {"steps": 32}),
        ("dopri5", {"rtol": 1e-6, "atol": 1e-6, "batch": "joint"}),
    ]


def test_a_pair_declared_not_adaptive_takes_steps(plan):
    (planned,) = plan(experiment(solver='{ name = "dopri5", adaptive = false }', tolerance="1e-6")).cells
    assert planned.cell.grid == {"steps": 16}
    assert planned.cell.solver.parameters == {"adaptive": False, "safety": 0.9}


def test_a_solver_without_a_grid_is_unsupported_and_not_dropped(plan):
    cells = plan(experiment(solver='["euler", "dopri5"]', seed="[0, 1]")).cells
    assert [(p.cell.solver.name, p.cell.grid, p.outcome) for p in cells[2:]] == [
        ("dopri5", {}, Outcome.UNSUPPORTED)
    ] * 2
    assert (
        "gives no tolerance. Add `tolerance = [1e-6]`, or write { name = 'dopri5', adaptive = false }."
        in cells[2].reason
    )
    (fixed,) = plan(experiment(steps=None, tolerance="1e-6")).cells
    assert (fixed.cell.grid, fixed.outcome) == ({}, Outcome.UNSUPPORTED)
    assert "takes fixed steps, and experiment 'first' gives neither `steps` nor `step_size`" in fixed.reason


def test_a_pair_that_the_gradient_does_not_support_is_unsupported_with_its_reason(plan):
    cells = plan(
        experiment(
            task='"gradient"', solver='["euler", "dopri5"]', gradient='["direct", "only-fixed"]', tolerance="1e-6"
        )
    ).cells
    assert [(p.cell.solver.name, p.cell.gradient.name, p.outcome) for p in cells] == [
        ("euler", "direct", None),
        ("euler", "only-fixed", None),
        ("dopri5", "direct", None),
        ("dopri5", "only-fixed", Outcome.UNSUPPORTED),
    ]
    assert cells[-1].reason == "It needs a fixed grid."


def test_a_gradient_whose_supports_misbehaves_costs_its_own_cells(plan):
    cells = plan(experiment(task='"gradient"', gradient='["undecided", "direct", "raising"]')).cells
    assert [p.outcome for p in cells] == [Outcome.ERROR, None, Outcome.ERROR]
    assert "returned True. It must return None, or the reason" in cells[0].reason
    assert "RuntimeError('no idea')" in cells[2].reason


def test_a_device_that_the_machine_lacks_is_unsupported(plan):
    cells = plan(experiment(device='["cpu", "cuda:1"]')).cells
    assert [(p.cell.device, p.outcome, p.reason) for p in cells] == [
        ("cpu", None, None),
        ("cuda:1", Outcome.UNSUPPORTED, "This machine has no CUDA."),
    ]


def test_the_budget_gives_device_dtype_and_threads_unless_the_experiment_does(plan):
    head = HEAD + '[budget]\ndtype = ["float64"]\nthreads = [1, 2]\n'
    cells = plan(experiment(), experiment("second", dtype='"float32"', threads="4"), head=head).cells
    assert [(p.cell.dtype, p.cell.threads) for p in cells] == [("float64", 1), ("float64", 2), ("float32", 4)]


def test_a_cell_of_two_experiments_is_one_cell_with_both_names(plan):
    cells = plan(
        experiment(steps="[16, 32]"),
        experiment("second", steps="[32, 64]", model='{ name = "lotka-volterra", batch = 4 }'),
    ).cells
    assert [(p.cell.grid["steps"], p.experiments) for p in cells] == [
        (16, ("first",)),
        (32, ("first", "second")),
        (64, ("second",)),
    ]


def test_an_integer_for_a_float_parameter_is_the_same_question(plan):
    cells = plan(experiment(model='{ name = "lotka-volterra", alpha = [2, 2.0] }')).cells
    assert len(cells) == 1
    assert cells[0].cell.model.parameters["alpha"] == 2.0
    assert isinstance(cells[0].cell.model.parameters["alpha"], float)


def test_a_task_may_have_axes_too(plan):
    cells = plan(experiment(task='{ name = "gradient", loss = ["a", "b"] }', gradient='"direct"')).cells
    assert [p.cell.task.parameters for p in cells] == [{"loss": "a"}, {"loss": "b"}]


def refused(plan, *experiments, **options):
    with pytest.raises(SuiteError) as error:
        plan(*experiments, **options)
    return str(error.value)


def test_a_task_and_its_gradient_must_agree(plan):
    message = refused(plan, experiment(task='"gradient"'))
    assert "`experiment[0].gradient` is missing, and the task 'gradient' needs a gradient method" in message
    message = refused(plan, experiment(gradient='"direct"'))
    assert "`experiment[0].gradient` is given, and no gradient method takes part in the task 'integrate'" in message


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"solver": '["euler", "dopri"]'}, "`experiment[0].solver[1]` is 'dopri', and no plugin registers a solver of that name. Did you mean 'dopri5'?"),
        ({"solver": '{ name = "dopri", safety = 1.0 }'}, "`experiment[0].solver[0].name` is 'dopri'"),
        ({"model": '"lotka"'}, "Did you mean 'lotka-volterra'? `odebench list models` shows all."),
        ({"task": '"integrat"'}, "`experiment[0].task` is 'integrat'"),
        ({"gradient": '"drect"', "task": '"gradient"'}, "`experiment[0].gradient[0]` is 'drect'"),
        ({"solver": '"direct"'}, "It is the name of a gradient."),
        ({"solver": '"library/rk4"'}, "No plugin 'library' is loaded here: install the distribution that offers it."),
        ({"model": '{ name = "mlp-field", widht = 3 }'}, "`experiment[0].model[0].widht` is no parameter of the model 'mlp-field'. Did you mean 'width'?"),
        ({"solver": '{ name = "euler", order = 3 }'}, "`experiment[0].solver[0].order` is no parameter of the solver 'euler'. It has none"),
        ({"solver": '"wrapper"'}, "`experiment[0].solver[0].base` is missing: the solver 'wrapper' has no default for it. Write { name = 'wrapper', base = … }."),
    ],
)  # fmt: skip
def test_an_unknown_name_or_parameter_is_a_suite_error(plan, keys, message):
    text = refused(plan, experiment(**keys))
    assert text.startswith("trial.toml: `experiment[0].")
    assert message in text


def test_faults_of_all_experiments_are_named_at_once(plan):
    message = refused(plan, experiment(solver='["a-a", "b-b"]'), experiment("second", model='"c-c"'))
    assert len(message.splitlines()) == 3
    assert "experiment[1].model[0]" in message


def test_a_factory_that_raises_costs_only_its_cells(plan):
    cells = plan(
        experiment(model='{ name = "mlp-field", width = [0, 1] }', solver='["euler", "quits", "infinite"]')
    ).cells
    by_width = {(p.cell.model.parameters["width"], p.cell.solver.name): p for p in cells}
    assert by_width[1, "euler"].outcome is None
    assert by_width[0, "euler"].outcome is Outcome.ERROR
    assert by_width[0, "euler"].reason == (
        "The model 'mlp-field' could not be built with width=0: ValueError: width must be at least 1"
    )
    assert (by_width[1, "quits"].outcome, by_width[1, "quits"].cell.grid) == (Outcome.ERROR, {})
    assert "SystemExit: no licence" in by_width[1, "quits"].reason
    assert "`infinite.limit` is inf, which JSON cannot hold" in by_width[1, "infinite"].reason


def test_a_plugin_that_did_not_load_costs_its_own_cells_with_its_reason(plan, catalogue):
    registry = catalogue(torchdiffeq="ImportError: no torchdiffeq")
    solvers = '["euler", "torchdiffeq/dopri5", { name = "torchdiffeq/rk4", perturb = [true, false] }, "alone"]'
    cells = plan(experiment(solver=solvers), registry=registry).cells
    assert [(p.cell.solver.name, p.outcome) for p in cells] == [
        ("euler", None),
        ("torchdiffeq/dopri5", Outcome.ERROR),
        ("torchdiffeq/rk4", Outcome.ERROR),
        ("torchdiffeq/rk4", Outcome.ERROR),
        ("alone", Outcome.ERROR),
    ]
    assert cells[1].reason == "Plugin 'torchdiffeq' did not load: ImportError: no torchdiffeq"
    assert cells[2].cell.solver.parameters == {"perturb": True}
    assert "torchdiffeqs/x" in refused(plan, experiment(solver='"torchdiffeqs/x"'), registry=registry)


def test_a_name_that_nobody_knows_may_belong_to_a_plugin_that_did_not_load(plan, catalogue):
    message = refused(plan, experiment(solver='"zzz"'), registry=catalogue(**{"mine.py": "SyntaxError"}))
    assert "Some plugins did not load and may have it: 'mine.py'; `odebench plugins` shows why." in message


def test_a_required_parameter_is_part_of_the_choice(plan):
    (planned,) = plan(experiment(solver='{ name = "wrapper", base = "euler" }')).cells
    assert planned.cell.solver.parameters == {"base": "euler", "depth": 1}


def test_an_error_of_odebench_in_a_factory_keeps_its_words(plan):
    (planned,) = plan(experiment(solver='"picky"')).cells
    assert planned.reason == "The solver 'picky' could not be built: Row 2 of `a` does not sum to c[2]."


def test_each_distinct_choice_is_built_once(plan, catalogue):
    registry = catalogue()
    plan(experiment(solver='["euler", "euler"]', seed="[0, 1, 2]"), experiment("second"), registry=registry)
    assert registry.get("solver", "euler").built == 1


def test_runnable_and_settled_share_the_cells(plan):
    made = plan(experiment(device='["cpu", "cuda"]'))
    assert [p.cell.device for p in made.runnable] == ["cpu"]
    assert [p.cell.device for p in made.settled] == ["cuda"]


def test_lists_inside_a_nested_choice_are_axes_and_other_tables_are_values():
    parameters = tomllib.loads('base = { name = "rk4", n = [1, 2] }\nsizes = [[1, 2]]\noptions = { a = [1, 2] }')
    assert list(expand_lists(parameters)) == [
        {"base": {"name": "rk4", "n": n}, "sizes": [1, 2], "options": {"a": [1, 2]}} for n in (1, 2)
    ]


AXIS = st.lists(st.integers(1, 40), min_size=1, max_size=4)


@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(widths=AXIS, steps=AXIS, seeds=AXIS, overlap=AXIS)
def test_cells_are_unique_complete_and_in_a_repeatable_order(plan, widths, steps, seeds, overlap):
    experiments = (
        experiment(model=f'{{ name = "mlp-field", width = {widths} }}', steps=str(steps), seed=str(seeds)),
        experiment("second", model=f'{{ name = "mlp-field", width = {widths} }}', steps=str(overlap), seed=str(seeds)),
    )
    cells = plan(*experiments).cells
    ids = [p.cell.id for p in cells]
    assert len(set(ids)) == len(ids)
    want = {(w, n, s): {"first"} for w in widths for n in steps for s in seeds}
    for w in widths:
        for n in overlap:
            for s in seeds:
                want.setdefault((w, n, s), set()).add("second")
    got = {(p.cell.model.parameters["width"], p.cell.grid["steps"], p.cell.seed): set(p.experiments) for p in cells}
    assert got == want
    assert [p.cell.id for p in plan(*experiments).cells] == ids
