"""Plugins elsewhere are planned as if they were here, and nothing of them is imported here."""

from __future__ import annotations

import importlib
import os
import sys
from dataclasses import replace

import pytest

from odebench.errors import InterpreterError, PluginError
from odebench.interpreters import asking
from odebench.interpreters.answers import KeptAnswers
from odebench.interpreters.asking import Asking
from odebench.interpreters.registry import WideRegistry, _join, build_wide_registry
from odebench.outcome import Outcome
from odebench.plan.expand import expand
from odebench.plan.suite import parse_suite
from odebench.plugins import build_registry
from odebench.run.identity import environments_of, identity_of
from tests.interpreters import environments

HEAD = """schema = 1
[suite]
name = "two"
"""
#: Of one plugin alone, so that it can be planned in this process too.
ONE = (
    HEAD
    + """
[[experiment]]
name = "solutions"
task = "integrate"
model = "logistic"
solver = ["euler", "fancyone/euler", { name = "fancyone/euler", share = [1, 0.5, -1.0] }]
steps = 8
[[experiment]]
name = "gradients"
task = "gradient"
model = "logistic"
solver = ["euler", "midpoint", "rk4", "fancyone/euler", { name = "fancyone/euler", share = 0.5 }]
gradient = ["direct", "anode", "fancyone/recorded"]
steps = 8
[[experiment]]
name = "tolerances"
task = "integrate"
model = "logistic"
solver = "fancyone/euler"
tolerance = 1e-3
"""
)
BOTH = (
    HEAD
    + """
[[experiment]]
name = "solutions"
task = "gradient"
model = ["logistic", "fancytwo/decay"]
solver = ["fancyone/euler", "fancytwo/midpoint", "euler"]
gradient = ["direct", "fancyone/recorded"]
steps = 8
"""
)


def plan(text: str, registry):
    return expand(parse_suite(text, "two.toml"), registry, lambda device: None)


def verdicts(text: str, registry) -> dict[str, tuple[Outcome | None, str | None]]:
    return {cell.cell.id: (cell.outcome, cell.reason) for cell in plan(text, registry).cells}


@pytest.fixture
def in_process(homes, monkeypatch):
    """A registry that has `fancyone` in this process, as if it were installed here."""
    folder = environments.packages(homes["fancyone"].parents[1])
    monkeypatch.syspath_prepend(str(folder))
    importlib.invalidate_caches()
    yield build_registry(prefixes=["fancyone"], strict=True)
    for module in ("fancyone", "fancysolver"):
        sys.modules.pop(module, None)


def test_cells_outcomes_and_reasons_are_those_of_a_plugin_in_this_process(wide, in_process):
    elsewhere, here = verdicts(ONE, wide), verdicts(ONE, in_process)
    assert elsewhere == here
    reasons = " ".join(reason for _, reason in here.values() if reason)
    # Or the comparison would have compared nothing of these.
    for words in (
        "refused the parameters {'share': -1.0}: ValueError: share must be positive",
        "It takes order 1; Midpoint has 2.",
        "could not say whether it supports 'rk4': RuntimeError('an order that nobody foresaw')",
        "takes fixed steps",
    ):
        assert words in reasons


def test_nothing_of_a_plugin_elsewhere_is_imported_here(wide):
    plan(ONE, wide)
    assert {"fancyone", "fancytwo", "fancysolver"}.isdisjoint(sys.modules)


def test_a_parameter_that_the_plugin_does_not_have_is_a_fault_of_the_suite(wide):
    from odebench.errors import SuiteError

    with pytest.raises(SuiteError, match="`experiment.0..solver.2..shar` is no parameter .* Did you mean 'share'"):
        plan(ONE.replace("share = [1", "shar = [1"), wide)


def test_plugins_of_two_interpreters_do_not_come_together_in_a_cell(wide, homes):
    found = {
        (cell.cell.model.name, cell.cell.solver.name, cell.cell.gradient.name): cell for cell in plan(BOTH, wide).cells
    }
    assert len(found) == 12
    apart = {names for names, cell in found.items() if "measured in one interpreter" in (cell.reason or "")}
    assert apart == {
        names
        for names in found
        if any(n.startswith("fancyone/") for n in names) and any(n.startswith("fancytwo/") for n in names)
    }
    cell = found["logistic", "fancytwo/midpoint", "fancyone/recorded"]
    assert cell.outcome is Outcome.UNSUPPORTED
    assert cell.reason == (
        f"The solver 'fancytwo/midpoint' lives in the interpreter {homes['fancytwo']}, and the gradient 'fancyone/recorded' in the "
        f"interpreter {homes['fancyone']}: a cell is measured in one interpreter. Install both plugins in one environment, or drop the "
        "combination."
    )
    assert found["fancytwo/decay", "euler", "direct"].outcome is None
    assert found["logistic", "euler", "fancyone/recorded"].outcome is None


def test_a_plugin_that_fails_to_import_there_costs_itself_only(wide, homes):
    (failure,) = (failure for failure in wide.failures if failure.plugin == "fancybroken")
    assert failure.message.startswith(
        f"in the interpreter {homes['fancybroken']}: AttributeError: module 'fancysolver'"
    )
    assert "fancysolver.advance" in failure.traceback
    text = ONE.replace('solver = "fancyone/euler"\ntolerance', 'solver = "fancybroken/rk4"\ntolerance')
    lost = [cell for cell in plan(text, wide).cells if cell.cell.solver.name == "fancybroken/rk4"]
    assert [cell.outcome for cell in lost] == [Outcome.ERROR]
    assert lost[0].reason == f"Plugin 'fancybroken' did not load: {failure.message}"
    registry = WideRegistry(askings=wide.askings)
    with pytest.raises(PluginError, match="plugin 'fancybroken' .odebench-fancybroken.: in the interpreter "):
        _join(registry, _asking_of(wide, "fancybroken"), "fancybroken", strict=True)


def test_an_identity_has_the_versions_of_there(wide, homes):
    (cell,) = (cell.cell for cell in plan(ONE, wide).cells if cell.experiments == ("tolerances",))
    found = identity_of(cell, wide)
    assert found.versions.items() >= {"odebench-fancyone": "1.5", "fancysolver": "1.0"}.items()
    assert found.versions["python"].startswith("CPython ")
    assert (found.prefixes, found.interpreter.path, found.judged_there) == (("fancyone",), homes["fancyone"], False)
    assert environments_of([found])[0]["plugins"] == ["fancyone"]
    theirs = replace(cell, model=replace(cell.model, name="fancytwo/decay"), solver=replace(cell.solver, name="euler"))
    assert identity_of(theirs, wide).judged_there


def test_what_was_answered_once_is_not_asked_again(wide, homes, monkeypatch):
    """That whatever it depends on makes another state is shown beside the probe."""
    text = BOTH.replace('"fancyone/euler", ', "").replace(', "fancyone/recorded"', "")
    first = verdicts(text, wide)
    wide.close()
    monkeypatch.setattr(asking, "_Child", None)
    with build_wide_registry({"fancytwo": homes["fancytwo"]}, prefixes=["fancytwo"]) as registry:
        assert verdicts(text, registry) == first


def test_what_a_plugin_refused_and_what_tells_of_the_day_is_asked_again(wide, tmp_path):
    kept = KeptAnswers(wide.askings[0].interpreter, ["fancyone"], [], tmp_path)
    for number, answer in enumerate(({"order": 1}, {"failures": [1]}, {"unavailable": "no licence"}, {"reason": None})):
        kept.keep({"number": number}, answer)
    kept.write()
    read = KeptAnswers(wide.askings[0].interpreter, ["fancyone"], [], tmp_path)
    assert [read.get({"number": number}) for number in range(4)] == [{"order": 1}, None, None, {"reason": None}]
    (file,) = tmp_path.iterdir()
    file.write_text(file.read_text()[:-20])
    assert KeptAnswers(wide.askings[0].interpreter, ["fancyone"], [], tmp_path).get({"number": 0}) is None


@pytest.mark.parametrize("way", ["dies", "hangs"])
def test_an_interpreter_that_stops_answering_is_no_fault_of_its_plugins(wide, tmp_path, monkeypatch, way):
    """Their cells must not be settled as errors: what was measured of them would be put aside."""
    monkeypatch.setattr(asking, "ANSWER_LIMIT_S", 0.5)
    text = {"dies": "echo no disk >&2; exit 3\n", "hangs": "exec sleep 60\n"}[way]
    living = _asking_of(wide, "fancyone")
    gone = replace(living.interpreter, path=environments.script(tmp_path / "python", text))
    registry = WideRegistry(askings=[Asking(gone, living.prefixes, kept=living._kept)])
    registry._entries = {key: entry for key, entry in wide._entries.items() if entry.distribution == "odebench"}
    _join(registry, registry.askings[0], "fancyone", strict=False)
    plan(ONE, registry)
    said = {"dies": "it ended, with exit code 3, .* It said:\nno disk", "hangs": "it gave no answer in 0.5 s"}[way]
    with pytest.raises(InterpreterError, match=f"^interpreter {gone.path}: {said}"):
        registry.refuse_silence()


def test_no_child_is_left_behind(wide):
    wide.close()
    assert not [pid for pid in os.listdir("/proc") if pid.isdigit() and _is_answering(pid)]


def _asking_of(registry: WideRegistry, plugin: str) -> Asking:
    return next(one for one in registry.askings if plugin in one.prefixes)


def _is_answering(pid: str) -> bool:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file, open(f"/proc/{pid}/stat", "rb") as status:
            parent = int(status.read().rpartition(b")")[2].split()[1])
            return b"odebench.interpreters.answering" in file.read() and parent == os.getpid()
    except OSError:
        return False
