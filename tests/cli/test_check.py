"""`odebench check`: what passes, what fails, and plugins that would take the command along."""

from __future__ import annotations

import json
import re

import pytest
from click.testing import CliRunner

from odebench.cli import main
from odebench.conformance import running
from odebench.conformance.running import FAILED, KNOWN, PASSED, CheckResult, PluginReport
from odebench.errors import OdebenchError

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
    "prints": ("print('\\x1b[2J\\x1b]0;yours\\x07')", r"printed 15 bytes.*\\x1b\[2J"),
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


def faulty() -> str:
    """Solvers that behave, and are wrong, admit that they are, or admit what is no check."""
    wrong = "order=2, c=(0, F(1, 2)), a=((), (F(1, 2),)), b=(F(1, 4), F(3, 4))"
    text = solver("digit") + f"    tableau = ButcherTableau({wrong})\n"
    text += solver("admits").removeprefix(HEAD) + f"    tableau = ButcherTableau({wrong})\n"
    text += '    known_failures = {"check_order_conditions": "b is rounded to quarters",\n'
    text += '        "check_observed_order": "it is of order 1", "check_determinism": "long ago"}\n'
    text += solver("misspells").removeprefix(HEAD) + '    known_failures = {"check_order": "?"}\n'
    return text + solver("needs").removeprefix(HEAD) + "\n    def __init__(self, *, rate):\n        pass\n"


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """One command for files that are wrong, files that are hostile and those that are neither: its result, and the plugins by name."""
    folder = tmp_path_factory.mktemp("plugins")
    arguments = [
        "check",
        "ralston",
        "honest",
        "digit",
        "admits",
        "misspells",
        "needs",
        *MISBEHAVING,
        "--timeout",
        "8",
        "--json",
    ]
    files = {name: HEAD + body for name, (body, _) in HOSTILE.items()}
    files |= {name: solver(name, body) for name, (body, _) in MISBEHAVING.items()}
    for name, text in (files | {"honest": solver("honest"), "faulty": faulty()}).items():
        (folder / f"{name}.py").write_text(text)
        arguments += ["--plugin", str(folder / f"{name}.py")]
    result = CliRunner().invoke(main, arguments)
    return result, {one["name"].removesuffix(".py"): one for one in json.loads(result.stdout)["plugins"]}


@pytest.mark.slow
def test_what_passes_what_fails_and_what_is_known_to(ended, call):
    result, by_name = ended
    assert result.exit_code == 1
    assert not json.loads(result.stdout)["passed"]
    ralston, digit, admits = (
        {one["check"]: one for one in by_name[name]["checks"]} for name in ("ralston", "digit", "admits")
    )
    assert {one["outcome"] for one in ralston.values()} == {"passed"}
    assert "order 1.99 on logistic growth" in ralston["check_observed_order"]["said"]
    assert digit["check_order_conditions"]["outcome"] == "failed"
    assert "misses 1/2 by -0.125" in digit["check_order_conditions"]["said"]
    assert "Measured 1.0" in digit["check_observed_order"]["said"]
    admitted = {name: (one["outcome"], one["reason"]) for name, one in admits.items()}
    assert admitted["check_order_conditions"] == ("known failure", "b is rounded to quarters")
    assert admitted["check_determinism"] == ("passes, against what is declared", "long ago")
    assert "check_order, but its checks are" in by_name["misspells"]["faults"][0]
    assert "rate must be given. Give a default" in by_name["needs"]["faults"][0]
    assert f"{len(ralston)} checks passed, 0 known to fail, 0 failed" in call("show", "ralston").output, "it is kept"


def results(*outcomes: str) -> tuple[CheckResult, ...]:
    return tuple(
        CheckResult(
            check=f"check_{n}", outcome=outcome, said=f"said {n}", reason="why" * (outcome == KNOWN), seconds=0.1
        )
        for n, outcome in enumerate(outcomes)
    )


def test_a_few_plugins_are_shown_whole_and_many_in_a_table(call, monkeypatch):
    reports = [
        PluginReport(kind="solver", name="good", checks=results(PASSED, KNOWN), seconds=1.5),
        PluginReport(kind="solver", name="bad", checks=results(FAILED), faults=("It hangs.",)),
    ]
    monkeypatch.setattr(running, "check_plugins", lambda *_, **__: iter(reports))
    few = call("check", "good", "bad")
    assert few.exit_code == 1
    assert "good (solver), 1.5 s" in few.output
    assert re.search(
        r"passed +check_0 .*\n +said 0\n +known failure +check_1 .*\n +declared: why\n +said 1", few.output
    )
    assert re.search(r"failed +check_0.*\n +said 0\n +failed +It hangs", few.output)
    assert "2 plugins, 3 checks, 1 known failure: 1 failed, in" in few.output

    reports += [PluginReport(kind="model", name=f"m{n}", checks=results(PASSED)) for n in range(3)]
    many = call("check", "--all")
    assert re.search(r"good +solver +1 +1 +0 +1.5", many.output)
    assert re.search(r"bad +solver +0 +0 +2 ", many.output)
    assert "said 0" in many.output.partition("bad (solver)")[2] and "m0 (model)" not in many.output

    del reports[1]
    assert call("check", "--all").exit_code == 0


def test_names_are_found_or_the_nearest_is_told():
    offered = [{"kind": "solver", "name": "heun"}, {"kind": "solver", "name": "two"}, {"kind": "model", "name": "two"}]
    found = running.asked(["heun", "model:two"], offered, broken=False)
    assert found == [offered[0], offered[2]]
    with pytest.raises(OdebenchError, match="'huen'.*did you mean 'heun'"):
        running.asked(["huen"], offered, broken=False)
    with pytest.raises(OdebenchError, match="solver:two or model:two"):
        running.asked(["two"], offered, broken=False)
    assert running.asked(["huen"], offered, broken=True) == [], "it may be what did not load"


@pytest.mark.slow
def test_hostile_plugins_fail_and_others_go_on(ended):
    """Each in its own file; some break when they are loaded, some in a step."""
    result, told = ended
    assert result.exit_code == 1
    assert "\x1b" not in result.output
    assert set(told) == {*HOSTILE, *MISBEHAVING, "honest", "ralston", "digit", "admits", "misspells", "needs"}
    assert [name for name, one in told.items() if one["passed"]] == ["honest", "ralston"]
    for name, (_, words) in (HOSTILE | MISBEHAVING).items():
        said = " ".join(told[name]["faults"] + [check["said"] for check in told[name]["checks"]])
        assert re.search(words, said), (name, said)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Give the names of what to check, or --all."),
        (["heun", "--all"], "Give the names of what to check, or --all."),
    ],
)
def test_wrong_usage_is_told(call, arguments, words):
    result = call("check", *arguments)
    assert result.exit_code == 2
    assert words in result.output
