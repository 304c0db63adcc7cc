"""Programs that are called as those of the loops are, and run as kernels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from odebench.compiled.adaptive import Adaptive, columns
from odebench.compiled.fused.build import Kernel, built
from odebench.compiled.fused.expressions import NotByRowError
from odebench.compiled.fused.rows import Rows, rows_of
from odebench.compiled.fused.source import StepForm, source_of
from odebench.compiled.replay import Placed, Replay, interpolated
from odebench.compiled.reverse import Reverse, weights_of
from odebench.numerics import ExplicitRungeKutta


def fused(function: Any, arguments: Sequence[Any]) -> Callable[..., Any]:
    """The program of a loop as a kernel.

    Args:
        function: an `Adaptive`, a `Replay` or a `Reverse`.
        arguments: those of its first call.

    Raises:
        NotByRowError: its field is not element-wise over trajectories, or it has something else that kernels do not.
    """
    state = arguments[6][-2] if isinstance(function, Adaptive) else arguments[0]
    return kinds_on(state.device)[type(function)](function, arguments)


def kinds_on(device: torch.device) -> dict[type, Callable[[Any, Sequence[Any]], Callable[..., Any]]]:
    """The program of each loop for states on this device."""
    if device.type == "cuda":
        from odebench.compiled.fused.triton_programs import TritonReplay, TritonReverse

        return {Replay: TritonReplay, Adaptive: FusedAdaptive, Reverse: TritonReverse}
    return {Replay: FusedReplay, Adaptive: FusedAdaptive, Reverse: FusedReverse}


def reopened(function: Replay | Adaptive, kernel: Kernel) -> Callable[..., Any]:
    """The program of a loop whose kernel was built before, for states on the CPU: its field is not read again."""
    kinds: dict[type, Callable[..., Any]] = {Replay: FusedReplay, Adaptive: FusedAdaptive}
    return kinds[type(function)](function, (), kernel)


class _Fused:
    """What all have in common."""

    def __init__(self, function: Any, takes_over: bool) -> None:
        self.function, self.lanes, self.solver = function, function.lanes, function.solver
        inside = function.emission.inside and function.outputs
        self.form = StepForm(tableau=self.solver.tableau, inside=inside, takes_over=takes_over)

    def _made(self, kernel: str, state: Tensor, tensors: Sequence[Any]) -> Callable[..., None]:
        """The kernel of this name, from the graph of the field."""
        function, solver, lanes = self.function, self.solver, self.lanes
        if type(solver).step is not ExplicitRungeKutta.step or type(solver)._error is not ExplicitRungeKutta._error:
            raise NotByRowError(f"the solver {solver.name!r} has a step of its own")
        if lanes.elements is not None:
            raise NotByRowError("the error norm does not count all elements")
        time = state.new_zeros((1,) * state.dim() if lanes.by_row else (), dtype=lanes.dtype)
        self.rows: Rows = rows_of(function.graph, function.shape, time, state, tensors)
        return self._built(kernel, state)

    def _built(self, kernel: str, state: Tensor) -> Callable[..., None]:
        """The kernel for the device of this state."""
        if state.device.type != "cpu":
            raise NotByRowError(f"the state is on {state.device}")
        return built(source_of(kernel, self.rows, self.form, state.dtype, self.lanes.by_row))

    def addresses(self, tensors: Sequence[Tensor]) -> tuple[list[int], list[Tensor]]:
        """Where the field's tensors lie; and these, to be held while they are read."""
        held = [tensor.detach().contiguous() for tensor in tensors]
        return [tensor.data_ptr() for tensor in held], held


class FusedReplay(_Fused):
    """`Replay` as a kernel: that of its field, or one that was built before."""

    def __init__(self, function: Replay, arguments: Sequence[Any], kernel: Kernel | None = None) -> None:
        inside, tableau = function.emission.inside and function.outputs, function.solver.tableau
        takes_over = inside and (tableau.fsal or tableau.dense is None)
        super().__init__(function, takes_over)
        self.run = kernel or self._made("replay", arguments[0], arguments[5])
        self.evaluations = torch.tensor((int(takes_over), self.form.stages))

    def __call__(
        self, y: Tensor, grid: Tensor, rows: Tensor, kept: Tensor, placed: Sequence[Tensor], tensors: Sequence[Tensor]
    ) -> tuple[Tensor, ...]:
        function = self.function
        y, grid = y.contiguous(), grid.contiguous()
        end = torch.empty_like(y)
        count = kept.shape[0] if function.keep else 0
        states = y.new_empty((count + 1, *y.shape)) if function.keep else y.new_empty(0)
        given, stored = Placed(*placed) if function.outputs else None, None
        if given is not None:
            stored = y.new_empty((given.room.shape[0] + 1, self.form.stored, *y.shape))
        places, _held = self.addresses(tensors)
        self.run(
            (
                y.shape[0],
                grid.shape[0],
                torch.get_num_threads(),
                count,
                0 if given is None else given.room.shape[0],
                y.data_ptr(),
                grid.data_ptr(),
                end.data_ptr(),
                rows.data_ptr(),
                states.data_ptr(),
                0 if given is None else given.slots.data_ptr(),
                0 if stored is None else stored.data_ptr(),
                *places,
            )
        )
        outputs = y.new_empty(0)
        if given is not None:
            outputs = interpolated(function.emission, self.lanes, stored, given, y.dim())
        return end, states, outputs, self.evaluations


class FusedAdaptive(_Fused):
    """`Adaptive` as a kernel: that of its field, or one that was built before."""

    def __init__(self, function: Adaptive, arguments: Sequence[Any], kernel: Kernel | None = None) -> None:
        tableau = function.solver.tableau
        takes_over = tableau.fsal or (function.emission.inside and tableau.dense is None)
        super().__init__(function, takes_over)
        self.run = kernel or self._made("adaptive", arguments[6][-2], arguments[8])
        self._evaluations = (2 if function.guess else int(takes_over), self.form.stages)

    def __call__(
        self,
        ts: Tensor,
        settings: Tensor,
        limits: Tensor,
        room: Tensor,
        kept: Tensor,
        fresh: Tensor,
        state: Sequence[Tensor],
        given: Tensor,
        tensors: Sequence[Tensor],
    ) -> tuple[Any, ...]:
        function = self.function
        # The kernel goes on in these.
        numbers, resting, pending, y, slope = (part.clone(memory_format=torch.contiguous_format) for part in state)
        shape = tuple(numbers.shape[1:])
        size, count = room.shape[0], ts.shape[0]
        grid = numbers.new_empty((size + 1, 2, *shape))
        states = y.new_empty((kept.shape[0] + 1, *y.shape)) if function.keep else y.new_empty(0)
        stored, where = None, None
        if function.outputs:
            slots = size if self.lanes.by_row else count
            stored = y.new_empty((slots + 1, self.form.stored, *y.shape))
            where = pending.new_full((2, count, *shape), -1)
        counts = torch.empty(7, dtype=torch.int64)
        counts[5], counts[6] = self._evaluations
        most, stride = limits.tolist()
        places, _held = self.addresses(tensors)
        self.run(
            (
                y.shape[0],
                torch.get_num_threads(),
                count,
                most,
                stride,
                size,
                bool(fresh),
                function.guess,
                self.solver.interpolates,
                ts.data_ptr(),
                settings.data_ptr(),
                numbers.data_ptr(),
                resting.data_ptr(),
                pending.data_ptr(),
                y.data_ptr(),
                slope.data_ptr(),
                grid.data_ptr(),
                states.data_ptr() if function.keep else 0,
                0 if stored is None else stored.data_ptr(),
                0 if where is None else where[0].data_ptr(),
                0 if where is None else where[1].data_ptr(),
                counts.data_ptr(),
                *places,
            )
        )
        outputs = given
        if where is not None:
            outputs = function.interpolated(stored, where[0], where[1], columns(ts, numbers[0]), grid, given)
        return (numbers, resting, pending, y, slope), counts, grid, states, outputs


class FusedReverse(_Fused):
    """`Reverse` as a kernel."""

    def __init__(self, function: Reverse, arguments: Sequence[Any]) -> None:
        super().__init__(function, False)
        self.run = self._made("reverse", arguments[0], arguments[6])
        self._products = sum(matrix.rows * matrix.columns for matrix in self.rows.matrices)
        inside, tableau = function.emission.inside and function.outputs, function.solver.tableau
        ends = inside and (tableau.fsal or tableau.dense is None)
        self._evaluations = torch.full((), self.form.stages + ends, dtype=torch.int64)

    def __call__(
        self,
        cotangent: Tensor,
        grid: Tensor,
        states: Tensor,
        placed: Sequence[Tensor],
        cotangents: Tensor,
        gradients: Sequence[Tensor],
        tensors: Sequence[Tensor],
    ) -> tuple[Any, ...]:
        function = self.function
        cotangent, grid, states = cotangent.contiguous(), grid.contiguous(), states.contiguous()
        given, weights = None, None
        if function.outputs:
            given = Placed(*placed)
            weights = weights_of(function.emission, self.lanes, given, cotangents, self.form.stored, cotangent)
        start = torch.empty_like(cotangent)
        sums = torch.empty(len(self.rows.tensors), dtype=torch.float64)
        products = torch.empty(self._products, dtype=torch.float64)
        places, _held = self.addresses(tensors)
        self.run(
            (
                cotangent.shape[0],
                grid.shape[0],
                torch.get_num_threads(),
                0 if given is None else given.room.shape[0],
                cotangent.data_ptr(),
                grid.data_ptr(),
                states.data_ptr(),
                0 if given is None else given.slots.data_ptr(),
                0 if weights is None else weights.data_ptr(),
                start.data_ptr(),
                sums.data_ptr(),
                products.data_ptr(),
                *places,
            )
        )
        return start, self._added(gradients, sums, products), self._evaluations

    def _added(self, gradients: Sequence[Tensor], sums: Tensor, products: Tensor) -> tuple[Tensor, ...]:
        """The sums over trajectories, added to the gradients of the tensors that they are of."""
        places = {index: n for n, index in enumerate(self.function.wanted)}
        totals = [gradient.clone(memory_format=torch.contiguous_format) for gradient in gradients]
        found: dict[int, list[tuple[int, int]]] = {}
        for n, (tensor, element) in enumerate(self.rows.tensors):
            if tensor in places:
                found.setdefault(places[tensor], []).append((element, n))
        for index, pairs in found.items():
            elements, numbers = zip(*pairs, strict=True)
            flat = totals[index].view(-1)
            flat[list(elements)] += sums[list(numbers)].to(flat.dtype)
        for matrix in self.rows.matrices:
            if matrix.tensor in places:
                total = totals[places[matrix.tensor]].view(-1)
                part = products[matrix.begin : matrix.begin + matrix.rows * matrix.columns].to(total.dtype)
                down, along = torch.arange(matrix.rows), torch.arange(matrix.columns)
                # Which may be the same for several, of a matrix that repeats its numbers.
                elements = matrix.start + matrix.down * down[:, None] + matrix.along * along
                total.index_add_(0, elements.reshape(-1), part)
        return tuple(totals)
