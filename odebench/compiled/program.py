"""A program compiled whole, and kept."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Hashable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from odebench.compiled.field_graph import FieldGraph, told
from odebench.compiled.fresh import fresh, numbers_are_constant
from odebench.compiled.fused.expressions import NotByRowError
from odebench.compiled.rounds import InChunks
from odebench.compiled.watch import Watch
from odebench.errors import CompileError

MOST_VARIANTS = 8
"""A program that has to be compiled more often than this is given up: shapes that should be free are not."""


BACKEND = "inductor"
OPTIONS: dict[str, Any] | None = {"cpp_wrapper": True}
"""The loop itself is compiled too: it runs without Python."""


FUSED = True
"""Fields that are element-wise over trajectories become kernels, rather than loops."""

LOOPS = True
"""The rounds of a loop are in its graph; otherwise chunks of them are graphs of their own."""


class Program:
    """A loop, made at its first call: a kernel where the field allows it, or else compiled.

    Attributes:
        form: what it became, as `Stats.compiled_as` says it; None before the first call.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._run: Callable[..., Any] | None = None
        self.form: str | None = None

    def __call__(self, *arguments: Any) -> Any:
        with torch.no_grad():
            if self._run is None:
                result = self._first(arguments)
            elif self.form == "kernel":
                result = self._run(*arguments)
            else:
                result = self._again(arguments)
        Watch.ran(self.form)
        return result

    def _again(self, arguments: tuple[Any, ...]) -> Any:
        """A later call of what was compiled, which may have to be compiled for other shapes."""
        try:
            with Watch():
                return self._run(*arguments)
        except torch._dynamo.exc.TorchDynamoException as cause:
            raise CompileError(f"The solve cannot be compiled for these shapes: {told(cause)}") from cause

    def _first(self, arguments: tuple[Any, ...]) -> Any:
        """The first call of the best that can be made."""
        if FUSED:
            try:
                kernel = self._as_kernel(arguments)
                result = kernel(*arguments)
            except NotByRowError:
                pass  # a loop, then
            else:
                self._run, self.form = kernel, "kernel"
                return result
        reason: Exception | None = None
        with Watch(), numbers_are_constant(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # those of the compiler about itself
            for form, run in self._forms(_on_cuda(arguments)):
                try:
                    result = run(*arguments)
                except (MemoryError, torch.OutOfMemoryError):
                    raise  # which says nothing of the program
                except Exception as cause:  # noqa: BLE001 - whatever a compiler raises
                    reason = reason or cause
                else:
                    self._run, self.form = run, form
                    return result
        raise CompileError(f"The solve cannot be compiled: {told(reason)}") from reason

    def _forms(self, on_cuda: bool) -> Iterator[tuple[str, Callable[..., Any]]]:
        """What the loop can be compiled as, best first."""
        if LOOPS and not (on_cuda and self._function.asks):
            yield "loop", _compiled(self._function, OPTIONS)
            if on_cuda and OPTIONS is not None:
                # Where a C++ compiler finds no headers of CUDA, which come with neither torch nor its driver, the loop itself stays
                # in Python, and its kernels are those of the compiler all the same.
                yield "loop", _compiled(self._function, None)
        # Between chunks the host asks the device whether there is another: a loop on a GPU would ask it before each round.
        yield "chunks", replace(self._function, loop=InChunks(lambda function: _compiled(function, None)))

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


def form() -> tuple[str, bool, bool]:
    """What programs are made of, while tests choose."""
    return BACKEND, FUSED, LOOPS


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
