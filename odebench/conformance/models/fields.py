"""The field and the loss: shapes, dtypes, repeatability, and gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from odebench.conformance.failure import Failure
from odebench.conformance.models.flat import distance, leaves_of, like, packed, slope_at, some_rows
from odebench.contract import Model, Problem, State, parameters_of

_MOVED = 1e-6


def check_field_keeps_shape_and_dtype(model: Model) -> str:
    """In float64 and in float32 the derivative has the state's shapes and dtype, and the values agree."""
    found = {}
    for dtype in (torch.float64, torch.float32):
        problem = some_rows(model.problem(0)).to(dtype, "cpu")
        slope = slope_at(problem, problem.ts[0], problem.y0)
        wanted, got = ([(tuple(x.shape), x.dtype) for x in leaves_of(state)] for state in (problem.y0, slope))
        if got != wanted:
            raise Failure(
                expected=f"a derivative of shapes and dtypes {wanted}",
                measured=f"{got}",
                cause="a tensor without a dtype, or a shape that is written out for one batch",
                look="constants in the field's `forward`: buffers and parameters move with `field.to(dtype)`",
            )
        found[dtype] = packed(slope)
    error = distance(found[torch.float32], found[torch.float64])
    if not error < 1e-4:
        raise Failure(
            expected="the derivative in float32 as in float64, to 1e-4",
            measured=f"a relative difference of {error:.1e}",
            cause="differences of large numbers, or a constant that float32 does not hold",
            look="the order of operations in the field's `forward`",
        )
    return f"float32 and float64 differ by {error:.1e}"


def check_field_is_a_function(model: Model) -> None:
    """The same state gives the same bits twice, and is not written to."""
    problem = some_rows(model.problem(0))
    before = [leaf.clone() for leaf in leaves_of(problem.y0)]
    first = [leaf.clone() for leaf in leaves_of(slope_at(problem, problem.ts[0], problem.y0))]
    second = leaves_of(slope_at(problem, problem.ts[0], problem.y0))
    if not all(map(torch.equal, first, second)):
        raise Failure(
            expected="the same derivative of the same state",
            measured=f"a relative difference of {distance(packed(tuple(first)), packed(tuple(second))):.1e} between two calls",
            cause="random numbers or statistics of the batch in the field",
            look="dropout and batch normalisation: a problem of a benchmark is one function",
        )
    if not all(map(torch.equal, before, leaves_of(problem.y0))):
        raise Failure(
            expected="the state as it was before the field was evaluated",
            measured="that it was written to",
            cause="an operation in place on the argument",
            look="operations whose names end in an underscore in the field's `forward`",
        )


def check_rows_are_apart(model: Model) -> str:
    """A row's derivative does not depend on the other rows, and where the field says so each may have a time of its own."""
    problem = model.problem(0)
    if leaves_of(problem.y0)[0].shape[0] < 2:
        return "one row"
    y0 = like(problem.y0, tuple(leaf[:2].detach().clone() for leaf in leaves_of(problem.y0)))
    moved = like(y0, tuple(torch.cat((leaf[:1], 1.25 * leaf[1:] + 0.1)) for leaf in leaves_of(y0)))
    times = (problem.ts[0], 0.5 * (problem.ts[0] + problem.ts[-1]))
    one, other = (leaves_of(slope_at(problem, times[0], state)) for state in (y0, moved))
    if not all(torch.equal(a[:1], b[:1]) for a, b in zip(one, other, strict=True)):
        raise Failure(
            expected="the first row's derivative whatever the second row is, bit for bit",
            measured="another one",
            cause="an operation over the whole batch: a mean, a norm, batch statistics",
            look="reductions without `dim` in the field's `forward`",
        )
    if not getattr(problem.field, "accepts_batched_time", False):
        return "apart"
    column = torch.tensor(times, dtype=torch.float64).reshape(2, *[1] * (max(leaf.dim() for leaf in leaves_of(y0)) - 1))
    with torch.no_grad():
        together = leaves_of(problem.field(column, y0))
    for row, t in enumerate(times):
        alone = leaves_of(slope_at(problem, t, like(y0, tuple(leaf[row : row + 1] for leaf in leaves_of(y0)))))
        error = distance(packed(tuple(leaf[row : row + 1] for leaf in together)), packed(alone))
        if not error < 1e-12:
            raise Failure(
                expected="each row's derivative at its own time, as `accepts_batched_time` says",
                measured=f"a relative difference of {error:.1e} for row {row}",
                cause="the time of one row is used for all, or is broadcast along the wrong dimension",
                look="what the field's `forward` does with `t` of shape (batch, 1, …, 1)",
            )
    return "apart, with times of their own"


def check_gradients_are_finite(model: Model) -> str:
    """A short step and the loss give finite gradients, which reach the initial state and the parameters of the field."""
    problem = model.problem(0)
    y0 = like(problem.y0, tuple(leaf.detach().clone().requires_grad_() for leaf in leaves_of(problem.y0)))
    parameters = parameters_of(problem.field)
    loss = problem.loss(_outputs(problem, y0))
    if loss.dim() or not torch.isfinite(loss):
        raise Failure(
            expected="a finite scalar from the loss",
            measured=f"shape {tuple(loss.shape)}, {loss.detach().reshape(-1)[:3].tolist()}",
            cause="the loss keeps the rows apart, or divides by something that can be 0",
            look="`loss` of the `Problem`",
        )
    sources = (*leaves_of(y0), *parameters)
    found = torch.autograd.grad(loss, sources, allow_unused=True)
    if not all(g is None or g.isfinite().all() for g in found):
        raise Failure(
            expected="finite gradients",
            measured="infinite ones, or NaN",
            cause="the derivative of a root, a norm or a quotient at 0",
            look="`sqrt`, `norm`, `atan2` and divisions in the field and in the loss",
        )
    reached = [g is not None and bool(g.any()) for g in found]
    states = len(leaves_of(y0))
    if not any(reached[:states]) or (parameters and not any(reached[states:])):
        raise Failure(
            expected="a gradient that reaches the initial state and the field's parameters",
            measured="zeros, or nothing, for " + ("y0" if not any(reached[:states]) else "all parameters"),
            cause="a `detach`, a `no_grad` or a copy between them and the loss",
            look="the field's `forward`, and `loss`",
        )
    return f"of {sum(p.numel() for p in parameters)} parameters"


def check_gradients_agree_with_differences(model: Model) -> str:
    """Autograd through one evaluation of the field agrees with central differences, along a direction of state and parameters."""
    problem = some_rows(model.problem(0))
    generator = torch.Generator().manual_seed(41)

    def drawn(tensor: Tensor) -> Tensor:
        return torch.randn(tensor.shape, generator=generator, dtype=torch.float64)

    # A little away from where it begins, parameters too: there, a field with kinks may lie on one.
    leaves = tuple((leaf + 0.1 * leaf.std().nan_to_num(0.1) * drawn(leaf)) for leaf in leaves_of(problem.y0))
    leaves = tuple(leaf.detach().requires_grad_() for leaf in leaves)
    parameters = parameters_of(problem.field)
    weights = [drawn(leaf) for leaf in leaves]
    directions = [drawn(x) * (x.detach().abs().max() if x.any() else 1.0) for x in (*leaves, *parameters)]
    with torch.no_grad():
        for parameter, direction in zip(parameters, directions[len(leaves) :], strict=True):
            parameter.add_(1e-3 * direction)
    t = torch.tensor(problem.ts[0] + 0.1 * (problem.ts[-1] - problem.ts[0]), dtype=torch.float64)

    def value() -> Tensor:
        slopes = leaves_of(problem.field(t, like(problem.y0, leaves)))
        return sum((w * slope).sum() for w, slope in zip(weights, slopes, strict=True))

    found = torch.autograd.grad(value(), (*leaves, *parameters), allow_unused=True)
    moves = list(zip((*leaves, *parameters), directions, found, strict=True))
    for what, chosen in (("the state", moves[: len(leaves)]), ("the parameters", moves[len(leaves) :])):
        got = sum((g * d).sum().item() for _, d, g in chosen if g is not None)
        sides = []
        with torch.no_grad():
            for sign in (1.0, -2.0, 1.0):  # ahead, behind, and back
                for tensor, direction, _ in chosen:
                    tensor.add_(sign * _MOVED * direction)
                sides.append(value().item())
        expected = (sides[0] - sides[1]) / (2 * _MOVED)
        if not abs(got - expected) <= 1e-4 * abs(expected) + 1e-8 * abs(sides[2]):
            raise Failure(
                expected=f"a derivative of {expected:.6g} along a direction of {what}, by central differences",
                measured=f"{got:.6g} by autograd",
                cause="a `detach`, a `no_grad`, or a backward of one's own that is wrong, in the field",
                look="the field's `forward`",
            )
    return "to 1e-4"


def _outputs(problem: Problem, y0: State) -> State:
    """The states that the loss looks at, as though after a short step from the initial one."""
    if problem.network is not None:
        out = problem.network(y0, lambda field, z: z + 0.01 * field(torch.zeros((), dtype=z.dtype), z))
        return out.unsqueeze(0)
    start = torch.tensor(problem.ts[0], dtype=torch.float64)
    slope = problem.field(start, y0)
    sizes = [
        s.detach().norm() / (1.0 + leaf.detach().norm())
        for s, leaf in zip(leaves_of(slope), leaves_of(y0), strict=True)
    ]
    h = min(abs(problem.ts[-1] - problem.ts[0]) / 8, 0.1 / max(1e-3, float(max(sizes))))

    # Two evaluations: at a state of rest, where one begins, a parameter may not show.
    ahead = like(y0, tuple(leaf + h * change for leaf, change in zip(leaves_of(y0), leaves_of(slope), strict=True)))
    again = problem.field(start, ahead)

    def stacked(leaf: Tensor, change: Tensor) -> Tensor:
        return torch.stack([leaf, *[leaf + h * change] * (len(problem.gradient_ts) - 1)])

    return like(y0, tuple(map(stacked, leaves_of(ahead), leaves_of(again))))
