"""Solvers that take fields in JAX: which combinations are planned, and what is said of the others."""

from types import SimpleNamespace

import pytest

from odebench.outcome import Outcome
from odebench.plan.cell import Choice
from odebench.plan.judge import Judge


def resolved(kind, name, **declared):
    instance = SimpleNamespace(supports=lambda solver: None, **declared)
    return SimpleNamespace(kind=kind, choice=Choice(name=name), instance=instance, failure=None, places=frozenset())


def verdict_on(*, solver="jax", gradient="jax", twin=True, task=None):
    solver = resolved("solver", "compiled", fields_in=solver)
    partners = [("gradient", resolved("gradient", "adjoint", fields_in=gradient))] if gradient else []
    asked = (task or resolved("task", "gradient"), resolved("model", "decay", has_jax_field=twin))
    return Judge(lambda device: None)(
        used=[solver, *(one for _, one in partners), *asked],
        solver=solver,
        partners=partners,
        device="cpu",
        missing=None,
        asked=asked,
    )


@pytest.mark.parametrize("gradient", ["jax", None])
def test_a_model_with_a_field_in_jax_is_planned(gradient):
    assert verdict_on(gradient=gradient) is None


def test_a_model_without_one_is_unsupported_with_the_reason():
    reason = "The solver 'compiled' takes fields in JAX, and the model 'decay' has no `jax_field`."
    assert verdict_on(twin=False) == (Outcome.UNSUPPORTED, reason)
    assert verdict_on(twin=False, solver="torch", gradient="torch") is None


def test_a_gradient_method_on_fields_of_torch_is_refused_by_name():
    outcome, reason = verdict_on(gradient="torch")
    assert outcome is Outcome.UNSUPPORTED
    assert "compiles a field in JAX, and the gradient 'adjoint' works on fields of torch" in reason


@pytest.mark.parametrize("trains", ["learns", "needs_training"])
def test_a_training_is_refused(trains):
    outcome, reason = verdict_on(task=resolved("task", "train", **{trains: True}))
    assert outcome is Outcome.UNSUPPORTED
    assert reason == "The solver 'compiled' takes fields in JAX, and the task 'train' trains fields of torch."
