"""How well, and at which cost, a gradient method differentiates a solve."""

from __future__ import annotations

import torch
from torch import Tensor

from odebench.contract import (
    Answer,
    Known,
    Reference,
    Setting,
    State,
    Task,
    Unknown,
    parameters_of,
    relative_error,
    value_or_reason,
)
from odebench.errors import NotKnownError
from odebench.tasks.answers import counts, named, state_of
from odebench.tasks.trajectory import final_error, provenance, reference_or_reason


class Gradient(Task):
    """Solve with the gradient method, take the problem's loss, and differentiate it in y0 and in the field's parameters."""

    name = "gradient"
    needs_gradient = True

    def forward(self, setting: Setting, y0: State) -> Answer:
        """Solve and loss; `backward` differentiates, as a training step would, into the leaves' `grad`."""
        problem = setting.problem
        parameters = parameters_of(setting.field)
        leaves = tuple(leaf.detach().requires_grad_() for leaf in (y0 if isinstance(y0, tuple) else (y0,)))
        with torch.enable_grad():
            start = leaves if isinstance(y0, tuple) else leaves[0]
            solution = setting.gradient.solve(setting.solver, setting.field, start, problem.gradient_ts, setting.grid)
            loss = problem.loss(solution.ys)
        answer = Answer(
            states=named("ys", solution.ys) | {"loss": loss.detach()},
            grid=solution.grid,
            stats=(solution.stats,),
            **counts(solution),
        )

        def backward() -> None:
            loss.backward()
            # A tensor that the loss does not depend on has no gradient, which means zero.
            grads = [torch.zeros_like(x) if x.grad is None else x.grad for x in (*leaves, *parameters)]
            answer.states |= named("grad_y0", tuple(grads[: len(leaves)]))
            answer.states |= named("grad_params", tuple(grads[len(leaves) :]))

        answer.backward = backward
        return answer

    def judge(self, answer: dict[str, Tensor], known: Known) -> dict[str, float | str | Unknown]:
        """Errors of the gradient against the continuous problem's and against the same grid's; the final state's error."""
        solution = reference_or_reason(known, known.problem.gradient_ts)
        got = {"grad_y0": _flat(answer, "grad_y0"), "grad_params": _flat(answer, "grad_params")}
        continuous = _reference(known.gradient)
        return {
            "error_final": final_error(state_of(answer, "ys"), solution),
            "grad_error_y0": _error(got, continuous, ("grad_y0",)),
            "grad_error_params": _error(got, continuous, ("grad_params",))
            if got["grad_params"].numel()
            else Unknown("The field owns no parameter that requires a gradient."),
            **discrete_errors(answer, known),
            "grad_cosine": _cosine(got, continuous),
        } | provenance(solution)


def discrete_errors(answer: dict[str, Tensor], known: Known) -> dict[str, float | Unknown]:
    """`grad_error_discrete`, the error against the exact gradient of the same grid, and `grad_rounding`, what rounding does to that."""
    discrete = _reference(known.discrete_gradient)
    got = {"grad_y0": _flat(answer, "grad_y0"), "grad_params": _flat(answer, "grad_params")}
    return {
        "grad_error_discrete": _error(got, discrete, ("grad_y0", "grad_params"), trusted=False),
        "grad_rounding": discrete if isinstance(discrete, Unknown) else discrete.uncertainty,
    }


def _flat(answer: dict[str, Tensor], name: str) -> Tensor:
    """All tensors of this name, flattened and joined; empty where there is none."""
    try:
        state = state_of(answer, name)
    except KeyError:
        return torch.zeros(0, dtype=torch.float64)
    return torch.cat([leaf.reshape(-1) for leaf in (state if isinstance(state, tuple) else (state,))])


def _reference(ask) -> Reference | Unknown:
    try:
        return ask()
    except NotKnownError as error:
        return Unknown(str(error))


def _joined(gradients: dict[str, Tensor], names: tuple[str, ...]) -> Tensor:
    return torch.cat([gradients[name].reshape(-1) for name in names if name in gradients])


def _error(
    got: dict[str, Tensor], reference: Reference | Unknown, names: tuple[str, ...], trusted: bool = True
) -> float | Unknown:
    """Relative l2 error over the gradients of these names together."""
    if isinstance(reference, Unknown):
        return reference
    # To be at rounding is what an exact method claims, so the oracle's rounding is no reason to hide the figure.
    uncertainty = reference.uncertainty if trusted else 0.0
    expected = _joined(reference.value, names)
    return value_or_reason(lambda: relative_error(_joined(got, names), expected, uncertainty, reference.method))


def _cosine(got: dict[str, Tensor], reference: Reference | Unknown) -> float | Unknown:
    """Cosine between the gradient and the continuous problem's, over y0 and parameters together."""
    if isinstance(reference, Unknown):
        return reference
    names = ("grad_y0", "grad_params")
    left, right = _joined(got, names), _joined(reference.value, names)
    scale = (left.norm() * right.norm()).item()
    if scale == 0.0:
        return Unknown("One of the gradients is zero, so there is no angle.")
    return (left @ right).item() / scale
