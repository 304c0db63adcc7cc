"""Calls in a row, their counts and errors, and what a call leaves changed."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from odebench.conformance.failure import Failure
from odebench.conformance.gradients import companions
from odebench.conformance.gradients.problems import SmoothField, loss_of, start
from odebench.conformance.gradients.trial import INEXACT, TIMES, demand_close, gradients_of, sources_of, tried
from odebench.contract import GradientMethod, StepSize
from odebench.run import global_state

_STEPS = StepSize(steps=40)


class _Broken(Exception):  # noqa: N818 - an accident, not an error of ours
    """What a field raises that is tried here."""


class _Counted(torch.nn.Module):
    """A field that counts its evaluations, and raises once there were `limit`."""

    def __init__(self, limit: int | None = None) -> None:
        super().__init__()
        self.inner, self.count, self.limit = SmoothField(), 0, limit

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        """dy/dt."""
        self.count += 1
        if self.limit is not None and self.count > self.limit:
            raise _Broken("the field is broken")
        return self.inner(t, y)


def check_used_twice(method: GradientMethod) -> str:
    """Two solves in one graph, one after the other, give the gradient of both; the same call again gives the same bits."""
    companion = companions.companion_of(method)

    def chained(solve: Callable[..., Tensor]) -> dict[str, Tensor | None]:
        field, y0 = SmoothField(), start()
        once = solve(field, y0)
        twice = solve(field, once[-1])
        return gradients_of(torch.cat((once, twice)), sources_of(field, y0))

    def with_method(field: SmoothField, y0: Tensor) -> Tensor:
        return method.solve(companion.solver, field, y0, TIMES, _STEPS).ys

    def plainly(field: SmoothField, y0: Tensor) -> Tensor:
        grid = companion.solver.solve(field, y0.detach(), TIMES, _STEPS).grid
        return companion.replay(field, y0, TIMES, grid)

    bound = 1e-11 if method.exact_for_discretisation else 2 * INEXACT
    error = demand_close(
        chained(with_method),
        chained(plainly),
        bound,
        "the gradient of two solves in one graph",
        "what the method keeps between calls: on the class, in a module or in a cache, instead of on `ctx`",
    )
    first, second = (tried(method, companion, SmoothField(), start()).gradients for _ in range(2))
    for name, gradient in first.items():
        if not torch.equal(gradient, second[name]):
            raise Failure(
                expected="the same bits from the same call a second time",
                measured=f"a largest difference of {(gradient - second[name]).abs().max().item():.1e} for {name}",
                cause="something of the first call is still there in the second",
                look="attributes of the method and of its modules that a call writes to",
            )
    return f"to {error:.1e}"


def check_evaluations_are_counted(method: GradientMethod) -> str:
    """`stats` tells each evaluation of the field, forward and backward."""
    companion = companions.companion_of(method)
    field, y0 = _Counted(), start()
    solution = method.solve(companion.solver, field, y0, TIMES, StepSize(steps=20))
    forward = field.count
    told_forward = solution.stats.evaluations_forward
    loss_of(solution.ys).backward()
    backward = field.count - forward
    told = solution.stats.evaluations_backward
    if (told_forward, told) != (forward, backward):
        raise Failure(
            expected=f"{forward} evaluations forward and {backward} backward in `stats`, as many as the field was called",
            measured=f"{told_forward} and {told}",
            cause="evaluations of the way back, or those that are computed again, are not added up"
            if told != backward
            else "the forward evaluations are those of another pass, or are written over",
            look="where `stats.evaluations_forward` and `stats.evaluations_backward` are written",
        )
    return f"{forward} forward, {backward} backward"


def check_errors_of_the_field_are_passed_on(method: GradientMethod) -> None:
    """An exception in the field comes out as it is, from the forward and from the backward pass, and NaN stays NaN."""
    companion = companions.companion_of(method)
    counting, y0 = _Counted(), start()
    method.solve(companion.solver, counting, y0, TIMES, _STEPS).ys.sum().backward()
    total = counting.count
    forward = tried(method, companion, SmoothField(), start()).solution.stats.evaluations_forward
    for limit in sorted({3, min((forward + total) // 2, total - 1), total - 1}):
        field = _Counted(limit)
        try:
            method.solve(companion.solver, field, start(), TIMES, _STEPS).ys.sum().backward()
        except _Broken:
            continue
        except Exception as other:  # noqa: BLE001 - whatever came instead is what is told
            came = f"{type(other).__name__}: {other}"
        else:
            came = "nothing"
        raise Failure(
            expected="the field's own exception, where it raises one",
            measured=f"{came} when evaluation {limit + 1} of {total} raised",
            cause="an `except` that is too wide",
            look="each `try` around an evaluation of the field, in the forward and in the backward pass",
        )
    field, y0 = SmoothField(), start()
    ys = method.solve(companion.solver, field, y0, TIMES, _STEPS).ys
    incoming = torch.zeros_like(ys)
    incoming[-1, 0, 0] = torch.nan
    try:
        (got,) = torch.autograd.grad(ys, y0, incoming)
    except Exception:  # noqa: BLE001 - an error is no silence
        return
    if not got[0].isnan().any():
        raise Failure(
            expected="NaN in the gradient of y0 where NaN comes in",
            measured=f"{got[0].tolist()}",
            cause="values that are not finite are replaced on the way back",
            look="`nan_to_num`, `where` and clamping in the backward pass",
        )


def check_arguments_are_not_changed(method: GradientMethod) -> None:
    """The initial state, the parameters and the incoming gradient are afterwards what they were before."""
    companion = companions.companion_of(method)
    field, y0 = SmoothField(), start()
    ys = method.solve(companion.solver, field, y0, TIMES, _STEPS).ys
    incoming = torch.ones_like(ys)
    watched = {"the initial state": y0, "the incoming gradient": incoming, "the solution": ys} | dict(
        field.named_parameters()
    )
    before = {name: (tensor._version, tensor.detach().clone()) for name, tensor in watched.items()}
    torch.autograd.grad(ys, tuple(sources_of(field, y0).values()), incoming)
    for name, (version, value) in before.items():
        if watched[name]._version != version or not torch.equal(watched[name].detach(), value):
            raise Failure(
                expected=f"{name} as it was before the backward pass",
                measured="that it was written to",
                cause="an operation in place on a tensor that belongs to somebody else",
                look="operations whose names end in an underscore, and `+=`: on a copy they are safe",
            )


def check_global_state_is_left_alone(method: GradientMethod) -> None:
    """The grad mode, torch's default dtype, the random state, threads and the like are as they were before."""
    companion = companions.companion_of(method)
    dtype, random, changed = torch.get_default_dtype(), torch.get_rng_state(), []
    try:
        for default in (torch.float64, torch.float32):
            # Lest what is set at each solve be taken for what was there before.
            torch.set_default_dtype(default)
            torch.rand(1)
            before = global_state.snapshot()
            tried(method, companion, SmoothField(), start())
            changed += global_state.differences(before, global_state.snapshot())
    finally:
        torch.set_grad_enabled(True)
        torch.set_default_dtype(dtype)
        torch.set_rng_state(random)
    if changed:
        raise Failure(
            expected="the state of the process as it was before the solve and its backward pass",
            measured=f"changes of {', '.join(dict.fromkeys(changed))}",
            cause="something is set and not set back, perhaps only where all goes well",
            look="calls of `torch.set_…`, `torch.manual_seed` and the like: a context manager sets back what it set",
        )
