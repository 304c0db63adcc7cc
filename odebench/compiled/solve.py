"""A solve that is compiled as a whole, with its gradient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from odebench.compiled.emission import Emission
from odebench.compiled.march import Solved, Stretch, lay, replay, solve_adaptively, solve_on_grid
from odebench.compiled.program import free
from odebench.compiled.reverse import Reverse, Reversed
from odebench.compiled.setting import Setting, setting_of
from odebench.compiled.watch import Watch
from odebench.contract import (
    Field,
    GradientMethod,
    Grid,
    GridRequest,
    Solution,
    Solver,
    State,
    Stats,
    StepSize,
    Tolerance,
)
from odebench.errors import CompileError
from odebench.numerics.outputs import checked_times


def solve_compiled(
    solver: Solver, method: GradientMethod, field: Field, y0: State, ts: Sequence[float] | Tensor, request: GridRequest
) -> Solution:
    """Solve as `method.solve` does, in compiled programs that are made at the first call and kept.

    The gradient is that of the discrete solution, to rounding. Tensors that the field uses get theirs whether they are declared
    or not.

    Raises:
        CompileError: the solver, the gradient method or the field has no compiled form.
    """
    times, before = checked_times(ts), Watch.begin()
    setting = setting_of(solver, field, y0, times, request)
    leaves = y0 if isinstance(y0, tuple) else (y0,)
    wanted = tuple(index for index, tensor in enumerate(setting.tensors) if getattr(tensor, "requires_grad", False))
    call = _Call(setting=setting, ts=times, request=request, leaves=len(leaves), wanted=wanted)
    if not torch.is_grad_enabled() or not (wanted or any(leaf.requires_grad for leaf in leaves)):
        solved = call.forward(leaves, keep=False)
        Watch.tell(solved.stats, before)
        return Solution(ys=setting.packing.unpack_outputs(solved.ys), grid=solved.grid, stats=solved.stats)
    if method.compiled_memory is None:
        raise CompileError(
            f"Gradient method {method.name!r} has no compiled form. Take one that has ({_FORMS}), or solve without compile."
        )
    call.two_levels = method.compiled_memory == "segments"
    outputs = _Compiled.apply(call, *leaves, *(setting.tensors[index] for index in wanted))
    Watch.tell(call.stats, before)
    return Solution(ys=outputs if isinstance(y0, tuple) else outputs[0], grid=call.grid, stats=call.stats)


_FORMS = "`odebench list gradients` tells which"


@dataclass(kw_only=True)
class _Call:
    """One solve that an autograd function stands for."""

    setting: Setting
    ts: list[float]
    request: GridRequest
    leaves: int
    wanted: tuple[int, ...]
    two_levels: bool = False
    grid: Grid | None = None
    stats: Stats = field(default_factory=Stats)

    def forward(self, leaves: Sequence[Tensor], keep: bool) -> Solved:
        """The solve with packed states, without a graph."""
        packing = self.setting.packing
        plain = tuple(leaf.detach() for leaf in leaves)
        y = packing.pack(plain if packing.is_tuple else plain[0]).contiguous()
        solve = solve_adaptively if isinstance(self.request, Tolerance) else solve_on_grid
        return solve(self.setting, y, self.ts, self.request, keep, self.two_levels)


class _Compiled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, call: _Call, *tensors: Tensor) -> tuple[Tensor, ...]:
        solved = call.forward(tensors[: call.leaves], keep=True)
        call.grid, call.stats = solved.grid, solved.stats
        ctx.call = call
        ctx.stretches = [(stretch.count, stretch.stride) for stretch in solved.stretches]
        kept = [tensor for stretch in solved.stretches for tensor in (stretch.grid, stretch.states)]
        # Saved through autograd, states go as soon as the backward pass has run, and a parameter that changes is noticed.
        ctx.save_for_backward(*tensors, *kept)
        ys = call.setting.packing.unpack_outputs(solved.ys)
        return ys if isinstance(ys, tuple) else (ys,)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor | None, ...]:
        call: _Call = ctx.call
        own = call.leaves + len(call.wanted)
        kept = ctx.saved_tensors[own:]
        stretches = [
            Stretch(count=count, grid=kept[2 * n], states=kept[2 * n + 1], stride=stride)
            for n, (count, stride) in enumerate(ctx.stretches)
        ]
        packing = call.setting.packing
        packed = packing.pack_outputs(cotangents if packing.is_tuple else cotangents[0])
        before = Watch.begin()
        start, gradients = _Backward(call, stretches, packed).run()
        Watch.tell(call.stats, before)
        leaves = packing.unpack(start)
        return None, *(leaves if packing.is_tuple else (leaves,)), *gradients


class _Backward:
    """The way back through the steps of a solve."""

    def __init__(self, call: _Call, stretches: Sequence[Stretch], cotangents: Tensor) -> None:
        self._call, self._setting = call, call.setting
        self._stretches, self._cotangents = stretches, cotangents
        asked = call.request if isinstance(call.request, StepSize) else call.grid
        self._places = lay(call.setting, call.ts, asked).places
        indices = self._places.indices
        self._inner = cotangents[indices[0] : indices[-1] + 1].contiguous() if indices else cotangents.new_empty(0)

    def run(self) -> tuple[Tensor, list[Tensor]]:
        """The cotangents of the packed initial state and of the wanted tensors."""
        setting = self._setting
        final = self._cotangents[-1]
        cotangent = final.contiguous() if self._places.ends else torch.zeros_like(final)
        gradients = [torch.zeros_like(setting.tensors[index]) for index in self._call.wanted]
        end = self._call.grid.steps
        for stretch in reversed(self._stretches):
            end -= stretch.count
            for first in reversed(range(0, stretch.count, stretch.stride if stretch.stride > 1 else stretch.count)):
                grid, states = self._piece(stretch, first)
                cotangent, gradients = self._back(cotangent, gradients, grid, states, end + first)
        return cotangent + self._cotangents[0], gradients

    def _piece(self, stretch: Stretch, first: int) -> tuple[Tensor, Tensor]:
        """Some steps, and the states at their starts, computed again where they were not kept."""
        if stretch.stride == 1:
            return stretch.grid, stretch.states
        grid = stretch.grid[first : first + stretch.stride].contiguous()
        replayed = replay(self._setting, stretch.states[first // stretch.stride], grid, None, False, 1)
        begun, each = replayed.evaluations.tolist()
        self._call.stats.evaluations_backward += begun + each * grid.shape[0]
        return grid, replayed.states

    def _back(
        self, cotangent: Tensor, gradients: Sequence[Tensor], grid: Tensor, states: Tensor, first: int
    ) -> tuple[Tensor, list[Tensor]]:
        setting, places = self._setting, self._places
        placed = places.of_steps(first, grid.shape[0])
        program = setting.program(
            ("reverse", placed is not None, places.inside, self._call.wanted),
            lambda: Reverse(
                solver=setting.solver,
                graph=setting.graph,
                shape=setting.shape,
                lanes=setting.lanes,
                emission=Emission(setting.solver, places.inside),
                outputs=placed is not None,
                wanted=self._call.wanted,
            ),
        )
        free(grid, 0, *((2,) if setting.lanes.by_row else ()))
        inner = setting.free(self._inner, 1) if placed is not None else self._inner
        back = Reversed(
            *program(
                setting.free(cotangent),
                grid,
                setting.free(states, 1),
                placed or (),
                inner,
                tuple(gradients),
                setting.plain_tensors,
            )
        )
        self._call.stats.evaluations_backward += int(back.evaluations) * grid.shape[0]
        return back.y, list(back.gradients)
