"""Calls of odeint in somebody's forward: seen wherever they come from, and otherwise left alone."""

from __future__ import annotations

import math
import subprocess
import sys
import textwrap

import pytest
import torch
import torchdiffeq
from torch import nn
from torchdiffeq import odeint, odeint_adjoint

import odebench
from odebench.errors import IncompatibleError
from odebench.validation import Verdict, routed, validate
from odebench.validation.calls import Scheme, finer_grid
from tests.validation.turning import ANGLE, Called, clear, doubtful, euler_error, points

EULER = {"method": "euler", "options": {"step_size": 0.5}}


class Plain(nn.Module):
    """As people write it: the function of the module's name, in the forward."""

    def __init__(self, times=(0.0, 1.0), **arguments):
        super().__init__()
        self.rate = nn.Parameter(torch.tensor(ANGLE))
        self.times, self.arguments = times, arguments

    def turn(self, t, y):
        return self.rate * torch.stack((-y[:, 1], y[:, 0]), dim=1)

    def forward(self, x):
        y = odeint(self.turn, x, torch.tensor(self.times), **self.arguments)[-1]
        return torch.stack((-y[:, 1], y[:, 1]), dim=1)


class ByAttribute(Plain):
    def forward(self, x):
        y = torchdiffeq.odeint(self.turn, x, torch.tensor(self.times), **self.arguments)[-1]
        return torch.stack((-y[:, 1], y[:, 1]), dim=1)


class Field(nn.Module):
    def __init__(self):
        super().__init__()
        self.rate = nn.Parameter(torch.tensor(ANGLE))

    def forward(self, t, y):
        return self.rate * torch.stack((-y[:, 1], y[:, 0]), dim=1)


class Adjoint(Plain):
    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.turning = Field()

    def forward(self, x):
        y = odeint_adjoint(self.turning, x, torch.tensor(self.times), **self.arguments)[-1]
        return torch.stack((-y[:, 1], y[:, 1]), dim=1)


class Solve(Plain):
    def forward(self, x):
        y = odebench.solve(self.turn, x, self.times, **self.arguments).y1
        return torch.stack((-y[:, 1], y[:, 1]), dim=1)


MODELS = {
    "torchdiffeq.odeint by its name": lambda: Plain(**EULER),
    "torchdiffeq.odeint as an attribute": lambda: ByAttribute(**EULER),
    "torchdiffeq.odeint kept by the model": lambda: Called(odeint, **EULER),
    "torchdiffeq.odeint_adjoint": lambda: Adjoint(**EULER),
    "odebench.odeint": lambda: Called(**EULER),
    "odebench.solve": lambda: Solve(solver="euler", steps=2),
    "one step from time to time": lambda: Plain(times=(0.0, 0.5, 1.0), method="euler"),
}


@pytest.mark.parametrize("name", MODELS)
def test_calls_are_seen_and_replaced(name):
    model = MODELS[name]()
    found = validate(model, doubtful())
    assert found.verdict is Verdict.TIED
    assert found.own.label == "euler, 2 steps"
    assert found.own.evaluations == 2
    assert found.own.error == pytest.approx(euler_error(2), rel=1e-3) or "time to time" in name
    (one,) = (one for one in found.tried if one.label == "rk4, 8 steps")
    assert one.change == pytest.approx(-0.3) and one.evaluations == 32


def test_afterwards_every_function_is_where_it_was():
    before = torchdiffeq.odeint, torchdiffeq.odeint_adjoint, odebench.odeint, odebench.solve, odeint
    model = Called(odeint, **EULER)
    validate(model, clear(30))
    assert before == (torchdiffeq.odeint, torchdiffeq.odeint_adjoint, odebench.odeint, odebench.solve, odeint)
    assert model.odeint is odeint and not hasattr(odeint, "routes")


def test_a_router_that_nobody_listens_to_does_what_its_function_does():
    y0, t = torch.ones(2), torch.tensor([0.0, 1.0])
    expected = torchdiffeq.odeint(lambda t, y: -y, y0, t)
    with routed():
        assert hasattr(torchdiffeq.odeint, "routes")
        assert torch.equal(torchdiffeq.odeint(lambda t, y: -y, y0, t), expected)
        with pytest.raises(TypeError):
            torchdiffeq.odeint(y0)


def test_the_own_answers_are_those_of_the_library_itself():
    """Bit for bit what the model gives without us: torchdiffeq solves, not a method of ours."""
    model = Plain(method="dopri5", rtol=1e-4, atol=1e-5).eval()
    inputs, targets = clear(64)
    with torch.no_grad():
        expected = model(inputs)
    seen = []

    def metric(outputs, targets):
        seen.append(outputs)
        return (outputs.argmax(1) == targets).float()

    validate(model, (inputs, targets), metric=metric)
    assert torch.equal(seen[0], expected)


@pytest.mark.parametrize(
    ("arguments", "label", "note"),
    [
        ({}, "dopri5, rtol 1e-07, atol 1e-09", None),
        ({"method": "rk4", "options": {"step_size": 0.25}}, "rk38, 4 steps", "'rk4' is 'rk38' here"),
        ({"method": "bosh3", "rtol": 1e-3, "atol": 1e-3}, "bosh3, tolerance 0.001", None),
        ({"method": "fehlberg2", "rtol": 1e-2, "atol": 1e-2}, "fehlberg21, tolerance 0.01", "'fehlberg2' is 'fehlberg21' here"),
        ({"method": "midpoint", "options": {"step_size": 0.3}}, "midpoint, 4 steps", None),
    ],
)  # fmt: skip
def test_the_own_solver_is_read_from_the_call(arguments, label, note):
    found = validate(Plain(**arguments), clear(200))
    assert found.own.label == label
    said = [one for one in found.notes if "odeint calls" in one]
    assert len(said) == (note is not None)
    assert note is None or note in said[0]


def test_what_is_said_besides_must_be_what_is_seen():
    model = Plain(method="rk4", options={"step_size": 0.25})
    assert validate(model, clear(200), solver="rk38", steps=4).own.label == "rk38, 4 steps"
    with pytest.raises(IncompatibleError, match="solves with rk38, 4 steps .*'rk4' means rk38.* but rk4, 4 steps"):
        validate(model, clear(200), solver="rk4", steps=4)
    with pytest.raises(IncompatibleError, match="solves with rk38, 4 steps, but rk38, 8 steps"):
        validate(model, clear(200), solver="rk38", steps=8)
    adaptive = Plain(rtol=1e-3, atol=1e-3)
    with pytest.raises(IncompatibleError, match="solves with dopri5, tolerance 0.001, but dopri5, tolerance 0.01"):
        validate(adaptive, clear(200), solver="dopri5", tolerance=1e-2)


def test_several_solves_in_a_forward_are_all_replaced():
    """Half the way twice, with a reflection between: the error of the second holds that of the first."""

    class Twice(Plain):
        def forward(self, x):
            t = torch.tensor([0.0, 0.5])
            half = odeint(self.turn, x, t, method="euler")[-1]
            y = odeint(self.turn, -half, t, method="euler")[-1]
            return torch.stack((y[:, 1], -y[:, 1]), dim=1)

    found = validate(Twice(), doubtful())
    assert found.verdict is Verdict.TIED
    assert (found.own.label, found.own.evaluations) == ("euler, 1 step", 2)
    assert found.own.error == pytest.approx(euler_error(2), rel=1e-3)
    (one,) = (one for one in found.tried if one.label == "rk4, 4 steps")
    assert one.change == pytest.approx(-0.3) and one.evaluations == 32
    assert any("solves 2 times in a forward" in note for note in found.notes)


def test_steps_and_tolerances_in_one_forward_are_refused():
    class Mixed(Plain):
        def forward(self, x):
            t = torch.tensor([0.0, 0.5])
            return odeint(self.turn, odeint(self.turn, x, t, method="euler")[-1], t)[-1]

    with pytest.raises(IncompatibleError, match="Some solves of the model take fixed steps, others follow a tolerance"):
        validate(Mixed(), clear(20))


def test_states_at_several_times_are_given_back_at_these_times():
    class Path(Plain):
        def forward(self, x):
            path = odeint(self.turn, x, torch.tensor([0.0, 0.3, 1.0]), method="euler", options={"step_size": 0.5})
            assert path.shape == (3, len(x), 2)
            assert torch.equal(path[0], x)
            return torch.cat((path[1], path[2]), dim=1)

    inputs, _ = clear(100)
    exact = torch.cat([points(torch.linspace(-60, 60, 100) + 90 * share) for share in (0.3, 1.0)], dim=1)
    found = validate(Path(), (inputs, exact), threshold=10.0)
    best = max(found.tried, key=lambda one: one.metric)
    assert best.metric == pytest.approx(1.0, abs=1e-6) and best.error < 1e-4


def test_a_tuple_state_and_falling_times_are_taken():
    class Pair(nn.Module):
        def forward(self, x):
            _, b = odeint(
                lambda t, y: (ANGLE * y[1], -ANGLE * y[0]), (x[:, :1], x[:, 1:]), torch.tensor([1.0, 0.0]), **EULER
            )
            return torch.cat((-b[-1], b[-1]), dim=1)

    found = validate(Pair(), doubtful())
    assert found.verdict is Verdict.TIED
    assert found.own.error == pytest.approx(euler_error(2), rel=1e-3)


def test_no_call_is_an_error_in_words():
    with pytest.raises(IncompatibleError, match="No solve was seen in the forward of Linear.*`field` and `span`"):
        validate(nn.Linear(2, 2), clear(20))


def test_a_function_in_a_closure_is_an_error_in_words_unless_it_was_a_router_before():
    """What `odebench validate` does: routers first, then the module that takes the name."""

    def build():
        from torchdiffeq import odeint

        class Hidden(nn.Module):
            def forward(self, x):
                y = odeint(
                    lambda t, y: ANGLE * torch.stack((-y[:, 1], y[:, 0]), dim=1), x, torch.tensor([0.0, 1.0]), **EULER
                )
                return torch.stack((-y[-1][:, 1], y[-1][:, 1]), dim=1)

        return Hidden()

    with pytest.raises(IncompatibleError, match="in a closure"):
        validate(build(), clear(20))
    with routed():
        model = build()
    assert validate(model, doubtful()).verdict is Verdict.TIED


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            {"method": "implicit_adams", "options": {"step_size": 0.5}},
            "cannot be taken over.*no method 'implicit_adams'",
        ),
        ({"event_fn": lambda t, y: y.sum()}, "event_fn"),
    ],
)
def test_calls_that_cannot_be_replaced_are_refused_in_words(arguments, words):
    with pytest.raises(IncompatibleError, match=words):
        validate(Plain(**arguments), clear(20))


def test_a_call_that_means_nothing_fails_as_it_does_without_us():
    class Wrong(nn.Module):
        def forward(self, x):
            return odeint(lambda t, y: y, x)

    with pytest.raises(TypeError, match="missing a required argument: 't'"):
        validate(Wrong(), clear(20))


def test_tolerances_of_single_elements_shrink_too():
    model = Plain(method="bosh3", rtol=torch.tensor([1e-2, 1e-3]), atol=1e-12)
    found = validate(model, clear(100))
    steps = [one.error for one in (found.own, *found.tried[:2])]
    assert steps[0] > 2 * steps[1] > 4 * steps[2]


def test_without_torchdiffeq_everything_else_works_and_with_it_nobody_loads_it():
    """In a process of its own, first with torchdiffeq there but not asked for, then as if it were not installed."""
    code = """
        import sys
        from click.testing import CliRunner
        from tests.validation.turning import Called, Turning, doubtful
        import odebench
        from odebench.cli import main
        print(odebench.validate(Turning(), doubtful(), solver="euler", steps=2).verdict)
        print([name for name in sys.modules if name.startswith("torchdiffeq")])
        sys.modules["torchdiffeq"] = None
        print(odebench.validate(Called(method="euler", options={"step_size": 0.5}), doubtful()).verdict)
        words = "validate tests.validation.turning:doubtful_model --solver euler --steps 2 --json"
        print(CliRunner().invoke(main, words.split()).exit_code)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["tied to its solver", "[]", "tied to its solver", "1"], done.stderr


def test_a_tolerance_that_the_dtype_cannot_resolve_is_not_made_finer():
    """torchdiffeq's own default, in float32."""
    found = validate(Plain(), clear(200))
    (one,) = found.tried
    assert (one.solver, one.finer) == ("dopri8", 1)
    assert one.rtol == pytest.approx(4 * torch.finfo(torch.float32).eps)
    assert found.verdict is Verdict.FLOW
    assert len(validate(Plain().double(), clear(200)).tried) == 5


@pytest.mark.parametrize("ends", [(0.0, 1.0), (2.0, -1.0)])
def test_a_finer_grid_holds_the_old_one_and_the_output_times(ends):
    start, end = ends
    points = [start + (end - start) * share for share in (0, 0.2, 0.7, 1)]
    t = torch.tensor(points[:-1], dtype=torch.float64)
    grid = odebench.Grid(t=t, dt=torch.tensor(points[1:], dtype=torch.float64) - t, end=end)
    middle = start + (end - start) * 0.25
    finer = finer_grid(grid, (start, middle, points[2], end), 3)
    edges = [*finer.t.tolist(), finer.end]
    assert finer.steps == 10  # nine parts, one of which is divided at the output time
    assert {*points, middle} <= set(edges)
    assert edges == sorted(edges, reverse=end < start)
    assert torch.allclose(finer.t + finer.dt, torch.tensor(edges[1:], dtype=torch.float64), rtol=0, atol=1e-15)
    assert finer_grid(grid, ends, 1).t.tolist() == grid.t.tolist()


def test_a_scheme_that_changes_nothing_is_the_models_own():
    assert Scheme().is_own
    assert not Scheme(finer=2).is_own


def test_a_fine_solve_of_the_closed_form_is_exact():
    found = validate(Plain(method="rk4", options={"step_size": 1 / 16}), doubtful())
    assert found.verdict is Verdict.FLOW
    assert found.own.metric == pytest.approx(0.7)
    assert found.own.error == pytest.approx(ANGLE**5 / 16**4 / 120, rel=0.1)
    assert math.isfinite(found.uncertainty)
