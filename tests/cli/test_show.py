"""`odebench show`."""

from __future__ import annotations

import json
import re
from fractions import Fraction

import pytest

from odebench.cli.describe import fraction, tableau_lines
from odebench.conformance import running
from odebench.conformance.running import FAILED, CheckResult, PluginReport
from odebench.plugins import KINDS, build_registry


@pytest.mark.parametrize("kind", KINDS)
def test_everything_registered_can_be_shown(call, kind: str):
    for name in build_registry(prefixes=()).names(kind):
        result = call("show", f"{kind}:{name}")
        assert result.exit_code == 0
        assert result.output.splitlines()[0] == name
        assert "from" in result.output


def test_a_solver_is_shown_with_its_source_and_its_tableau(call):
    text = call("show", "rk4").output
    assert "W. Kutta" in text
    assert "1/2 | 0  1/2" in " ".join(text.split()).replace("| 0 1/2", "| 0  1/2")
    assert "b | 1/6  1/3  1/3  1/6" in text
    assert "odebench 0." in text


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("rk4", "yes"),
        ("kvaerno3", "no"),
        ("gradient:sqrt-checkpoint", "yes, with few states"),
        ("gradient:anode", "no"),
    ],
)
def test_whether_it_can_be_compiled_is_told(call, name, told):
    assert re.search(rf"^can be compiled +{told}", call("show", name).output, re.MULTILINE)


def test_json_has_exact_coefficients(call):
    told = json.loads(call("show", "dopri5", "--json").output)
    assert told["order"] == 5
    assert [Fraction(x) for x in told["tableau"]["a"][4]] == [
        Fraction(19372, 6561), Fraction(-25360, 2187), Fraction(64448, 6561), Fraction(-212, 729),
    ]  # fmt: skip
    assert sum(Fraction(x) for x in told["tableau"]["b_hat"]) == 1


def test_parameters_are_shown_with_their_defaults(call, good_plugin):
    text = call("show", "halver", "--plugin", good_plugin).output
    assert "share = 0.5" in text
    assert "Goes half the way that Euler would." in text
    assert str(good_plugin) in text


def test_a_name_of_two_kinds_is_asked_for_by_its_kind(call, tmp_path):
    both = tmp_path / "both.py"
    both.write_text(
        "import odebench\n"
        "class Both(odebench.Task):\n    '''A task of a name that is taken.'''\n    name = 'rk4'\n"
        "    def forward(self, setting, y0): ...\n    def judge(self, answer, known): ...\n"
        "@odebench.hookimpl\ndef odebench_register_tasks(register):\n    register(Both)\n"
    )
    result = call("show", "rk4", "--plugin", both)
    assert result.exit_code == 2
    assert "`odebench show solver:rk4` or `odebench show task:rk4`" in result.stderr
    assert "A task of a name" in call("show", "task:rk4", "--plugin", both).output


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("rk5", "did you mean 'rk4'?"),
        ("solvr:rk4", "did you mean 'solver'?"),
        ("gradient:rk4", "No plugin registers a gradient named 'rk4'"),
    ],
)
def test_a_wrong_name_is_met_with_the_nearest(call, asked: str, told: str):
    result = call("show", asked)
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: ")
    assert told in result.stderr


def test_a_name_of_a_plugin_that_did_not_load_says_so(call, tmp_path):
    """The plugin registers a good solver, then fails: its name is known."""
    half = tmp_path / "half.py"
    half.write_text(
        "import odebench\n"
        "class Lone(odebench.OneStepSolver):\n    '''A solver.'''\n    name = 'lone'\n    order = 1\n"
        "    def step(self, field, t, dt, y, carry=None, *, error=False, dense=False): ...\n"
        "    def interpolate(self, dense, theta): ...\n"
        "@odebench.hookimpl\ndef odebench_register_solvers(register):\n    register(Lone)\n    raise ValueError('halfway')\n"
    )
    result = call("show", "lone", "--plugin", half)
    assert result.exit_code == 2
    assert "did not load: ValueError: halfway" in result.stderr


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Fraction(2, 9), "2/9"),
        (Fraction(0), "0"),
        (Fraction("0.4358665215084589994160194"), "0.4358665215084589994160194"),
        (Fraction("-1.0685790213016288064"), "-1.0685790213016288064"),
        (Fraction(1201146811, 1299019798), "1201146811/1299019798"),
    ],
)
def test_coefficients_keep_every_digit(value: Fraction, text: str):
    assert fraction(value) == text
    assert Fraction(text) == value


def test_a_wide_tableau_becomes_rows():
    tableau = {"c": ["0", "1/2"], "a": [[], ["1/2"]], "b": ["0", "1"], "b_hat": None}
    assert tableau_lines(tableau, 80) == ["  0 |", "1/2 | 1/2", "----+--------", "  b |   0  1"]
    assert tableau_lines(tableau, 10) == ["c[0] = 0, a[0] = ()", "c[1] = 1/2, a[1] = (1/2)", "b = (0, 1)"]


def test_a_solver_is_shown_with_its_stability_its_cost_and_what_goes_with_it(call):
    text = call("show", "rk4").output
    assert "R(z) = 1 + z + 1/2 z² + 1/6 z³ + 1/24 z⁴" in text
    assert "on the negative real axis up to 2.79, on the imaginary axis up to 2.83" in text
    assert re.search(r"cost of a step, counted +4 evaluations", text)
    assert "L-stable: |R| ≤ 1 on the whole left half plane" in call("show", "kvaerno3").output
    told = json.loads(call("show", "rk4", "--json").output)
    assert told["stability"]["numerator"] == ["1", "1", "1/2", "1/6", "1/24"]
    assert "direct" in told["gradients"]["with"]


def test_a_step_without_a_tableau_has_its_stability_measured(call, good_plugin):
    text = call("show", "halver", "--plugin", good_plugin).output
    assert "R(z) = 1 + 1/2 z   (measured)" in text
    assert "negative real axis up to 4," in text


def test_a_gradient_method_is_shown_with_its_cost_and_the_solvers_that_it_refuses(call, tmp_path):
    opaque = tmp_path / "opaque.py"
    opaque.write_text(
        "import odebench\n"
        "class Opaque(odebench.OpaqueSolver):\n    '''Leaves torch.'''\n    name, order, differentiable = 'opaque', 1, False\n"
        "    def solve(self, field, y0, ts, grid, inputs=()): raise ValueError\n"
        "@odebench.hookimpl\ndef odebench_register_solvers(register):\n    register(Opaque)\n"
    )
    text = call("show", "anode", "--plugin", opaque).output
    assert re.search(r"cost of a step, counted +6 evaluations forward, 6 backward, 6 VJPs \(with dopri5\)", text)
    assert re.search(r"not with .*opaque.*: It is opaque to autograd", text)


def test_a_model_is_shown_with_the_shape_of_its_problem(call):
    text = call("show", "logistic").output
    assert "state 64 × 1, 9 output times from 0 to 5, 2 parameters" in text
    assert "its solution is known in closed form" in text


def test_the_region_of_stability_is_drawn_into_a_file(call, tmp_path):
    path = tmp_path / "figures" / "rk4.png"
    assert call("show", "rk4", "--plot", path).exit_code == 0
    assert path.read_bytes().startswith(b"\x89PNG")
    assert "must be one of .png, .svg, .pdf" in call("show", "rk4", "--plot", tmp_path / "rk4.gif").stderr
    refused = call("show", "anode", "--plot", path)
    assert refused.exit_code == 2
    assert "'anode' has no stability function to draw" in refused.stderr


def test_the_checks_can_be_run_on_the_way(call, good_plugin, monkeypatch):
    failed = CheckResult(check="check_observed_order", outcome=FAILED, said="It is 0.", reason=None, seconds=0.1)

    def check_plugins(names, *, local_files):
        assert names == ["solver:halver"] and local_files == (good_plugin,)
        yield PluginReport(kind="solver", name="halver", checks=(failed,))

    monkeypatch.setattr(running, "check_plugins", check_plugins)
    result = call("show", "halver", "--check", "--plugin", good_plugin)
    assert result.exit_code == 0
    section = result.output[result.output.index("\nconformance\n") :]
    assert "known to fail" in section
    assert "check_observed_order: It is 0." in section
    assert "There are no checks for a task" in call("show", "task:integrate", "--check").stderr
