"""States of every kind: dtypes, devices, shapes, strides, empty ones, tuples."""

from __future__ import annotations

import torch
from torch import Tensor

from odebench.conformance.failure import Failure
from odebench.conformance.problems import chain, chained, fading, growth
from odebench.conformance.solvers.requests import ordinary, relative, requests, solved
from odebench.contract import GridRequest, Solver, State, StepSize
from odebench.numerics.timed_field import time_dtype

_TS = (0.0, 0.5, 1.0)


class _Watched:
    """`fading`, and what it was called with."""

    def __init__(self) -> None:
        self.times: set[tuple[torch.dtype, torch.device, int]] = set()
        self.states: set[torch.dtype] = set()

    def __call__(self, t: Tensor, y: Tensor) -> Tensor:
        self.times.add((t.dtype, t.device, t.dim()))
        self.states.add(y.dtype)
        return fading(t, y).to(y.dtype)


@torch.no_grad()
def check_dtypes(solver: Solver) -> str:
    """States keep their dtype, the field gets the time in y's dtype (float32 for half types), and errors are that dtype's."""
    request, said = ordinary(solver), []
    start = torch.tensor([[1.0, -0.5], [2.0, 0.25]], dtype=torch.float64)
    exact = solved(solver, fading, start, _TS, request).y1
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        field = _Watched()
        ys = solved(solver, field, start.to(dtype), _TS, request, f"a problem in {dtype}").ys
        wanted = (time_dtype(dtype), start.device, 0)
        if ys.dtype != dtype or field.states != {dtype} or field.times != {wanted}:
            raise Failure(
                expected=f"states in {dtype} and times in {wanted[0]}, 0-dimensional, on {wanted[1]}, for a state in {dtype}",
                measured=f"a solution in {ys.dtype}, states in {_words(field.states)}, times {_words(field.times)}",
                cause="a constant tensor of another dtype takes part, or the time is passed on as it came",
                look="tensors that are made without `dtype=` and `device=`",
            )
        allowed = 30 * torch.finfo(dtype).eps
        if (gap := relative(ys[-1].double(), exact)) > (allowed if isinstance(request, StepSize) else 1e-2):
            raise Failure(
                expected=f"the float64 solution to {allowed:.2g}, the rounding of {dtype}",
                measured=f"a relative difference of {gap:.2g}",
                cause="a part of the step is computed in a lower precision",
                look="casts, and times that are too large for their dtype",
            )
        said.append(f"{gap:.1g} in {str(dtype).removeprefix('torch.')}")
    return ", ".join(said)


@torch.no_grad()
def check_devices(solver: Solver) -> str:
    """The solution and the times stay on the device of the state; an accelerator is tried where there is one."""
    devices = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])
    for device in devices:
        y0 = growth(device=device).y0
        for words, request in requests(solver).items():
            field = _Watched()
            ys = solved(solver, field, y0, _TS, request, f"a problem on {device}").ys
            if ys.device != y0.device or {where for _, where, _ in field.times} != {y0.device}:
                raise Failure(
                    expected=f"states and times on {y0.device} ({words})",
                    measured=f"a solution on {ys.device} and times {_words(field.times)}",
                    cause="a tensor is made on the default device",
                    look="tensors that are made without `device=`",
                )
    return " and ".join(devices)


@torch.no_grad()
def check_shapes(solver: Solver) -> str:
    """A state may have any shape: the batch alone, one row, several dimensions; the initial state comes first in the result."""
    for shape in ((3,), (1, 2), (2, 3, 4)):
        y0 = torch.linspace(-1.0, 2.0, torch.Size(shape).numel(), dtype=torch.float64).reshape(shape)
        for words, request in requests(solver).items():
            ys = solved(solver, fading, y0, _TS, request, f"a state of shape {shape}").ys
            _refuse_shape(ys, (3, *shape), f"a state of shape {shape} ({words})")
            if not (ys[0] - y0).abs().max() <= 1e-15:
                raise Failure(
                    expected=f"the initial state, of shape {shape}, at the first output time ({words})",
                    measured=f"a relative difference of {relative(ys[0], y0):.2g}",
                    cause="the first output time is taken for one to be solved to",
                    look="where outputs are collected",
                )
            flat = solved(solver, fading, y0.reshape(1, -1), _TS, request).ys
            _refuse_gap(
                ys.reshape(3, -1),
                flat.reshape(3, -1),
                1e-12,
                f"a state of shape {shape} to be solved as one row of as many elements ({words})",
                "dimensions other than the first are treated each in its own way",
            )
    return "(3,), (1, 2), (2, 3, 4)"


@torch.no_grad()
def check_noncontiguous_states(solver: Solver) -> str:
    """Strides of the initial state change nothing, nor do those of what the field returns."""
    base = torch.linspace(-1.0, 2.0, 12, dtype=torch.float64).reshape(3, 4)
    kinds = {"transposed": base.t(), "every second column": base[:, ::2], "expanded": base[:1].expand(3, 4)}

    def strided(t: Tensor, y: Tensor) -> Tensor:
        return fading(t, y).t().contiguous().t()

    for name, y0 in kinds.items():
        for words, request in requests(solver).items():
            got = solved(solver, strided, y0, _TS, request, f"a state that is {name}").ys
            dense = solved(solver, fading, y0.contiguous(), _TS, request).ys
            _refuse_shape(got, tuple(dense.shape), f"a state that is {name} ({words})")
            _refuse_gap(
                got,
                dense,
                1e-12,
                f"the contiguous state's solution for one that is {name} ({words})",
                "`view` or `resize_`",
            )
    return ", ".join(kinds)


@torch.no_grad()
def check_empty_states(solver: Solver) -> str:
    """A batch of no rows, and rows of no elements, have a solution: an empty one."""
    for shape in ((0, 2), (2, 0)):
        for words, request in requests(solver).items():
            y0 = torch.zeros(shape, dtype=torch.float64)
            try:
                ys = solver.solve(fading, y0, _TS, request).ys
            except Exception as error:
                raise Failure(
                    expected=f"an empty solution of an empty state, of shape {shape} ({words})",
                    measured=f"{type(error).__name__}: {error}",
                    cause="a mean over no elements, which is not a number, or a reduction that needs one",
                    look="the error norm, and the choice of the first step",
                ) from error
            _refuse_shape(ys, (3, *shape), f"an empty state of shape {shape} ({words})")
    return "(0, 2), (2, 0)"


@torch.no_grad()
def check_tuple_states(solver: Solver) -> str:
    """A tuple of tensors of several shapes is solved like the same numbers in one tensor, and comes back as a tuple."""
    a = torch.tensor([[1.0, 2.0, -1.0], [0.5, 0.0, 3.0]], dtype=torch.float64)
    y0: State = (a, torch.tensor([1.0, 2.0], dtype=torch.float64))

    def packed(t: Tensor, y: Tensor) -> Tensor:
        first, second = chained(t, (y[:6].reshape(2, 3), y[6:]))
        return torch.cat((first.reshape(-1), second))

    together = torch.cat((a.reshape(-1), y0[1]))
    figures = []
    for words, request in requests(solver, steps=32, tolerance=1e-5).items():
        ys = solved(solver, chained, y0, _TS, request, "a tuple").ys
        shapes = tuple(tuple(y.shape) for y in ys) if isinstance(ys, tuple) else type(ys).__name__
        if shapes != ((3, 2, 3), (3, 2)):
            raise Failure(
                expected=f"a tuple of states of shapes (3, 2, 3) and (3, 2) ({words})",
                measured=f"{shapes}",
                cause="the tuple is packed for the solve, and not unpacked",
                look="what `solve` does with a tuple",
            )
        got = torch.cat((ys[0].reshape(3, -1), ys[1]), dim=1)
        exact = torch.stack([torch.cat((p.reshape(-1), q)) for p, q in (chain(t, y0) for t in _TS)])
        alone = solved(solver, packed, together, _TS, request, "a tuple in one tensor").ys
        error, error_alone = relative(got, exact), relative(alone, exact)
        figures.append(f"error {error:.1g} ({words})")
        # A library may have an error norm of its own for tuples; on given steps there is no such freedom.
        bound = error_alone * (1 + 1e-6) + 1e-13 if _is_given(request) else 100 * max(error_alone, 1e-5)
        if error > bound:
            raise Failure(
                expected=f"an error of no more than {bound:.2g}: the same numbers in one tensor have {error_alone:.2g} ({words})",
                measured=f"{error:.2g}",
                cause="the tensors of a tuple are solved apart, or some of them only",
                look="how the derivative's tuple is put together",
            )
    return ", ".join(figures)


def _is_given(request: GridRequest) -> bool:
    return isinstance(request, StepSize)


def _refuse_shape(ys: Tensor, wanted: tuple[int, ...], what: str) -> None:
    if tuple(ys.shape) != wanted:
        raise Failure(
            expected=f"a solution of shape {wanted} for {what}",
            measured=f"{tuple(ys.shape)}",
            cause="a dimension is added or lost, such as by `squeeze` or by broadcasting",
            look="how outputs are stacked",
        )


def _refuse_gap(got: Tensor, wanted: Tensor, allowed: float, expected: str, cause: str) -> None:
    if not (gap := relative(got, wanted)) <= allowed:
        raise Failure(
            expected=expected,
            measured=f"a relative difference of {gap:.2g}",
            cause=cause,
            look="the step, and what packs states",
        )


def _words(values: set[object]) -> str:
    return ", ".join(sorted(map(str, values))) or "none"
