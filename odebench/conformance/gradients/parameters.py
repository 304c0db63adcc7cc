"""Which tensors get gradients: parameters of every kind, declared inputs, and what a field closes over."""

from __future__ import annotations

import torch
from torch import Tensor

from odebench.conformance.failure import Failure
from odebench.conformance.gradients import companions
from odebench.conformance.gradients.problems import FLOAT, AwkwardField, SmoothField, start
from odebench.conformance.gradients.trial import (
    INEXACT,
    TIMES,
    demand_close,
    gradients_of,
    recorded,
    relative,
    sources_of,
    tried,
)
from odebench.contract import GradientMethod, StepSize
from odebench.errors import OdebenchError

_STEPS = StepSize(steps=40)
_LOW_ORDER = 0.2
"""How far 40 steps of order 1 may bring an adjoint equation from the discrete gradient: a term counted twice is farther off."""


def _bound(method: GradientMethod) -> float:
    return 1e-11 if method.exact_for_discretisation else INEXACT


def check_unused_frozen_and_shared_parameters(method: GradientMethod) -> str:
    """An unused parameter gets zero or nothing, a frozen one nothing, and a shared one the sum over its uses."""
    # With one stage a step's gradients come straight from autograd, which may give one tensor for two parameters.
    for companion in dict.fromkeys((companions.companion_of(method), *companions.thrifty(method)[:1])):
        field, y0 = AwkwardField(), start()
        trial = tried(method, companion, field, y0, request=_STEPS)
        expected = recorded(companion, field, y0, TIMES, trial.solution.grid)
        error = demand_close(
            trial.gradients,
            expected,
            _bound(method)
            if companion.solver.order > 1
            else max(_bound(method), _LOW_ORDER * (not method.exact_for_discretisation)),
            "the gradients that autograd gives of unused and shared parameters",
            "how the field's parameters are collected, each once, how None is treated on the way back, and sums in place on tensors "
            "that autograd gave",
        )
    method.solve(companion.solver, field, y0, TIMES, _STEPS).ys.sum().backward()
    if field.frozen.grad is not None:
        raise Failure(
            expected="no gradient for a parameter with `requires_grad=False`",
            measured=f"one of norm {field.frozen.grad.norm().item():.1e}",
            cause="the parameters are taken from `field.parameters()` without asking whether they require a gradient",
            look="how the field's parameters are collected: `odebench.contract.parameters_of(field)`",
        )
    return f"to {error:.1e}"


def check_frozen_field(method: GradientMethod) -> None:
    """With all parameters frozen the initial state still gets its gradient; with a state that needs none, parameters do."""
    companion = companions.companion_of(method)
    for what in ("parameters are frozen", "initial state requires no gradient"):
        field, y0 = SmoothField(), start()
        if what == "parameters are frozen":
            field.requires_grad_(False)
            sources = {"y0": y0}
        else:
            y0 = y0.detach()
            sources = dict(field.named_parameters())
        trial = tried(method, companion, field, y0, request=_STEPS, sources=sources)
        expected = recorded(companion, field, y0, TIMES, trial.solution.grid, sources)
        demand_close(
            trial.gradients,
            expected,
            _bound(method),
            f"the gradient where the {what}",
            "what the method takes for a reason to record nothing",
        )


def check_inputs_that_are_declared(method: GradientMethod) -> str:
    """Tensors that the field uses and does not own get their gradients where `inputs` names them, and pass them on."""
    companion = companions.companion_of(method)
    field, y0 = SmoothField(), start()
    leaf = torch.linspace(0.5, 1.0, 3, dtype=FLOAT).requires_grad_()
    encoded = torch.tanh(1.5 * leaf)

    def conditioned(t: Tensor, y: Tensor) -> Tensor:
        return field(t, y) * encoded - encoded

    sources = sources_of(field, y0) | {"a leaf behind the declared input": leaf}
    solution = method.solve(
        companion.solver, conditioned, y0, TIMES, _STEPS, (encoded, *(p for p in field.parameters()))
    )
    got = gradients_of(solution.ys, sources)
    again = torch.tanh(1.5 * leaf)  # the graph behind the first is gone
    expected = recorded(
        companion,
        lambda t, y: field(t, y) * again - again,
        y0,
        TIMES,
        solution.grid,
        sources,
        (again, *field.parameters()),
    )
    error = demand_close(
        got,
        expected,
        _bound(method),
        "the gradient of a tensor that is declared in `inputs`",
        "what is handed to `torch.autograd.Function.apply`: y0, the field's parameters and `inputs`, each as an argument of its own",
    )
    return f"to {error:.1e}"


def check_tensors_that_are_not_declared(method: GradientMethod) -> str:
    """A tensor that the field closes over and nobody declared gets its gradient, or is refused by its name."""
    companion = companions.companion_of(method)
    context = torch.linspace(0.5, 1.0, 3, dtype=FLOAT).requires_grad_()
    y0 = start()

    def conditioned(t: Tensor, y: Tensor) -> Tensor:
        return -y * context

    try:
        solution = method.solve(companion.solver, conditioned, y0, TIMES, _STEPS)
        got = gradients_of(solution.ys, {"y0": y0, "context": context})
    except OdebenchError as refusal:
        if "context" not in str(refusal):
            raise Failure(
                expected="a refusal that names the tensor, which the field calls `context`",
                measured=f"{refusal}",
                cause="the message tells that something is missing, and not what",
                look="`odebench.numerics.reach.refuse_undeclared`, which finds the name",
            ) from refusal
        return "refused by name"
    expected = recorded(companion, conditioned, y0, TIMES, solution.grid, {"y0": y0, "context": context})
    error = relative(got["context"], expected["context"])
    if error > _bound(method):
        raise Failure(
            expected="the gradient of a tensor that the field closes over, or a refusal that names it",
            measured="no gradient and no word" if got["context"] is None else f"a relative difference of {error:.1e}",
            cause="the field is evaluated where autograd does not see it, so that what is no argument is lost in silence",
            look="one evaluation of the field with a graph: `odebench.numerics.reach.refuse_undeclared` walks it and names what is missing",
        )
    return "reached without a declaration"
