"""Programs that are called as those of the loops are, and run as Triton kernels on CUDA devices.

None of them waits for the device.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from odebench.compiled.fused.expressions import NotByRowError
from odebench.compiled.fused.programs import FusedReplay, FusedReverse
from odebench.compiled.fused.triton_source import Columns, Printed, replay_text, reverse_text
from odebench.compiled.replay import Placed, interpolated
from odebench.compiled.reverse import weights_of
from odebench.compiled.watch import Watch

WIDE = 1 << 17
"""From so many trajectories on, the device is busy with blocks of more than one warp each."""


class _Kernel:
    """A kernel, compiled at its first launch.

    Raises:
        NotByRowError: Triton is not there, or refuses the kernel.
    """

    def __init__(self, printed: Printed, state: Tensor) -> None:
        self.printed = printed
        device, hip = state.device.type, torch.version.hip
        if device == "cuda" and hip is not None:
            raise NotByRowError("kernels are written for CUDA alone")
        try:
            import triton
        except ImportError as cause:
            raise NotByRowError("Triton is not installed") from cause
        from torch._inductor.codecache import PyCodeCache

        self._refusals = (triton.CompilationError, triton.runtime.errors.TritonError)
        self._run = PyCodeCache.load(printed.text).run
        self._device = state.device
        self._launched = False
        self._grid: Tensor | None = None
        self._steps: Tensor | None = None

    def blocks(self, batch: int) -> tuple[int, int, int]:
        """For a batch: trajectories in a block, blocks, and warps of a block."""
        warps = 4 if batch >= WIDE else 1
        return 32 * warps, -(-batch // (32 * warps)), warps

    def steps(self, grid: Tensor, by_row: bool, dtype: torch.dtype) -> Tensor:
        """A grid as the kernel reads it; that of the last call is kept, as equal steps are laid once."""
        if grid is not self._grid:
            columns: Columns = self.printed.columns
            self._steps = grid.to(dtype).contiguous() if by_row else columns.of(grid, dtype)
            self._grid = grid
        return self._steps

    def __call__(self, given: Sequence[Tensor], tensors: Sequence[Tensor], numbers: Sequence[int], batch: int) -> None:
        block, count, warps = self.blocks(batch)
        chosen = [tensors[n].detach().contiguous() for n in self.printed.tensors]
        for tensor in chosen:
            if tensor.device != self._device:
                raise NotByRowError(f"the field uses a tensor on {tensor.device}")
        before = time.perf_counter()
        with torch.cuda.device(self._device) if self._device.type == "cuda" else nullcontext():
            try:
                self._run[(count,)](*given, *chosen, *numbers, BLOCK=block, num_warps=warps, num_stages=1)
            except self._refusals as cause:
                reason = str(cause).strip().splitlines()
                raise NotByRowError(f"Triton refuses the kernel ({reason[-1] if reason else cause!r})") from cause
        if not self._launched:
            Watch.seconds += time.perf_counter() - before
            self._launched = True


class TritonReplay(FusedReplay):
    """`Replay` as a Triton kernel."""

    def _built(self, kernel: str, state: Tensor) -> _Kernel:
        function = self.function
        return _Kernel(
            replay_text(self.rows, self.form, state.dtype, self.lanes.by_row, function.keep, function.outputs), state
        )

    def __call__(
        self, y: Tensor, grid: Tensor, rows: Tensor, kept: Tensor, placed: Sequence[Tensor], tensors: Sequence[Tensor]
    ) -> tuple[Tensor, ...]:
        function = self.function
        y = y.contiguous()
        batch, steps = y.shape[0], grid.shape[0]
        end, room, none = torch.empty_like(y), 0, 0
        given = [y, end, self.run.steps(grid, self.lanes.by_row, y.dtype)]
        states, outputs = y.new_empty(0), y.new_empty(0)
        if function.keep:
            room = kept.shape[0]
            states = y.new_empty((room + 1, *y.shape[1:], batch)).movedim(-1, 1)
            given += [rows, states]
        if function.outputs:
            places = Placed(*placed)
            none = places.room.shape[0]
            stored = y.new_empty((none + 1, self.form.stored, *y.shape))
            given += [places.slots, stored]
        self.run(given, tensors, (batch, steps, room, none), batch)
        if function.outputs:
            outputs = interpolated(function.emission, self.lanes, stored, places, y.dim())
        return end, states, outputs, self.evaluations


class TritonReverse(FusedReverse):
    """`Reverse` as a Triton kernel."""

    def _built(self, kernel: str, state: Tensor) -> _Kernel:
        places = {index: n for n, index in enumerate(self.function.wanted)}
        found: dict[int, list[tuple[int, int]]] = {}
        for n, (tensor, element) in enumerate(self.rows.tensors):
            if tensor in places:
                found.setdefault(places[tensor], []).append((element, n))
        index = lambda numbers: torch.tensor(numbers, device=state.device)  # noqa: E731
        self._sums = {place: tuple(map(index, zip(*pairs, strict=True))) for place, pairs in found.items()}
        return _Kernel(reverse_text(self.rows, self.form, state.dtype, self.lanes.by_row, self.function.outputs), state)

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
        cotangent = cotangent.contiguous()
        batch, steps, none = cotangent.shape[0], grid.shape[0], 0
        start = torch.empty_like(cotangent)
        # One number of all trajectories after the other; as `TritonReplay` gives them.
        states = states.movedim(1, -1).contiguous()
        parts = cotangent.new_zeros((self.run.blocks(batch)[1], len(self.rows.tensors)), dtype=torch.float64)
        given = [cotangent, start, self.run.steps(grid, self.lanes.by_row, cotangent.dtype), states, parts]
        if self.function.outputs:
            places = Placed(*placed)
            none = places.room.shape[0]
            weights = weights_of(
                self.function.emission, self.lanes, places, cotangents, self.form.stored, cotangent
            ).contiguous()
            given += [places.slots, weights]
        self.run(given, tensors, (batch, steps, 0, none), batch)
        return start, self._added(gradients, parts.sum(0)), self._evaluations

    def _added(self, gradients: Sequence[Tensor], sums: Tensor) -> tuple[Tensor, ...]:
        """The sums over trajectories, added to the gradients of the tensors that they are of."""
        totals = [gradient.clone(memory_format=torch.contiguous_format) for gradient in gradients]
        for place, (elements, numbers) in self._sums.items():
            flat = totals[place].view(-1)
            flat.index_add_(0, elements, sums.index_select(0, numbers).to(flat.dtype))
        return tuple(totals)
