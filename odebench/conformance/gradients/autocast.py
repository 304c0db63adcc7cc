"""Mixed precision: what autocast makes of the field on the way there, it makes of it on the way back."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from odebench.conformance.failure import Failure
from odebench.conformance.gradients import companions
from odebench.conformance.gradients.problems import loss_of
from odebench.conformance.gradients.trial import TIMES, relative
from odebench.contract import GradientMethod, Solver, StepSize
from odebench.errors import OdebenchError

_HALF = torch.bfloat16
_STEPS = StepSize(steps=6)
_STATE = 1e-3
"""The gradient in y0 passes through the same products; computed in float32 throughout it is about 3e-3 off."""
_WEIGHTS = 5e-2
"""Gradients of weights are summed in bfloat16 by some, in float32 by others."""


class _Mixed(nn.Module):
    """A field in float32 that notes what its products come out as."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(26)
        self.enter = nn.Parameter(torch.randn(4, 16, generator=generator) / 2)
        self.leave = nn.Parameter(torch.randn(16, 4, generator=generator) / 4)
        self.seen: list[torch.dtype] = []

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        """dy/dt."""
        inner = y @ self.enter
        self.seen.append(inner.dtype)
        return (torch.tanh(inner) @ self.leave).to(y.dtype)


@dataclass
class _Found:
    """What one solve and the way back gave.

    Attributes:
        gradients: in y0 and the two weights.
        there, back: dtypes of the field's products.
    """

    gradients: tuple[Tensor, ...]
    there: set[torch.dtype] = field(default_factory=set)
    back: set[torch.dtype] = field(default_factory=set)


def check_autocast_is_repeated(method: GradientMethod) -> str:
    """Solved under autocast in bfloat16 and differentiated outside of it, the field is computed again in bfloat16."""
    companion = companions.companion_of(method)
    try:
        expected = _solved(None, companion.solver)
    except Exception:  # noqa: BLE001 - the solver's own matter: it is not what is checked here
        return "its solvers do not go with autocast"
    try:
        found = _solved(method, companion.solver)
    except OdebenchError as refusal:
        return f"refused: {refusal}"
    except RuntimeError as error:
        raise Failure(
            expected="a solve under autocast in bfloat16, or a refusal in words",
            measured=f"{type(error).__name__}: {error}",
            cause="tensors of different precision meet, since only one of the two ways is computed under autocast",
            look="how the field is computed again: `odebench.numerics.recomputation.Recomputation` brings autocast back",
        ) from error
    if not found.back <= found.there:
        raise Failure(
            expected=f"products of the field in {_words(found.there)} on the way back, as on the way there, and the gradient that autograd "
            "finds through the same solve",
            measured=f"{_words(found.back)}, and a gradient in y0 that is {relative(found.gradients[0], expected.gradients[0]):.1e} off",
            cause="the backward pass runs outside of the region in which the forward pass ran, and does not enter it again",
            look="how the field is computed again: `odebench.numerics.recomputation.Recomputation` brings autocast back",
        )
    if not method.exact_for_discretisation:
        return f"computed again in {_words(found.back)}" if found.back else "not computed again"
    errors = list(map(relative, found.gradients, expected.gradients))
    if not (errors[0] < _STATE and max(errors[1:]) < _WEIGHTS):
        raise Failure(
            expected=f"the gradient of autograd through the same solve under autocast, to {_STATE:g} in y0 and {_WEIGHTS:g} in weights",
            measured=f"{errors[0]:.1e} in y0, and {max(errors[1:]):.1e} in weights",
            cause="a part of the way back is in another precision than the forward pass",
            look="casts of states and of incoming gradients",
        )
    return f"{errors[0]:.1e} in y0, {max(errors[1:]):.1e} in weights"


def _solved(method: GradientMethod | None, solver: Solver) -> _Found:
    """With a gradient method, or recorded by autograd alone."""
    inner = _Mixed()
    y0 = torch.randn(8, 4, generator=torch.Generator().manual_seed(27)).requires_grad_()
    with torch.autocast("cpu", dtype=_HALF):
        solution = (
            solver.solve(inner, y0, TIMES, _STEPS) if method is None else method.solve(solver, inner, y0, TIMES, _STEPS)
        )
    there, inner.seen = set(inner.seen), []
    gradients = torch.autograd.grad(loss_of(solution.ys.float()), (y0, inner.enter, inner.leave))
    return _Found(gradients=gradients, there=there, back=set(inner.seen))


def _words(dtypes: set[torch.dtype]) -> str:
    return " and ".join(sorted(str(dtype).removeprefix("torch.") for dtype in dtypes)) or "nothing"
