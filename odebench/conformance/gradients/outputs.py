"""What comes out: the solver's own solution, and gradients of each output."""

from __future__ import annotations

import torch

from odebench.conformance.failure import Failure
from odebench.conformance.gradients import companions
from odebench.conformance.gradients.problems import SmoothField, direction_of, start
from odebench.conformance.gradients.trial import INEXACT, TIMES, recorded, relative, sources_of, tried
from odebench.contract import GradientMethod, StepSize, Tolerance

_INSIDE = (0.0, 0.37, 0.42, 1.0)


def check_solution_is_the_solvers(method: GradientMethod) -> str:
    """The states and the grid are those that the solver gives without the method, bit for bit."""
    for companion, request in [
        *((one, StepSize(steps=10)) for one in companions.fixed(method)),
        *((one, Tolerance(rtol=1e-3, atol=1e-5, first_step=0.5)) for one in companions.adaptive(method)),
    ]:
        field, y0 = SmoothField(), start()
        got = method.solve(companion.solver, field, y0, TIMES, request)
        with torch.no_grad():
            expected = companion.solver.solve(field, y0, TIMES, request)
        same_grid = got.grid is None or (
            torch.equal(got.grid.t, expected.grid.t) and torch.equal(got.grid.dt, expected.grid.dt)
        )
        if not (torch.equal(got.ys, expected.ys) and same_grid):
            raise Failure(
                expected=f"the solution of {companion.solver.name} itself, bit for bit",
                measured=f"states that differ by {relative(got.ys.detach(), expected.ys):.1e}"
                if got.ys.shape == expected.ys.shape
                else f"states of shape {tuple(got.ys.shape)} instead of {tuple(expected.ys.shape)}"
                + ("" if same_grid else ", on another grid"),
                cause="the forward pass is written anew here, with another order of operations or another choice of steps",
                look="the forward pass: let `solver.solve`, or the loop that it uses, do it",
            )
    return "bit for bit"


def check_linear_in_the_incoming_gradient(method: GradientMethod) -> str:
    """The gradient of a sum of losses is the sum of their gradients, and twice the loss has twice the gradient."""
    companion = companions.companion_of(method)

    def pulled_back(*weights: float) -> dict[str, torch.Tensor]:
        field, y0 = SmoothField(), start()
        ys = method.solve(companion.solver, field, y0, TIMES, StepSize(steps=10)).ys
        cotangent = weights[0] * direction_of(ys) + weights[1] * ys.detach().cos()
        sources = sources_of(field, y0)
        return dict(zip(sources, torch.autograd.grad(ys, tuple(sources.values()), cotangent), strict=True))

    one, other, both, twice = pulled_back(1, 0), pulled_back(0, 1), pulled_back(1, 1), pulled_back(2, 0)
    worst = 0.0
    for name in one:
        for got, expected, what in (
            (both[name], one[name] + other[name], "a sum"),
            (twice[name], 2 * one[name], "twice"),
        ):
            error = relative(got, expected)
            worst = max(worst, error)
            if error > 1e-11:
                raise Failure(
                    expected="a gradient that is linear in the incoming one",
                    measured=f"a difference of {error:.1e} for {what} in the gradient of {name}",
                    cause="the incoming gradient is scaled, clipped or rounded, or chooses how the way back is solved",
                    look="what the backward pass does with its arguments before it uses them",
                )
    return f"to {worst:.1e}"


def check_every_output_time_counts(method: GradientMethod) -> str:
    """Each output has its own gradient, the initial one and those inside steps too, and they add up to that of all."""
    companion = companions.companion_of(method)
    inside = getattr(companion.solver, "interpolates", False)
    ts = _INSIDE if inside else TIMES
    bound = 1e-11 if method.exact_for_discretisation else INEXACT
    field, y0 = SmoothField(), start()
    ys = method.solve(companion.solver, field, y0, ts, StepSize(steps=40)).ys
    with torch.no_grad():
        grid = companion.solver.solve(field, y0, ts, StepSize(steps=40)).grid
    plain = companion.replay(field, y0, ts, grid)
    sources = sources_of(field, y0)
    for index, time in enumerate(ts):
        found = [
            torch.autograd.grad(
                states[index].sin().sum(), tuple(sources.values()), retain_graph=True, allow_unused=True
            )
            for states in (ys, plain)
        ]
        for name, got, expected in zip(sources, *found, strict=True):
            error = relative(got, expected)
            if error > bound:
                raise Failure(
                    expected=f"the gradient of the output at t = {time:g} alone, to {bound:.0e}",
                    measured=f"a relative difference of {error:.1e} for {name}",
                    cause="the gradient that comes in at this time is added at another place of the way back, or not at all"
                    if index
                    else "the initial state is an output as well, and its gradient passes through unchanged",
                    look="where the way back meets the output times, the first one included",
                )
    return f"{len(ts)} outputs, {'two of them inside steps' if inside else 'at the ends of steps'}"


def check_dtype_of_gradients(method: GradientMethod) -> None:
    """Gradients have the dtype and the shape of their tensors, in float32 as in float64."""
    companion = companions.companion_of(method)
    for dtype, bound in ((torch.float64, 1e-3), (torch.float32, 2e-3)):
        field, y0 = SmoothField().to(dtype), start().detach().to(dtype).requires_grad_()
        trial = tried(method, companion, field, y0)
        exact = tried(method, companion, SmoothField(), start())
        for name, tensor in sources_of(field, y0).items():
            got = trial.gradients[name]
            if got is None or got.dtype != tensor.dtype or relative(got.double(), exact.gradients[name]) > bound:
                raise Failure(
                    expected=f"a gradient of {name} in {tensor.dtype}, as in float64 but for rounding",
                    measured="none"
                    if got is None
                    else f"{got.dtype}, {relative(got.double(), exact.gradients[name]):.1e} off",
                    cause="a tensor of the way back is made without a dtype, in torch's default one",
                    look="each `torch.zeros`, `torch.tensor` and `torch.linspace` of the method: take `dtype` and `device` from the state",
                )


def check_shapes_of_batches(method: GradientMethod) -> None:
    """A batch of one row, an empty one, and a state that is not contiguous give gradients as any other."""
    companion = companions.companion_of(method)
    starts = {
        "one row": start(1),
        "no rows": start(0),
        "a transposed state": start(3, 4).detach().t().requires_grad_(),
    }
    for what, y0 in starts.items():
        field = SmoothField()
        if what == "no rows" and "/" in companion.solver.name and not hasattr(companion.solver, "step"):
            continue  # somebody else's library may need a row
        trial = tried(method, companion, field, y0)
        with torch.no_grad():
            grid = companion.solver.solve(field, y0, TIMES, StepSize(steps=40)).grid
        expected = recorded(companion, field, y0, TIMES, grid)
        for name, right in expected.items():
            error = relative(trial.gradients[name], right)
            if error > (1e-11 if method.exact_for_discretisation else INEXACT):
                raise Failure(
                    expected=f"the gradient of {name} for {what} as for any other state",
                    measured=f"a relative difference of {error:.1e}",
                    cause="`view` where `reshape` is meant, or a size that is divided by",
                    look="how the state is packed for the way back",
                )
