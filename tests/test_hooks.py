"""The reference of hooks: complete, exact, and each example a plugin that works."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
import torch

import odebench
from odebench import hookspecs
from odebench.hook_reference import Hook, hooks, reference
from odebench.plugins import KINDS, build_registry

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "hooks.md"
KIND_OF = {hook: kind for kind, (hook, _) in KINDS.items()}


def test_the_page_is_what_the_command_prints():
    if not PAGE.parent.is_dir():
        pytest.skip("the page lies in a checkout; this is none")
    assert PAGE.read_text(encoding="utf-8") == reference(), "write it anew: odebench hooks > docs/hooks.md"


def test_every_hook_is_in_the_reference():
    specified = {name for name, value in vars(hookspecs).items() if getattr(value, "odebench_spec", None) is not None}
    assert specified == {hook.name for hook in hooks()} == set(KIND_OF)


@pytest.mark.parametrize("hook", hooks(), ids=lambda hook: hook.name)
def test_each_hook_has_a_test_and_stands_in_the_reference_with_its_exact_signature(hook: Hook):
    written = str(inspect.signature(getattr(hookspecs, hook.name))).replace("'", "")
    assert f"```python\ndef {hook.name}{written}: ...\n```" in reference()
    assert f"def test_hook_{hook.name}(" in (ROOT / "tests" / "test_plugins.py").read_text(encoding="utf-8")
    assert hook.called.endswith(".")


@pytest.mark.parametrize("hook", hooks(), ids=lambda hook: hook.name)
def test_each_example_is_a_plugin_whose_offer_does_what_it_says(hook: Hook, tmp_path):
    (tmp_path / "example.py").write_text(hook.example + "\n", encoding="utf-8")
    registry = build_registry(prefixes=(), local_files=[tmp_path / "example.py"], strict=True)
    (entry,) = (one for one in registry.entries(KIND_OF[hook.name]) if one.distribution is None)
    USES[hook.name](entry.build())


def use_solver(solver: odebench.Solver) -> None:
    """The midpoint rule on y' = t y, by hand: one step of 1 from y(0) = 1 is 1 + 1/2 · 1."""
    solution = solver.solve(lambda t, y: t * y, torch.ones(1, 1), [0.0, 1.0], odebench.StepSize(steps=1))
    assert solution.y1.item() == 1.5


def use_gradient(method: odebench.GradientMethod) -> None:
    """Two steps of Euler's method on y' = y: the derivative of the end by the start is (3/2)²."""
    y0 = torch.ones(1, 1, requires_grad=True)
    solver = build_registry(prefixes=()).get("solver", "euler").build()
    method.solve(solver, lambda t, y: y, y0, [0.0, 1.0], odebench.StepSize(steps=2)).y1.backward()
    assert y0.grad.item() == 2.25


def use_model(model: odebench.Model) -> None:
    """The closed form satisfies the equation."""
    problem = model.problem(0)
    t = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    y = problem.exact(problem, t)
    (slope,) = torch.autograd.grad(y[0, 0], t)
    assert torch.isclose(slope, problem.field(t, y)[0, 0])


def use_task(task: odebench.Task) -> None:
    """Its judge compares with the reference."""
    from odebench.contract import Reference

    class Known:
        problem = build_registry(prefixes=()).get("model", "logistic").build(batch=1).problem(0)

        def solution(self, ts):
            return Reference(value=torch.full((1, 1, 1), 2.0, dtype=torch.float64), uncertainty=0.0, method="by hand")

    assert task.judge({"y1": torch.full((1, 1), 3.0, dtype=torch.float64)}, Known()) == {"error_final": 0.5}


def use_policy(policy: odebench.StepPolicy) -> None:
    """Twice as many steps after a thousand iterations, also when it was interrupted between."""
    assert policy.begin(None, None, None, None, (0.0, 1.0), None).steps == 1
    policy.load_state_dict({"seen": 998})
    assert [policy.after(None, None).steps for _ in range(2)] == [1, 2]


USES = {
    "odebench_register_solvers": use_solver,
    "odebench_register_gradients": use_gradient,
    "odebench_register_models": use_model,
    "odebench_register_tasks": use_task,
    "odebench_register_step_policies": use_policy,
}
