"""Verdicts on models whose answers and errors are known in closed form."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch import nn

import odebench
from odebench.contract import StepSize
from odebench.errors import DivergedError, GridError, IncompatibleError
from odebench.validation import Verdict, validate
from tests.validation.turning import Turning, clear, doubtful, euler_degrees, euler_error, points


def check(data, model=None, **options):
    return validate(model or Turning(), data, **{"solver": "euler", "steps": 2, **options})


def named(found, label):
    (one,) = (one for one in found.tried if one.label == label)
    return one


def test_answers_that_no_accurate_solver_changes_make_a_flow():
    found = check(clear())
    assert found.verdict is Verdict.FLOW == "a flow"
    assert found.worst_change == 0
    assert found.sentence.startswith("A flow: under all 8 solvers")
    assert {one.place for one in found.tried} == {"inside"}
    assert [one.label for one in found.tried] == [
        "euler, 4 steps", "euler, 8 steps", "midpoint, 2 steps", "midpoint, 4 steps", "midpoint, 8 steps",
        "rk4, 2 steps", "rk4, 4 steps", "rk4, 8 steps",
    ]  # fmt: skip


def test_answers_of_its_own_solver_alone_make_a_tied_model():
    found = check(doubtful(share=0.3))
    assert found.verdict is Verdict.TIED
    assert found.own.metric == 1.0
    one = named(found, "rk4, 8 steps")
    assert (one.change, one.metric, one.changed_answers) == (pytest.approx(-0.3), pytest.approx(0.7), 300)
    assert one.low < -0.3 < one.high < -0.02
    assert "under rk4, 8 steps" in found.sentence and "falls from 100.0 % to 70.0 %, by 30 points" in found.sentence


def test_too_few_samples_leave_it_undecided_and_the_number_that_is_named_decides_it():
    found = check(clear(40))
    assert found.verdict is Verdict.UNDECIDED
    assert found.samples_needed == 189  # z² (1 - 0.02) / 0.02, see the closed form in test_intervals
    assert "about 189 samples" in found.sentence
    assert check(clear(found.samples_needed)).verdict is Verdict.FLOW
    assert check(clear(found.samples_needed - 1)).verdict is Verdict.UNDECIDED


def test_errors_are_those_of_the_closed_form():
    found = check(clear(50))
    for one in (found.own, *found.tried[:2]):
        assert one.error == pytest.approx(euler_error(one.steps), rel=1e-3)
    midpoint = named(found, "midpoint, 2 steps")
    z = complex(0, math.pi / 4)
    assert midpoint.error == pytest.approx(abs((1 + z + z * z / 2) ** 2 - complex(0, 1)), rel=1e-3)
    assert found.uncertainty < 0.02 * found.own.error


def test_evaluations_and_steps_are_counted():
    found = check(clear(50))
    rk4 = named(found, "rk4, 4 steps")
    assert (found.own.evaluations, found.own.steps, found.own.step_size) == (2, 2, 0.5)
    assert (rk4.evaluations, rk4.steps, rk4.step_size, rk4.order, rk4.finer) == (16, 4, 0.25, 4, 2)


def test_a_solver_of_larger_error_is_shown_but_not_judged():
    """Under one step of Euler's method, which is worse than its own eight, all answers differ."""

    class Wrong(odebench.OneStepSolver):
        name, order = "wrong", 1

        def step(self, field, t, dt, y, carry=None, *, error=False, dense=False):
            return odebench.Step(y - dt * field(t, y))

    found = check(clear(), Turning(8), steps=8, against=[Wrong()], finer=(2,))
    wrong = named(found, "wrong, 8 steps")
    assert not wrong.judged and wrong.place is None and wrong.error > 1
    assert wrong.changed_answers > 0
    assert found.verdict is Verdict.FLOW
    assert "not judged" not in found.sentence


def test_where_no_solver_is_as_good_it_is_undecided():
    class Wrong(odebench.OneStepSolver):
        name, order = "wrong", 1

        def step(self, field, t, dt, y, carry=None, *, error=False, dense=False):
            return odebench.Step(y - dt * field(t, y))

    model = Turning(8)
    found = check(clear(), model, steps=8, against=[Wrong()], finer=())
    assert found.verdict is Verdict.UNDECIDED and found.samples_needed is None
    assert "no solver that was tried has an error as small" in found.sentence


def test_data_come_in_every_usual_form():
    inputs, targets = clear(60)
    expected = check((inputs, targets)).to_json()
    dataset = torch.utils.data.TensorDataset(inputs, targets)
    forms = [
        [inputs, targets],
        (inputs.numpy(), targets.numpy()),
        {"inputs": inputs, "targets": targets, "more": 3},
        dataset,
        torch.utils.data.DataLoader(dataset, batch_size=7),
        [(inputs[:20], targets[:20]), (inputs[20:], targets[20:])],
    ]
    for form in forms:
        assert check(form).to_json() == expected


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"inputs": torch.zeros(3, 2)}, "no targets"),
        ((torch.zeros(3, 2), torch.zeros(4)), "3 inputs and 4 targets"),
        ((torch.zeros(0, 2), torch.zeros(0)), "hold no rows"),
        ([torch.zeros(3, 2)], "Batch 0 of the data is a Tensor that is no pair"),
        (3, "The data are a int"),
        (None, "No data are given"),
    ],
)
def test_other_data_are_refused_in_words(data, words):
    with pytest.raises(IncompatibleError, match=words):
        check(data)


def test_values_are_judged_by_r2_and_the_changes_are_those_of_the_closed_form():
    """Targets are what Euler's method itself gives, so that R² is 1 there, and known elsewhere."""
    inputs, _ = clear(500)

    class Values(Turning):
        def readout(self, y):
            return y

    model = Values()
    targets = model(inputs).detach()
    found = check((inputs, targets), model)
    assert (found.metric, found.own.metric, found.verdict) == ("r2", pytest.approx(1), Verdict.TIED)
    variance = (targets - targets.mean(0)).square().sum(1).mean().item()
    error = abs(complex(1, math.pi / 4) ** 2 - complex(1, math.pi / 16) ** 8) ** 2
    assert named(found, "euler, 8 steps").change == pytest.approx(-error / variance, rel=1e-4)
    assert named(found, "euler, 8 steps").changed_answers is None


def test_any_function_can_be_the_metric():
    def distance(outputs, targets):
        return -outputs[:, 1].abs()

    found = check(clear(300), metric=distance, threshold=0.5)
    assert (found.metric, found.percent) == ("distance", False)
    one = named(found, "rk4, 8 steps")
    inputs, _ = clear(300)
    expected = -inputs[:, 0].abs().mean() + Turning()(inputs)[:, 1].abs().mean()
    assert one.change == pytest.approx(expected.item(), abs=1e-4)


@pytest.mark.parametrize("metric", [lambda outputs, targets: outputs, lambda outputs, targets: 3.0, "acuracy"])
def test_what_is_no_metric_is_refused(metric):
    with pytest.raises(IncompatibleError, match=r"one score for each sample|did you mean 'accuracy'"):
        check(clear(20), metric=metric)


def test_a_single_logit_is_an_answer_too():
    class Single(Turning):
        def readout(self, y):
            return y[:, 1:]

    found = check(doubtful(share=0.3), Single())
    assert named(found, "rk4, 8 steps").change == pytest.approx(-0.3)


def test_the_model_is_left_as_it_was():
    model = Turning()
    model.noise = nn.Dropout()
    model.noise.eval()
    model.train()
    model.noise.training = False
    state = torch.random.get_rng_state()
    check(clear(30), model)
    assert model.training and not model.noise.training
    assert torch.equal(state, torch.random.get_rng_state())
    assert torch.get_default_dtype() == torch.float32
    assert model.rate.grad is None and model.rate.dtype == torch.float32


def test_the_same_seed_gives_the_same_validation():
    assert check(doubtful(200, 0.02), seed=3).to_json() == check(doubtful(200, 0.02), seed=3).to_json()


def test_batches_do_not_change_anything_for_fixed_steps():
    first, second = (check(doubtful(100), batch_size=size) for size in (7, 512))
    assert first.to_json()["tried"] == second.to_json()["tried"]


def test_an_encoder_before_and_a_tuple_state_are_possible():
    """The same turning as a tuple of two columns, from inputs in another order."""

    class Tuple(nn.Module):
        span = (0.0, 1.0)

        def encode(self, x):
            return x[:, 1:] * 0.5, x[:, :1] * 0.5

        def field(self, t, y):
            a, b = y
            return -math.pi / 2 * b, math.pi / 2 * a

        def readout(self, y):
            return torch.cat((-y[1], y[1]), dim=1)

    inputs, targets = doubtful()
    found = check((2 * inputs.flip(1), targets), Tuple())
    assert found.verdict is Verdict.TIED
    assert named(found, "rk4, 8 steps").change == pytest.approx(-0.3)
    assert found.own.error == pytest.approx(euler_error(2), rel=1e-3)
    assert found.crossings is None


def test_a_forward_that_does_something_else_than_is_said_is_refused():
    with pytest.raises(IncompatibleError, match=r"not those of 'euler' with 2 steps on its field: they differ by"):
        check(clear(), Turning(3))
    assert check(clear(), Turning(3), check_forward=False).verdict is Verdict.FLOW


def test_a_model_without_a_readout_is_told_so():
    class Without(Turning):
        readout = None

        def forward(self, x):
            return super().field(0.0, x)[:, :1]

    with pytest.raises(
        IncompatibleError,
        match=r"returns \(1000, 1\), but its last state is \(1000, 2\)\. It has no `encode` and no `re",
    ):
        check(clear(), Without(), batch_size=2000)


@pytest.mark.parametrize("exposed", [True, False])
def test_what_is_not_finite_is_no_flow(exposed):
    """Nothing is lost from answers that are none, under any solver."""

    class Calling(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = Turning()

        def forward(self, x):
            span = torch.tensor([0.0, 1.0])
            y = odebench.odeint(self.inner.field, x, span, method="euler", options={"step_size": 0.5})[-1]
            return self.inner.readout(y)

    model, given = (Turning(), {"solver": "euler", "steps": 2}) if exposed else (Calling(), {})
    inputs, targets = clear()
    inputs[7] = math.nan
    with pytest.raises(
        IncompatibleError, match="for 1 of 1000 inputs, the first in row 7. Nor are 1 of the inputs, the first in row 7"
    ):
        validate(model, (inputs, targets), **given)
    inputs, targets = clear()
    with pytest.raises(DivergedError, match="weights and the inputs are finite, so the solve overflows"):
        validate(model, (inputs * 3e38, targets), **given)
    with torch.no_grad():
        next(model.parameters()).fill_(math.nan)
    with pytest.raises(DivergedError, match=r"for 1000 of 1000 inputs.*Nor are these of its weights: (inner\.)?rate\."):
        validate(model, (inputs, targets), **given)


def test_classes_that_the_model_does_not_know_are_refused():
    inputs, targets = clear()
    with pytest.raises(IncompatibleError, match=r"the targets go from 5 to 6, .* know the classes 0 to 1"):
        check((inputs, (torch.arange(len(targets)) % 2) + 5))


def test_what_the_models_code_raises_is_told_with_the_shape_of_the_data():
    inputs, targets = clear()
    with pytest.raises(IndexError) as raised:
        check((inputs[:, :1], targets))
    assert "inputs of the shape (1000, 1), float32" in raised.value.__notes__[0]


def test_a_field_without_its_solver_is_refused():
    with pytest.raises(IncompatibleError, match=r"shows its field and its span, but not its solver"):
        validate(Turning(), clear())
    with pytest.raises(GridError, match="no solver"):
        validate(Turning(), clear(), steps=2)
    with pytest.raises(GridError, match="takes fixed steps: give steps or step_size"):
        validate(Turning(), clear(), solver="euler")


@pytest.mark.parametrize(
    ("how", "label"),
    [
        ({"solver": "euler", "steps": None, "step_size": 0.5}, "euler, 2 steps"),
        ({"solver": "dopri5", "steps": None, "tolerance": 1e-2}, "dopri5, tolerance 0.01"),
        (
            {"solver": odebench.solve.__kwdefaults__["solver"], "steps": None, "grid": StepSize(steps=3)},
            "dopri5, 3 steps",
        ),
    ],
)
def test_a_solver_is_said_in_several_ways(how, label):
    found = check(clear(200), check_forward=False, **how)
    assert found.own.label == label
    assert found.verdict is Verdict.FLOW


def test_finer_tolerances_are_tenths_and_other_solvers_take_the_tolerance():
    found = check(clear(200), solver="bosh3", steps=None, tolerance=1e-2, check_forward=False)
    assert [one.label for one in found.tried] == [
        "bosh3, tolerance 0.001", "bosh3, tolerance 0.0001",
        "dopri5, tolerance 0.01", "dopri5, tolerance 0.001", "dopri5, tolerance 0.0001",
        "dopri8, tolerance 0.01", "dopri8, tolerance 0.001", "dopri8, tolerance 0.0001",
    ]  # fmt: skip


def test_solvers_to_try_can_be_named():
    found = check(clear(200), against=["heun", {"name": "dopri5", "adaptive": False}], finer=(3,))
    assert [one.label for one in found.tried] == [
        "euler, 6 steps", "heun, 2 steps", "heun, 6 steps", "dopri5, 2 steps", "dopri5, 6 steps",
    ]  # fmt: skip
    with pytest.raises(IncompatibleError, match="'heun' takes fixed steps, but the model follows a tolerance"):
        check(clear(50), solver="dopri5", steps=None, tolerance=1e-3, against=["heun"], check_forward=False)


class BlowUp(nn.Module):
    """y' = y², whose solution from y = 2 ends at t = 1/2; two steps of Euler's method do not see that."""

    span = (0.0, 1.0)

    def field(self, t, y):
        return y * y


def test_a_solution_that_ends_before_the_span_does_is_no_flow():
    inputs = torch.linspace(1.9, 2.1, 300)[:, None]
    targets = torch.ones(300, dtype=torch.int64)
    found = check((inputs, targets), BlowUp(), finer=(2, 32, 64))
    assert found.uncertainty is None
    assert any("Errors could not be measured" in note for note in found.notes)
    assert found.verdict is Verdict.TIED
    assert found.own.error is None


def test_a_model_whose_own_solve_cannot_go_on_is_an_error():
    with pytest.raises(DivergedError):
        check((torch.full((10, 1), 2.0), torch.ones(10).long()), BlowUp(), solver="dopri5", steps=None, tolerance=1e-3)


def test_a_model_that_only_guesses_is_told_apart():
    inputs, _ = clear(1000)
    found = check((inputs, torch.arange(1000) % 2))
    assert found.verdict is Verdict.FLOW
    assert any("hardly better than always answering the most frequent class" in note for note in found.notes)


def test_crossings_of_the_plane_are_counted():
    """A contraction by Euler's method with a step so long that points pass each other through the origin."""

    class Shrink(nn.Module):
        span = (0.0, 1.0)

        def field(self, t, y):
            return -3.0 * y

        def readout(self, y):
            return torch.stack((-y[:, 1], y[:, 1]), dim=1)

    inputs = torch.cat((points(torch.linspace(10, 80, 20)), points(torch.linspace(190, 260, 20) + 0.7)))
    targets = torch.tensor([0] * 20 + [1] * 20)
    one_step = check((inputs, targets), Shrink(), steps=1)
    assert one_step.crossings.trajectories == 40
    assert (
        one_step.crossings.count == one_step.crossings.pairs == 400
    )  # every line passes the origin; all pairs meet there or beside it
    assert check((inputs, targets), Shrink(), steps=8).crossings.count == 0


def test_crossings_say_nothing_where_the_field_depends_on_time():
    class Late(Turning):
        def field(self, t, y):
            return (1 + t) * super().field(t, y)

    inputs, _ = clear(50)
    found = check((inputs, torch.arange(50) % 2), Late(), check_forward=False)
    assert found.crossings is None
    assert any("depends on time" in note for note in found.notes)


def test_a_model_in_float64_is_judged_in_float64():
    found = check(clear(50), Turning().double(), steps=2)
    assert found.own.error == pytest.approx(euler_error(2), rel=1e-6)


def test_tensors_that_a_model_makes_by_itself_follow_the_reference_into_float64():
    class Padded(Turning):
        def encode(self, x):
            return torch.cat((x, torch.zeros(len(x), 1)), dim=1)

        def field(self, t, y):
            return torch.cat((super().field(t, y[:, :2]), torch.ones(len(y), 1) * 0), dim=1)

        def forward(self, x):
            for k in range(self.steps):
                x = (
                    x + self.field(k / self.steps, x) / self.steps
                    if k
                    else self.encode(x) + self.field(0, self.encode(x)) / 2
                )
            return self.readout(x)

    found = check(clear(100), Padded())
    assert "float64" in found.reference
    assert found.own.error == pytest.approx(euler_error(2), rel=1e-3)


def test_a_model_that_cannot_be_copied_is_measured_in_its_own_dtype():
    class Stuck(Turning):
        def __deepcopy__(self, memo):
            raise TypeError("no")

    found = check(clear(200), Stuck())
    assert "in float32" in found.reference
    assert found.own.error == pytest.approx(euler_error(2), rel=1e-2)


def test_the_table_and_the_json_hold_every_solver():
    found = check(doubtful(100))
    table = found.table
    assert list(table["label"]) == ["euler, 2 steps", *(one.label for one in found.tried)]
    assert {"metric", "change", "low", "high", "error", "judged", "place"} <= set(table.columns)
    told = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert told["verdict"] == "tied to its solver"
    assert len(told["tried"]) == len(found.tried)


def test_our_own_models_are_validated_as_they_learn():
    from odebench.contract import Examples, Learning, right_class

    inputs, targets = doubtful()
    model = Turning()
    field, readout = nn.Module(), nn.Linear(2, 2)
    field.forward = lambda t, y: model.field(t, y)
    with torch.no_grad():
        readout.weight.copy_(torch.tensor([[0.0, -1.0], [0.0, 1.0]]))
        readout.bias.zero_()
    examples = Examples(inputs=inputs, targets=targets)
    learning = Learning(
        field=field, readout=readout, ts=(0.0, 1.0), train=examples, test=examples, loss=nn.functional.cross_entropy,
        score=right_class,
    )  # fmt: skip
    found = validate(learning, solver="euler", steps=2)
    assert found.verdict is Verdict.TIED and found.metric == "accuracy" and found.percent
    assert named(found, "rk4, 8 steps").change == pytest.approx(-0.3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"threshold": 0.0}, "threshold is 0.0"),
        ({"level": 1.0}, "level is 1.0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"finer": (1,)}, "finer holds 1"),
        ({"finer": (0.5,)}, "finer holds 0.5"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, words):
    with pytest.raises(IncompatibleError, match=words):
        check(clear(20), **options)


def test_the_turning_of_the_oracle_is_right():
    x = points(torch.tensor([0.0]))
    y = Turning(2)(x)[0, 1].item()
    assert y == pytest.approx(math.hypot(1, math.pi / 4) ** 2 * math.sin(math.radians(euler_degrees(2))), rel=1e-6)
