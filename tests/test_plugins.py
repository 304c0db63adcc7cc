"""Loading plugins: what works arrives, what is broken costs itself only and says why."""

from __future__ import annotations

import importlib
import sys
import textwrap
from pathlib import Path

import pytest

from odebench.errors import PluginError, UnknownNameError
from odebench.plugins import DISABLE_VARIABLE, KINDS, build_registry

SOLVER = """
    import odebench

    class Mine(odebench.OneStepSolver):
        \"\"\"Euler's method, once more.\"\"\"
        name = "{name}"
        order = 1
        def __init__(self, *, damping=0.0):
            if damping < 0:
                raise ValueError("damping is negative")
            self.damping = damping
        def step(self, field, t, dt, y, carry=None, *, error=False, dense=False):
            return odebench.Step(y + dt * field(t, y))

    @odebench.hookimpl
    def odebench_register_solvers(register):
        register(Mine)
"""


def write(folder: Path, stem: str, code: str, **words: str) -> Path:
    path = folder / f"{stem}.py"
    path.write_text(textwrap.dedent(code).format(**words), encoding="utf-8")
    return path


def load(*files: Path, **how: object):
    return build_registry(prefixes=(), local_files=files, **how)


def test_built_in_methods_come_through_the_hooks():
    registry = build_registry(prefixes=())
    assert registry.failures == []
    assert {"rk4", "dopri5", "kvaerno3"} <= set(registry.names("solver"))
    assert set(registry.names("gradient")) == {
        "direct", "anode", "step-checkpoint", "revolve", "sqrt-checkpoint", "otd-stored", "continuous-adjoint",
    }  # fmt: skip
    assert {"integrate", "gradient", "reversibility", "train", "swap"} <= set(registry.names("task"))
    assert {"fixed", "step-adaptation", "tolerance-adaptation"} == set(registry.names("step_policy"))
    assert build_registry(prefixes=(), builtins=False).names("solver") == []


def test_hook_odebench_register_solvers(tmp_path):
    registry = load(write(tmp_path, "one", SOLVER, name="mine"))
    entry = registry.get("solver", "mine")
    assert registry.failures == []
    assert (entry.distribution, entry.parameters()) == (None, {"damping": 0.0})
    assert entry.description == "Euler's method, once more."
    assert entry.build(damping=0.5).damping == 0.5


def test_hook_odebench_register_gradients(tmp_path):
    code = """
        import odebench

        class Mine(odebench.GradientMethod):
            name, exact_for_discretisation, memory = "mine", True, "O(N s)"
            def solve(self, solver, field, y0, ts, grid, inputs=()):
                return solver.solve(field, y0, ts, grid, inputs)

        @odebench.hookimpl
        def odebench_register_gradients(register):
            register(Mine())
    """
    entry = load(write(tmp_path, "one", code)).get("gradient", "mine")
    assert entry.parameters() == {}
    assert entry.build().memory == "O(N s)"


def test_hook_odebench_register_models(tmp_path):
    code = """
        import torch, odebench

        class Mine(odebench.Model):
            name = "mine"
            def problem(self, seed):
                return odebench.Problem(field=torch.nn.Identity(), y0=torch.ones(1, 1), ts=(0.0, 1.0))

        @odebench.hookimpl
        def odebench_register_models(register):
            register(Mine)
    """
    assert load(write(tmp_path, "one", code)).get("model", "mine").build().problem(0).ts == (0.0, 1.0)


def test_hook_odebench_register_tasks(tmp_path):
    code = """
        import odebench

        class Mine(odebench.Task):
            name = "mine"
            def forward(self, setting, y0):
                return odebench.Answer()
            def judge(self, answer, known):
                return {{}}

        @odebench.hookimpl
        def odebench_register_tasks(register):
            register(Mine)
    """
    assert load(write(tmp_path, "one", code)).get("task", "mine").build().needs_gradient is False


def test_hook_odebench_register_step_policies(tmp_path):
    code = """
        import odebench

        class Mine(odebench.StepPolicy):
            name = "mine"
            def __init__(self, *, every=10):
                self.every = every
            def begin(self, solver, build_solver, field, y0, ts, grid):
                return grid
            def after(self, own, attempt):
                return odebench.StepSize(steps=1)
            def state_dict(self):
                return {{}}
            def load_state_dict(self, state):
                pass

        @odebench.hookimpl
        def odebench_register_step_policies(register):
            register(Mine)
    """
    registry = load(write(tmp_path, "one", code))
    assert registry.failures == []
    assert registry.get("step_policy", "mine").build(every=3).every == 3
    with pytest.raises(
        UnknownNameError, match=r"a step policy named 'mien'; did you mean 'mine'\? `odebench list policies`"
    ):
        registry.get("step_policy", "mien")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import no_such_library_anywhere", "ModuleNotFoundError: No module named 'no_such_library_anywhere'"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("def (", "SyntaxError"),
        (
            "import odebench\n@odebench.hookimpl\ndef odebench_register_solver(register): ...",
            "did you mean 'odebench_register_solvers'?",
        ),
        ("def odebench_register_solvers(register): ...", "not marked as a hook. Write `@odebench.hookimpl`"),
        (
            "import odebench\n@odebench.hookimpl\ndef odebench_register_solvers(wrong): ...",
            "wrong",
        ),
        (
            "import odebench\n@odebench.hookimpl\ndef odebench_register_solvers(register): register(dict)",
            "a solver must derive from odebench.Solver",
        ),
        (
            "import odebench\nclass A(odebench.OneStepSolver): name = 'a'\n"
            "@odebench.hookimpl\ndef odebench_register_solvers(register): register(A)",
            "lacks step",
        ),
        (SOLVER.replace("{name}", "Not Kebab"), "a name is lower case"),
        (SOLVER.replace("{name}", "library/mine"), "a prefix belongs to an installed plugin; call it 'mine'"),
        ("x = 1", "registers nothing. Write a function such as"),
        (SOLVER.replace("{name}", "rk4"), "is already registered by plugin 'odebench'"),
    ],
    ids=[
        "import",
        "exit",
        "syntax",
        "misspelt",
        "unmarked",
        "argument",
        "type",
        "abstract",
        "name",
        "prefix",
        "nothing",
        "taken",
    ],
)
def test_a_broken_plugin_costs_only_itself_and_says_why(tmp_path, code, said):
    broken = tmp_path / "broken.py"
    broken.write_text(textwrap.dedent(code), encoding="utf-8")
    good = write(tmp_path, "good", SOLVER, name="good")
    registry = load(broken, good)
    (failure,) = registry.failures
    assert failure.plugin == str(broken)
    assert said in failure.message
    assert "Traceback" in failure.traceback
    assert {"good", "rk4"} <= set(registry.names("solver"))
    with pytest.raises(PluginError, match="broken"):
        load(broken, strict=True)


def test_a_plugin_that_fails_in_one_hook_registers_nothing(tmp_path):
    code = SOLVER.format(name="half") + (
        "\n    @odebench.hookimpl\n    def odebench_register_models(register):\n        raise RuntimeError('no models today')\n"
    )
    path = tmp_path / "half.py"
    path.write_text(textwrap.dedent(code), encoding="utf-8")
    registry = load(path)
    (failure,) = registry.failures
    assert (failure.hook, failure.names) == ("odebench_register_models", ("half",))
    assert "half" not in registry.names("solver")
    assert registry.failure_of("half") is failure


def test_wrong_names_and_parameters_are_answered_with_the_nearest(tmp_path):
    registry = load(write(tmp_path, "one", SOLVER, name="mine"))
    with pytest.raises(UnknownNameError, match=r"did you mean 'dopri5'\? `odebench list solvers` shows all"):
        registry.get("solver", "dorpi5")
    entry = registry.get("solver", "mine")
    with pytest.raises(PluginError, match=r"has no parameter 'dampin'.*Did you mean 'damping'\?"):
        entry.build(dampin=1.0)
    with pytest.raises(PluginError, match="refused the parameters.*damping is negative"):
        entry.build(damping=-1.0)


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A distribution on the path that offers `shelf/mine`, and one whose name lacks the prefix."""
    for prefix, name in (("shelf", "shelf/mine"), ("loose", "mine")):
        write(tmp_path, f"{prefix}_plugin", SOLVER, name=name)
        info = tmp_path / f"{prefix}_dist-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {prefix}-dist\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(f"[odebench]\n{prefix} = {prefix}_plugin\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    yield
    for module in ("shelf_plugin", "loose_plugin"):
        sys.modules.pop(module, None)


def test_an_installed_plugin_is_loaded_with_its_prefix_and_only_when_asked_for(installed):
    registry = build_registry()
    entry = registry.get("solver", "shelf/mine")
    assert (entry.distribution, entry.version) == ("shelf-dist", "1.2")
    assert any("call it 'loose/mine'" in failure.message for failure in registry.failures)
    assert "shelf/mine" not in build_registry(prefixes=()).names("solver")
    assert build_registry(prefixes=("shelf",)).failures == []


def test_distributions_can_be_left_out(installed, monkeypatch):
    monkeypatch.setenv(DISABLE_VARIABLE, "Loose_Dist, shelf.dist")
    registry = build_registry()
    assert registry.failures == []
    assert "shelf/mine" not in registry.names("solver")


def test_every_kind_has_a_hook():
    assert set(KINDS) == {"solver", "gradient", "model", "task", "step_policy"}


def test_what_a_plugin_prints_when_it_is_loaded_does_not_reach_standard_output(tmp_path, capsys):
    registry = load(write(tmp_path, "loud", "print('hello')\n" + textwrap.dedent(SOLVER), name="loud"))
    assert "loud" in registry.names("solver")
    said = capsys.readouterr()
    assert (said.out, "hello" in said.err) == ("", True)
