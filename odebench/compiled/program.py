"""A program compiled whole, and kept."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch import Tensor

from odebench.compiled.field_graph import FieldGraph, told
from odebench.compiled.fresh import fresh, numbers_are_constant
from odebench.compiled.fused.expressions import NotByRowError
from odebench.compiled.watch import Watch
from odebench.errors import CompileError

MOST_VARIANTS = 8
"""A program that has to be compiled more often than this is given up: shapes that should be free are not."""


BACKEND = "inductor"
OPTIONS: dict[str, Any] | None = {"cpp_wrapper": True}
"""The loop itself is compiled too: it runs without Python."""


FUSED = True
"""Fields that are element-wise over trajectories become kernels, rather than loops."""


class Program:
    """A loop, made at its first call: a kernel where the field allows it, or else compiled as one graph."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._fused: Callable[..., Any] | None = None
        self._compiled = _compiled(function, OPTIONS)
        self._called = False

    def __call__(self, *arguments: Any) -> Any:
        if self._fused is not None:
            with torch.no_grad():
                return self._fused(*arguments)
        with torch.no_grad(), Watch():
            if self._called:
                return self._compiled(*arguments)
            if FUSED:
                try:
                    kernel = self._as_kernel(arguments)
                    result = kernel(*arguments)
                except NotByRowError:
                    pass  # a loop, then
                else:
                    self._fused = kernel
                    return result
            try:
                with numbers_are_constant(), warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # those of the compiler about itself
                    result = self._first(arguments)
            except Exception as cause:
                raise CompileError(f"The solve cannot be compiled: {told(cause)}") from cause
            self._called = True
            return result

    def _first(self, arguments: tuple[Any, ...]) -> Any:
        """The first call of the loop. Where the state is on a CUDA device and a C++ compiler finds no headers of CUDA, which come
        with neither torch nor its driver, the loop itself stays in Python, and its kernels are those of the compiler all the same."""
        try:
            return self._compiled(*arguments)
        except Exception:
            if OPTIONS is None or not _on_cuda(arguments):
                raise
        self._compiled = _compiled(self._function, None)
        return self._compiled(*arguments)

    def _as_kernel(self, arguments: tuple[Any, ...]) -> Callable[..., Any]:
        from odebench.compiled.fused.programs import fused

        before = time.perf_counter()
        try:
            return fused(self._function, arguments)
        finally:
            Watch.seconds += time.perf_counter() - before


def _on_cuda(arguments: tuple[Any, ...]) -> bool:
    return any(isinstance(argument, Tensor) and argument.is_cuda for argument in arguments)


def _compiled(function: Callable[..., Any], options: dict[str, Any] | None) -> Callable[..., Any]:
    return torch.compile(
        fresh(function),
        fullgraph=True,
        backend=BACKEND,
        options=options,
        recompile_limit=MOST_VARIANTS,
        isolate_recompiles=True,
    )


def program_of(graph: FieldGraph, key: Hashable, make: Callable[[], Callable[..., Any]]) -> Callable[..., Any]:
    """The program of this field and this key, made at the first call."""
    program = graph.programs.get((form(), key))
    if program is None:
        program = graph.programs[form(), key] = (graph.translate or Program)(make())
    return program


def form() -> tuple[str, bool]:
    """What programs are made of, while tests choose."""
    return BACKEND, FUSED


def free(tensor: Tensor, *dimensions: int) -> Tensor:
    """Let the sizes of these dimensions vary from call to call, where they do not stand for a batch of none or one."""
    if not compiles():
        return tensor
    for dimension in dimensions:
        if dimension < tensor.dim() and tensor.shape[dimension] > 1:
            torch._dynamo.maybe_mark_dynamic(tensor, dimension)
    return tensor


def compiles() -> bool:
    """Whether anything is, or was, compiled here; it is not where solvers are read from files."""
    return "torch._dynamo" in sys.modules
