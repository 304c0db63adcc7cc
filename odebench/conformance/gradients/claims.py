"""What only some methods can do: each is right where it is claimed, and refused in words where it is not."""

from __future__ import annotations

import torch
from torch import Tensor

from odebench.conformance.failure import Failure
from odebench.conformance.gradients import companions
from odebench.conformance.gradients.problems import SmoothField, direction_of, loss_of, start
from odebench.conformance.gradients.trial import sources_of
from odebench.contract import GradientMethod, StepSize
from odebench.errors import OdebenchError

_STEPS = StepSize(steps=6)
_ENDS = (0.0, 1.0)
_MOVED = 1e-5


def check_gradients_of_gradients(method: GradientMethod) -> str:
    """Gradients can be differentiated again where `twice_differentiable` says so; elsewhere it is an error that says why."""
    companion = companions.companion_of(method)

    def value(field: SmoothField, y0: Tensor, *, create_graph: bool) -> Tensor:
        """A loss and a penalty on its gradient: what is lost of the second is not missed by autograd itself."""
        loss = loss_of(method.solve(companion.solver, field, y0, _ENDS, _STEPS).ys)
        gradient = torch.autograd.grad(loss, tuple(sources_of(field, y0).values()), create_graph=create_graph)
        return loss + sum(g.square().sum() for g in gradient)

    field, y0 = SmoothField(), start()
    sources = sources_of(field, y0)
    try:
        # Not `torch.autograd.grad`, which does not pass the node in which `once_differentiable` hides its error.
        value(field, y0, create_graph=True).backward()
    except (OdebenchError, RuntimeError) as refusal:
        if method.twice_differentiable:
            raise Failure(
                expected="gradients of gradients, as `twice_differentiable` claims",
                measured=f"{type(refusal).__name__}: {refusal}",
                cause="a backward pass under `torch.no_grad`, or one whose operations autograd cannot pass",
                look="the backward pass, or declare `twice_differentiable = False`",
            ) from refusal
        if not isinstance(refusal, OdebenchError) and "twice" not in str(refusal):
            raise Failure(
                expected="an error that says that there are no gradients of gradients",
                measured=f"{type(refusal).__name__}: {refusal}",
                cause="the backward pass breaks where it is asked to record itself",
                look="`torch.autograd.function.once_differentiable`",
            ) from refusal
        return "refused in words"
    slope = sum((tensor.grad * direction_of(tensor)).sum().item() for tensor in sources.values())
    values = []
    for sign in (1.0, -1.0):
        moved, moved_y0 = SmoothField(), start()
        with torch.no_grad():
            for tensor in sources_of(moved, moved_y0).values():
                tensor.add_(sign * _MOVED * direction_of(tensor))
        values.append(value(moved, moved_y0, create_graph=False).item())
    expected = (values[0] - values[1]) / (2 * _MOVED)
    if not abs(slope - expected) < 1e-5 * abs(expected):
        raise Failure(
            expected=f"a second derivative of {expected:.6g}, by finite differences of the gradient"
            + ("" if method.twice_differentiable else ", or an error that says that there is none"),
            measured=f"{slope:.6g}, and no word",
            cause="the backward pass is not recorded, so that the second derivative is lost in silence",
            look="the backward pass: `torch.autograd.function.once_differentiable` makes an error of it",
        )
    return "as by finite differences"


def check_gradients_of_times(method: GradientMethod) -> str:
    """Output times that require a gradient get it where `times_differentiable` says so; elsewhere they are refused in words."""
    companion = companions.companion_of(method)
    field, y0 = SmoothField(), start()
    ts = torch.tensor(_ENDS, dtype=torch.float64, requires_grad=True)
    try:
        ys = method.solve(companion.solver, field, y0, ts, _STEPS).ys
    except OdebenchError as refusal:
        if method.times_differentiable:
            raise Failure(
                expected="gradients of the output times, as `times_differentiable` claims",
                measured=f"{refusal}",
                cause="the times are turned into numbers before anything is solved",
                look="what `solve` does with `ts`, or declare `times_differentiable = False`",
            ) from refusal
        return "refused in words"
    (got,) = torch.autograd.grad(loss_of(ys), ts, allow_unused=True)
    values = [
        loss_of(method.solve(companion.solver, field, y0, (0.0, 1.0 + sign * _MOVED), _STEPS).ys).item()
        for sign in (1, -1)
    ]
    expected = (values[0] - values[1]) / (2 * _MOVED)
    if got is None or not abs(got[1].item() - expected) < 1e-4 * abs(expected):
        raise Failure(
            expected=f"a derivative of {expected:.6g} in the last time, by finite differences, or a refusal",
            measured="none, and no word" if got is None else f"{got[1].item():.6g}",
            cause="the times are turned into numbers, and what asked for their gradient is not told"
            if got is None
            else "dL/dt at an output time is the incoming gradient times the field there",
            look="what `solve` does with `ts`",
        )
    return "as by finite differences"
