"""`odebench check`: what passes, what fails, and plugins that would take the command along."""

from __future__ import annotations

import json
import re

import pytest

HEAD = '''
import os, signal, sys, time
import odebench
from fractions import Fraction as F
from odebench import ButcherTableau, ExplicitRungeKutta, hookimpl


class Midpoint(ExplicitRungeKutta):
    """The midpoint rule."""

    tableau = ButcherTableau(order=2, c=(0, F(1, 2)), a=((), (F(1, 2),)), b=(0, 1))

    def step(self, field, t, dt, y, carry=None, **wishes):
        self.misbehave()
        return super().step(field, t, dt, y, carry, **wishes)

    def misbehave(self):
        pass


@hookimpl
def odebench_register_solvers(register):
    for made in Midpoint.__subclasses__():
        register(made)

'''
#: What each local file holds besides the head, and what is said of it.
HOSTILE = {
    "raises": ("raise RuntimeError('I never load')", "RuntimeError: I never load"),
    "hangs": ("while True:\n    time.sleep(1)", "stopped after 8 s, while loading it"),
    "exits": ("os._exit(0)", "left with exit code 0, while loading it"),
    "leaves": ("sys.exit('enough')", "SystemExit"),
    "prints": ("print('\\x1b[2J\\x1b]0;yours\\x07')", r"printed 16 bytes.*\\x1b\[2J"),
}
#: The body of `misbehave`, and what is said of the solver.
MISBEHAVING = {
    "hangs-in-step": (
        "while True:\n            time.sleep(1)",
        "stopped after 8 s, while check_observed_order was running",
    ),
    "exits-in-step": ("os._exit(0)", "left with exit code 0, while check_observed_order was running"),
    "leaves-in-step": ("sys.exit('enough')", "tried to leave the process: sys.exit\\('enough'\\)"),
    "crashes-in-step": ("os.kill(os.getpid(), signal.SIGSEGV)", "killed by SIGSEGV, while check_observed_order"),
    "kills-its-parent": ("os.kill(os.getppid(), signal.SIGKILL)", "took the process along that supervises it"),
    "prints-in-step": ("print('\\x1b[31mred')", r"printed .* bytes.*\\x1b\[31mred"),
}


def solver(name: str, body: str = "pass") -> str:
    title = name.title().replace("-", "")
    return f'{HEAD}\nclass {title}(Midpoint):\n    name = "{name}"\n\n    def misbehave(self):\n        {body}\n'


def test_a_built_in_solver_passes_all_its_checks(call):
    result = call("check", "heun")
    assert result.exit_code == 0, result.output
    assert "passed         check_observed_order" in result.output
    assert "order 1.99 on logistic growth" in result.output
    assert "1 plugin, " in result.output and "all passed" in result.output


def test_a_wrong_digit_a_known_failure_and_one_that_passes(call, tmp_path):
    wrong = "order=2, c=(0, F(1, 2)), a=((), (F(1, 2),)), b=(F(1, 4), F(3, 4))"
    text = solver("digit") + f"    tableau = ButcherTableau({wrong})\n"
    text += solver("admits").removeprefix(HEAD) + f"    tableau = ButcherTableau({wrong})\n"
    text += '    known_failures = {"check_order_conditions": "b is rounded to quarters",\n'
    text += '        "check_observed_order": "it is of order 1", "check_determinism": "long ago"}\n'
    text += solver("misspells").removeprefix(HEAD) + '    known_failures = {"check_order": "?"}\n'
    (tmp_path / "mine.py").write_text(text)
    result = call("check", "digit", "admits", "misspells", "--plugin", str(tmp_path / "mine.py"), "--json")
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    digit, admits, misspells = told["plugins"]
    outcomes = {one["check"]: one for one in digit["checks"]}
    assert not told["passed"] and not digit["passed"] and not admits["passed"]
    assert outcomes["check_order_conditions"]["outcome"] == "failed"
    assert "misses 1/2 by -0.125" in outcomes["check_order_conditions"]["said"]
    assert "Measured 1.0" in outcomes["check_observed_order"]["said"]
    admitted = {one["check"]: (one["outcome"], one["reason"]) for one in admits["checks"]}
    assert admitted["check_order_conditions"] == ("known failure", "b is rounded to quarters")
    assert admitted["check_determinism"] == ("passes, against what is declared", "long ago")
    assert "check_order, but its checks are" in misspells["faults"][0]


@pytest.mark.slow
def test_hostile_plugins_fail_and_others_go_on(call, tmp_path):
    """Each in its own file; some break when they are loaded, some in a step."""
    arguments = ["check", "honest", "ralston", *MISBEHAVING, "--timeout", "8", "--json"]
    files = {name: HEAD + body for name, (body, _) in HOSTILE.items()}
    files |= {name: solver(name, body) for name, (body, _) in MISBEHAVING.items()} | {"honest": solver("honest")}
    for name, text in files.items():
        (tmp_path / f"{name}.py").write_text(text)
        arguments += ["--plugin", str(tmp_path / f"{name}.py")]
    result = call(*arguments)
    assert result.exit_code == 1
    assert "\x1b" not in result.output
    told = {one["name"].removesuffix(".py"): one for one in json.loads(result.stdout)["plugins"]}
    assert set(told) == {*HOSTILE, *MISBEHAVING, "honest", "ralston"}
    assert [name for name, one in told.items() if one["passed"]] == ["honest", "ralston"]
    for name, (_, words) in (HOSTILE | MISBEHAVING).items():
        said = " ".join(told[name]["faults"] + [check["said"] for check in told[name]["checks"]])
        assert re.search(words, said), (name, said)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Give the names of what to check, or --all."),
        (["heun", "--all"], "Give the names of what to check, or --all."),
        (["huen"], "did you mean 'heun'"),
        (["gradient:heun"], "No plugin registers 'gradient:heun'"),
    ],
)
def test_wrong_usage_is_told(call, arguments, words):
    result = call("check", *arguments)
    assert result.exit_code == 2
    assert words in result.output
